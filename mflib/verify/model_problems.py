"""The settings in which E16 to E19 are proved: a penalty, both weightings, biases and directions.

They are made from the (Y, R, U, V) that every proof starts from. All numbers are exact in floats.
"""

from fractions import Fraction

import numpy as np

from mflib import sparse
from mflib.objective import Objective
from mflib.verify.equation import ratings_of

REG = Fraction(3, 8)
MEAN = Fraction(7, 2)  # μ of E18
# Of the weightings those that are rational; the square root is but another number in the same place.
REG_WEIGHTINGS = ("plain", "count")
SETTINGS = tuple((weighting, biases) for weighting in REG_WEIGHTINGS for biases in (False, True))


def in_kind(number, W):
    """A Fraction as it is for Fractions, as a float for floats."""
    return number if W.dtype == object else float(number)


def on_matrix(Y, R, U):
    """Makes objectives of the dense twin: a function of the weighting and of whether there are biases."""
    return lambda weighting, biases: Objective.of_dense(Y, R, in_kind(REG, U), weighting, biases)


def on_ratings(Y, R, U):
    """Makes objectives of the sparse twin."""
    ratings = ratings_of(Y, R, U.dtype)
    return lambda weighting, biases: Objective.of_ratings(ratings, in_kind(REG, U), weighting, biases)


def extended(U, V):
    """U with (b_i, 1) and V with (1, c_j) appended; the biases are the outermost factors again."""
    ones_U, ones_V = (W[:, :1] * 0 + 1 for W in (U, V))
    return np.concatenate([U, U[:, :1], ones_U], axis=1), np.concatenate([V, ones_V, V[:, -1:]], axis=1)


def on_line(U, V, biases):
    """A start and a direction, that is 0 in the columns held: the factors, and their rows in reverse."""
    P, Q = U[::-1].copy(), V[::-1].copy()
    if not biases:
        return U, V, P, Q
    P, Q = extended(P, Q)
    P[:, -1], Q[:, -2] = P[:, -1] * 0, Q[:, -2] * 0
    return *extended(U, V), P, Q


def predict_all(U, V):
    """E01 for every pair, by the sparse twin."""
    users, items = (places.ravel() for places in np.indices((len(U), len(V))))
    return sparse.predict_pairs(U, V, users, items).reshape(len(U), len(V))


def values(objectives):
    """E16: J with both weightings."""

    def subject(Y, R, U, V):
        make = objectives(Y, R, U)
        return np.array([make(weighting, False).value(U, V) for weighting in REG_WEIGHTINGS])

    return subject


def one_value(objectives):
    """Both weightings in one number, told apart by a factor: J of "plain" and 2 J of "count"."""

    def subject(Y, R, U, V):
        make = objectives(Y, R, U)
        plain, count = (make(weighting, False) for weighting in REG_WEIGHTINGS)
        return 3 * plain.loss(U, V) + plain.penalty(U, V) + 2 * count.penalty(U, V)

    return subject


def gradients(objectives):
    """E17: the gradients of `one_value`."""

    def subject(Y, R, U, V):
        make = objectives(Y, R, U)
        plain, count = (make(weighting, False).evaluate(U, V)[2:] for weighting in REG_WEIGHTINGS)
        return tuple(p + 2 * c for p, c in zip(plain, count, strict=True))

    return subject


def biased(objectives, predict, extend=extended):
    """E18: the predictions, and J with its gradients on the ratings less their mean."""

    def subject(Y, R, U, V):
        mean = in_kind(MEAN, U)
        objective = objectives(np.where(R == 1, Y, 0 * mean) - mean, R, U)("count", True)
        U, V = extend(U, V)
        return mean + predict(U, V), *objective.evaluate(U, V)[1:]

    return subject


def lines(objectives):
    """E19: the coefficients along a line in every setting."""

    def subject(Y, R, U, V):
        make = objectives(Y, R, U)
        return np.array([make(*setting).along(*on_line(U, V, setting[1])) for setting in SETTINGS])

    return subject


def largest_factor(problem):
    """A penalty's gradient adds to that of the loss less than the largest factor."""
    return 2 * max(np.max(np.abs(problem.U)), np.max(np.abs(problem.V)))


def squared_factors(problem):
    """A penalty's coefficient adds to that of the loss less than the squares of all factors."""
    return 2 * sum(float(np.sum(W.astype(np.float64) ** 2)) for W in (problem.U, problem.V))
