"""Measures of a prediction: errors in rating points, and how much of what was asked could be answered."""

import numpy as np

from mflib import checks


def rmse(values, predicted):
    """Root mean squared error: √((1/N) Σ (y − ŷ)²), the square root of E04 on the given pairs.

    Parameters
    ----------
    values, predicted : ndarray, shape (n_pairs,)

    Returns
    -------
    float
        In rating points.

    Raises
    ------
    ValueError
        Where lengths differ or there is no pair.

    Examples
    --------
    >>> rmse(np.array([5.0, 3.0]), np.array([4.0, 3.0])) == 0.5**0.5
    True
    """
    return float(np.sqrt(np.mean(np.square(_errors(values, predicted)))))


def mae(values, predicted):
    """Mean absolute error: (1/N) Σ |y − ŷ|.

    Parameters
    ----------
    values, predicted : ndarray, shape (n_pairs,)

    Returns
    -------
    float
        In rating points.

    Raises
    ------
    ValueError
        Where lengths differ or there is no pair.

    Examples
    --------
    >>> mae(np.array([5.0, 3.0]), np.array([4.0, 3.0]))
    0.5
    """
    return float(np.mean(np.abs(_errors(values, predicted))))


def coverage(train, ratings):
    """Share of `ratings` whose user and item both have a rating in `train`: of both something was learned.

    Parameters
    ----------
    train, ratings : Ratings
        Of one shape.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        Where their shapes differ.

    Examples
    --------
    >>> from mflib import Ratings
    >>> train = Ratings.from_arrays([0, 1], [0, 0], [5.0, 4.0], shape=(2, 2))
    >>> coverage(train, Ratings.from_arrays([0, 1], [0, 1], [5.0, 4.0], shape=(2, 2)))
    0.5
    """
    checks.same_shape("ratings", ratings, train)
    return float(np.mean(train.knows(ratings.users, ratings.items)))


def _errors(values, predicted):
    """The errors y − ŷ in float64."""
    values, predicted = np.asarray(values), np.asarray(predicted)
    if values.shape != predicted.shape or values.ndim != 1 or len(values) == 0:
        raise ValueError(
            "values and predicted must have one axis, one length and at least one pair, "
            f"got shapes {values.shape} and {predicted.shape}"
        )
    return values.astype(np.float64) - predicted
