"""The verdict on a reader's answer: right, wrong with both values, or not written yet."""

import numpy as np
import pytest

from mflib import dense, exercises


def double(x):
    return 2 * x


TASKS = [(1.0,), (np.array([1.0, 2.0]),)]


def test_a_right_answer_is_right(capsys):
    exercises.check(lambda x: x + x, double, TASKS)
    assert capsys.readouterr().out == "Right: 2 of 2 tasks.\n"


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        (lambda x: x**2, "Not yet: task 1 gives 1, expected 2."),
        (lambda x: 2.00001 * x, "Not yet: task 1 gives 2.00001, expected 2."),
        (lambda x: np.nan, "Not yet: task 1 gives nan, expected 2."),
        (lambda x: [2.0], "Not yet: task 1 gives shape (1,), expected ()."),
        (lambda x: 1 / 0, "Not yet: task 1 raises ZeroDivisionError: division by zero"),
        (lambda x: "two", "Not yet: task 1 gives no number."),
    ],
)
def test_a_wrong_answer_is_told_with_both_values(attempt, verdict, capsys):
    exercises.check(attempt, double, TASKS)
    assert capsys.readouterr().out.strip() == verdict


def test_an_empty_answer_is_not_called_wrong(capsys):
    def my_answer(x): ...

    exercises.check(my_answer, double, TASKS)
    assert capsys.readouterr().out == "my_answer is still empty: write it, then run this cell.\n"


def test_problems_have_a_rating_for_each_user_and_item_and_observed_zeros():
    tasks = exercises.problems(50, seed=1)
    for Y, R, U, V in tasks:
        assert np.all(R.sum(axis=0) > 0) and np.all(R.sum(axis=1) > 0)  # noqa: PT018
        assert np.isfinite(dense.loss(Y, R, U, V))
    assert any(np.any(Y == 0) for Y, *_ in tasks)
    assert any(np.any(R == 0) for _, R, *_ in tasks)
    for one, other in zip(tasks[0], exercises.problems(1, seed=1)[0], strict=True):
        np.testing.assert_array_equal(one, other)
