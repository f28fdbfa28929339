"""Random problems of every kind that dense and sparse must agree on."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mflib import Ratings

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


class Problem(NamedTuple):
    """Y with NaN where R is 0, its mask, factors, and the same observed entries as Ratings."""

    Y: np.ndarray
    R: np.ndarray
    U: np.ndarray
    V: np.ndarray

    @property
    def ratings(self):
        return Ratings.from_dense(self.Y, self.R)


# name: (n, m, k, density)
KINDS = {
    "small": (4, 5, 2, 0.5),
    "sparse": (30, 20, 3, 0.05),
    "full": (5, 4, 2, 1.0),
    "k above both sizes": (3, 2, 6, 0.7),
    "one rating": (3, 4, 2, 0.0),
    "one place": (1, 1, 1, 1.0),
    "one user": (1, 7, 2, 0.6),
    "one item": (7, 1, 2, 0.6),
    "wide": (3, 60, 4, 0.3),
}


def problem(kind="small", dtype="float64", seed=0):
    """A problem of this kind; the last user and item have no rating where there is room, one rating is 0."""
    n, m, k, density = KINDS[kind]
    rng = np.random.default_rng(seed)
    R = (rng.random((n, m)) < density).astype(np.int8)
    if density < 1 and min(n, m) > 1:
        R[-1, :] = R[:, -1] = 0
    R[0, 0] = 1
    Y = np.where(R == 1, rng.integers(1, 11, (n, m)) / 2, np.nan).astype(dtype)
    if R.sum() > 1:
        Y[tuple(np.argwhere(R)[-1])] = 0
    U, V = rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(m, k)).astype(dtype)
    return Problem(Y, R, U, V)


def exact(kind="small", seed=0):
    """A problem in Fractions, with None where nothing is observed."""
    Y, R, U, V = problem(kind, seed=seed)
    Y, U, V = (fractions(np.nan_to_num(A)) for A in (Y, U, V))
    return Problem(np.where(R == 1, Y, None), R, U, V)


def fractions(A):
    """The array rounded to fourths, as Fractions."""
    return np.array([Fraction(round(4 * entry), 4) for entry in A.flat], dtype=object).reshape(A.shape)


def assert_same_bits(one, other):
    """Two descents; all but the seconds."""
    np.testing.assert_array_equal(one.U, other.U)
    np.testing.assert_array_equal(one.V, other.V)
    for field in ("iteration", "loss", "objective", "validation_rmse"):
        np.testing.assert_array_equal(one.history[field], other.history[field])
    assert one.stopped_because == other.stopped_because
