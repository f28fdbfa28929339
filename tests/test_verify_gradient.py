"""The checker of gradients: it refuses what is wrong at any scale, and accepts what is right."""

from fractions import Fraction

import numpy as np
import pytest

from mflib import Ratings, datasets, dense, descent, gradients, loss
from mflib.verify import GradientError, check_gradient


def random_problem(seed):
    """A loss of the lecture with its gradient: any scale, shape, mask and float kind."""
    rng = np.random.default_rng(seed)
    dtype = (np.float64, np.float32)[seed % 2]
    n, m, k = rng.integers(1, 6, 3)
    R = (rng.random((n, m)) < rng.uniform(0.2, 1)).astype(int)
    R.flat[rng.integers(R.size)] = 1
    Y = rng.normal(0, 10 ** rng.uniform(-3, 3), (n, m))
    U, V = (rng.normal(0, 10 ** rng.uniform(-2, 2), (rows, k)).astype(dtype) for rows in (n, m))
    if seed % 7 == 0:  # a perfect fit: stationary but for rounding
        Y = dense.predict(U, V).astype(float)
    Y = Y.astype(dtype)
    if seed % 3 == 0:
        return lambda U, V: dense.loss(Y, R, U, V), lambda U, V: dense.gradients(Y, R, U, V), U, V
    ratings = Ratings.from_dense(Y, R)
    return lambda U, V: loss(ratings, U, V), lambda U, V: gradients(ratings, U, V), U, V


@pytest.mark.parametrize("block", range(10))
def test_not_one_wrong_verdict_on_a_thousand_random_problems(block):
    for seed in range(100 * block, 100 * block + 100):
        f, grad, U, V = random_problem(seed)
        report = check_gradient(f, grad, U, V)
        assert report.holds, f"seed {seed}: {report}"
        if seed % 7 == 0 or seed % 2:
            continue
        grad_U, grad_V = grad(U, V)
        index = np.unravel_index(np.argmax(np.abs(grad_U)), grad_U.shape)
        if grad_U[index] == 0:
            continue
        wrong = grad_U.copy()
        wrong[index] *= 1.0001
        assert not check_gradient(f, lambda U, V, w=wrong, g=grad_V: (w, g), U, V).holds, f"seed {seed}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_is_refused_where_ten_million_ratings_make_the_gradient_tiny(dtype):
    Y, R, *_ = datasets.toy()
    U, V = descent.random_factors(Y.shape, 2, seed=0, dtype=dtype)
    rest = 14 / 1e7  # the toy's errors, among ten million ratings that are fitted already

    def f(U, V):
        return dense.loss(Y, R, U, V) * rest + 1.0

    right = [g * rest for g in dense.gradients(Y, R, U, V)]
    assert max(np.max(np.abs(g)) for g in right) < 1e-5
    assert check_gradient(f, lambda U, V: tuple(right), U, V).holds
    report = check_gradient(f, lambda U, V: (0 * U, 0 * V), U, V)
    assert not report.holds
    assert report.worst.given == 0


def test_right_gradient_is_accepted_at_a_stationary_point():
    w = np.zeros(3)
    assert check_gradient(lambda w: np.sum((w - 0) ** 2), lambda w: 2 * w, w).holds
    rng = np.random.default_rng(0)
    U, V = rng.normal(size=(4, 2)), rng.normal(size=(5, 2))
    Y, R = dense.predict(U, V), np.ones((4, 5))
    assert check_gradient(
        lambda U, V: dense.loss(Y, R, U, V), lambda U, V: dense.gradients(Y, R, U, V), U, V
    ).holds


def test_report_names_the_entry_and_both_numbers():
    w = np.array([1.0, 2.0, 3.0])
    report = check_gradient(lambda w: np.sum(w**2), lambda w: 2 * w * [1, 1.001, 1], w)
    assert (report.worst.param, report.worst.index) == (0, (1,))
    np.testing.assert_allclose([report.worst.given, report.worst.measured], [4.004, 4], rtol=1e-8)
    np.testing.assert_allclose(report.worst.error, 1e-3, rtol=0.01)
    assert "entry [1]: grad gives 4.004, measured 4" in str(report)


def test_failure_is_raised_on_request():
    with pytest.raises(GradientError, match="does not hold"):
        check_gradient(lambda w: w @ w, lambda w: w, np.ones(2), raise_on_failure=True)


def test_fractions_are_compared_with_equality():
    w = np.array([Fraction(1, 3), Fraction(2)], dtype=object)
    assert check_gradient(lambda w: w @ w, lambda w: 2 * w, w).holds
    off = Fraction(1, 10**30)
    report = check_gradient(lambda w: w @ w, lambda w: 2 * w + off, w)
    assert not report.holds


def test_entries_that_were_not_drawn_count_through_a_direction():
    w = np.linspace(1, 2, 500)
    wrong = 2 * w
    wrong[123] *= 5
    reports = [check_gradient(lambda w: w @ w, lambda w: wrong, w, max_entries=1, seed=s) for s in range(5)]
    assert not any(report.holds for report in reports)
    assert check_gradient(lambda w: w @ w, lambda w: 2 * w, w, max_entries=1).holds


@pytest.mark.parametrize(
    ("f", "grad", "problem"),
    [
        (lambda w: w, lambda w: w, "f returns an array of shape"),
        (lambda w: w @ w, lambda w: (w, w), "2 arrays for 1 params"),
        (lambda w: w @ w, lambda w: w[:1], "shape (1,) for param 0 of shape (2,)"),
        (lambda w: np.nan, lambda w: w, "f returns nan"),
        (lambda w: w @ w, lambda w: w * np.inf, "no finite real number for param 0"),
        (lambda w: None, lambda w: w, "f returns None"),
        (lambda w: w @ w + 1j, lambda w: w, "expected a finite real number"),
        (lambda w: w @ w, lambda w: np.array(["a", "b"]), "no finite real number for param 0"),
        (lambda w: w @ w, lambda w: np.array([1, None]), "no finite real number for param 0"),
    ],
)
def test_function_that_cannot_be_checked_is_reported_as_that(f, grad, problem):
    report = check_gradient(f, grad, np.ones(2))
    assert not report.holds
    assert report.worst is None
    assert problem in report.problem
    assert problem in str(report)


@pytest.mark.parametrize("w", [[0.0, 3.0, 2.0], [3.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
def test_entry_that_cannot_be_measured_is_never_said_to_hold(w):
    """The square root has no values on one side of 0; in any place but the first that had passed unseen."""
    w = np.array(w)
    report = check_gradient(
        lambda w: np.sum(np.sqrt(w)), lambda w: np.where(w > 0, 0.5 / np.sqrt(w + 1e-300), 5), w
    )
    assert not report.holds
    assert f"both sides of the point: param 0, entry [{np.argmin(w)}]" in report.problem


def test_zero_is_refused_beside_an_entry_that_is_a_billion_times_larger():
    """Truncation was taken for rounding of f, so that anything was allowed of the smaller entry."""
    w = np.array([1.0, 25.0])
    f = lambda w: np.sum(np.exp(w))  # noqa: E731
    assert check_gradient(f, np.exp, w).holds
    assert not check_gradient(f, lambda w: np.array([0, np.exp(w[1])]), w).holds


def test_report_says_what_is_lost_in_rounding():
    report = check_gradient(lambda w: np.sum(np.exp(w)), np.exp, np.array([1.0, 45.0]))
    assert report.n_unresolved == 1
    assert "2 derivatives, 1 of them lost in rounding" in str(report)
    assert check_gradient(lambda w: w @ w, lambda w: 2 * w, np.ones(2)).n_unresolved == 0


def test_function_that_changes_only_later_is_not_deterministic():
    calls = []

    def f(w):
        calls.append(w)
        return w @ w + (len(calls) % 3 == 0)

    assert "not deterministic" in check_gradient(f, lambda w: 2 * w, np.ones(2)).problem


@pytest.mark.parametrize("random_one", ["f", "grad"])
def test_function_that_differs_from_call_to_call_is_reported_as_that(random_one):
    rng = np.random.default_rng(0)
    f = (lambda w: w @ w + rng.normal()) if random_one == "f" else (lambda w: w @ w)
    grad = (lambda w: 2 * w + rng.normal()) if random_one == "grad" else (lambda w: 2 * w)
    assert "not deterministic" in check_gradient(f, grad, np.ones(2)).problem


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ((np.array([1.0, Fraction(1)], dtype=object),), "Fractions alone"),
        ((np.array([1, Fraction(1)], dtype=object),), "Fractions alone, got Fraction, int"),
        ((np.array([1, True], dtype=object),), "Fractions alone, got bool, int"),
        ((np.ones(2), np.ones(2, np.float32)), "of one kind"),
        ((np.ones(2, int),), "float32, float64 or Fractions"),
        (([1.0, 2.0],), "NumPy arrays, got list"),
        ((), "no params"),
    ],
)
def test_params_of_other_or_mixed_kinds_are_refused(params, message):
    with pytest.raises(TypeError, match=message):
        check_gradient(lambda *w: 1.0, lambda *w: w, *params)


def test_params_without_entries_are_refused():
    with pytest.raises(ValueError, match=r"params must have entries, got shape \(0, 3\)"):
        check_gradient(lambda w: 1.0, lambda w: w, np.zeros((0, 3)))
