"""Errors in rating points, and coverage."""

import numpy as np
import pytest

from mflib import Ratings, metrics


def test_rmse_and_mae_by_hand():
    assert metrics.rmse(np.array([5.0, 3.0, 1.0]), np.array([4.0, 3.0, 3.0])) == (5 / 3) ** 0.5
    assert metrics.mae(np.array([5.0, 3.0, 1.0]), np.array([4.0, 3.0, 3.0])) == 1
    assert type(metrics.rmse([1], [2])) is type(metrics.mae([1], [2])) is float


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.mae])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float16, np.float32, np.float64])
def test_errors_are_taken_in_float64(metric, kind):
    """In bytes 1 − 3 is 254."""
    assert metric(np.array([1, 3], dtype=kind), np.array([3, 1], dtype=kind)) == 2


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.mae])
@pytest.mark.parametrize(
    ("values", "predicted"), [([1, 2], [1]), ([], []), (1, 1), ([[1]], [[1]]), ([1], [[1]])]
)
def test_unequal_or_empty_pairs_are_refused(metric, values, predicted):
    with pytest.raises(
        ValueError, match="values and predicted must have one axis, one length and at least one"
    ):
        metric(values, predicted)


def test_coverage_is_the_share_of_pairs_whose_user_and_item_are_known():
    train = Ratings.from_arrays([0, 0, 1], [0, 1, 1], [1, 2, 3], shape=(3, 3))
    asked = Ratings.from_arrays([0, 1, 2, 0, 2], [0, 0, 0, 2, 2], [1] * 5, shape=(3, 3))
    assert metrics.coverage(train, asked) == 2 / 5
    assert metrics.coverage(train, train) == 1
    assert type(metrics.coverage(train, asked)) is float


def test_coverage_of_ratings_of_another_shape_is_refused():
    train = Ratings.from_arrays([0], [0], [1], shape=(2, 2))
    with pytest.raises(
        ValueError, match=r"ratings must have the shape .* got \(1, 1\) and \(2, 2\): make both"
    ):
        metrics.coverage(train, Ratings.from_arrays([0], [0], [1], shape=(1, 1)))
    with pytest.raises(TypeError, match="ratings must be Ratings, got list"):
        metrics.coverage(train, [1])
