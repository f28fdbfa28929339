"""How models are scored: folds, clipping, what a curve of test RMSE against seconds tells.

A curve is a list of points {"step", "seconds", "cpu_seconds", "rmse"} with rising steps (epochs, rounds):
what a training of that many steps took, and the test RMSE of its model.
"""

import statistics
from typing import NamedTuple

import numpy as np

from mflib import Ratings, metrics
from mflib.splits import k_fold


class Split(NamedTuple):
    """Ratings to train on and to test with, without labels, and the range that predictions are clipped to."""

    train: Ratings
    test: Ratings
    low: float
    high: float

    def rmse(self, predicted):
        """Test RMSE of predictions of `test`, clipped to the range of the ratings."""
        return metrics.rmse(self.test.values, np.clip(predicted, self.low, self.high))


def folds(ratings, n_folds, seed=0):
    """Each rating is tested once, in `n_folds` random parts."""
    return (split(part.train, part.validation) for part in k_fold(ratings, n_folds, seed))


def split(train, test):
    """Without labels, in float32; the range is that of all ratings, as stars have a known scale."""
    low, high = (float(end([end(train.values), end(test.values)])) for end in (np.min, np.max))
    return Split(_plain(train), _plain(test), low, high)


def _plain(ratings):
    values = ratings.values.astype(np.float32)
    return Ratings.from_arrays(ratings.users, ratings.items, values, shape=ratings.shape)


def over_folds(curves):
    """One curve of several of the same setting, from folds and repeats: medians of seconds, means of RMSE."""
    points = {}
    for curve in curves:
        for point in curve:
            points.setdefault(point["step"], []).append(point)
    return [
        {
            "step": step,
            "seconds": statistics.median(point["seconds"] for point in found),
            "cpu_seconds": statistics.median(point["cpu_seconds"] for point in found),
            "rmse": statistics.fmean(point["rmse"] for point in found),
        }
        for step, found in sorted(points.items())
    ]


def best(curve):
    """The point with the lowest test RMSE, of several the earliest."""
    return min(curve, key=lambda point: (point["rmse"], point["step"]))


def seconds_to(curve, target):
    """Seconds of training until the test RMSE first is at most `target`, or None where it never is.

    Between two points the curve is read along the straight line between them, so that who is measured at few
    steps is not charged for the gaps.
    """
    before = None
    for point in curve:
        if point["rmse"] <= target:
            if before is None or point["seconds"] <= before["seconds"]:
                return point["seconds"]
            share = (before["rmse"] - target) / (before["rmse"] - point["rmse"])
            return before["seconds"] + share * (point["seconds"] - before["seconds"])
        before = point
    return None


def least_seconds_to(curves, target):
    """`seconds_to` of the quickest of several settings, or None."""
    found = [seconds for curve in curves if (seconds := seconds_to(curve, target)) is not None]
    return min(found, default=None)
