"""Wrong versions of the objective, its gradients and its line (E16 to E19) that a person could write.

Most are objectives of the dense twin that were tampered with; they take and return what their subject does.
"""

from functools import wraps

import numpy as np

from mflib import dense
from mflib.verify.model_problems import (
    MEAN,
    SETTINGS,
    biased,
    extended,
    in_kind,
    on_line,
    on_matrix,
)


def _tampered(tamper):
    """Makes objectives with something changed in them."""

    @wraps(tamper)
    def objectives(*problem):
        def make(*setting):
            objective = on_matrix(*problem)(*setting)
            tamper(objective)
            return objective

        return make

    return objectives


@_tampered
def no_penalty(objective):
    objective.reg = 0 * objective.reg


@_tampered
def penalty_halved(objective):
    """(λ/2N), as many write it: then the gradient has no factor 2."""
    objective.reg = objective.reg / 2


@_tampered
def penalty_not_divided(objective):
    objective.reg = objective.reg * objective.N


@_tampered
def penalty_off_by_a_thousandth(objective):
    objective.reg = objective.reg * 1001 / 1000


@_tampered
def penalty_rewarded(objective):
    """The wrong sign."""
    objective.reg = -objective.reg


@_tampered
def weights_swapped(objective):
    """A for b and b for a, rows repeated or left out to make the shapes fit."""
    objective.a, objective.b = (
        np.resize(weights, len(other))
        for weights, other in ((objective.b, objective.a), (objective.a, objective.b))
    )


@_tampered
def weights_ignored(objective):
    """A = b = 1, whatever was asked for."""
    objective.a, objective.b = np.ones_like(objective.a), np.ones_like(objective.b)


@_tampered
def users_alone_penalized(objective):
    objective.b = 0 * objective.b


@_tampered
def penalty_divided_twice(objective):
    objective.reg = objective.reg / objective.N


# E18


class _Held:
    """An objective whose columns held at 1 are not all left alone."""

    def __init__(self, make, weighting, penalized, trained):
        self.right, self.wrong = make(weighting, True), make(weighting, False)
        self.penalized, self.trained = penalized, trained

    def evaluate(self, U, V):
        E, J, grad_U, grad_V = (self.wrong if self.penalized else self.right).evaluate(U, V)
        if self.trained:
            if not self.penalized:
                free_U, free_V = dense.gradients(*self.right._loss.args, U, V)
                grad_U[:, -1], grad_V[:, -2] = free_U[:, -1], free_V[:, -2]
        else:
            grad_U[:, -1], grad_V[:, -2] = grad_U[:, -1] * 0, grad_V[:, -2] * 0
        return E, J, grad_U, grad_V


def _held(**which):
    return lambda *problem: lambda weighting, biases: _Held(on_matrix(*problem), weighting, **which)


held_penalized = _held(penalized=True, trained=False)
held_trained = _held(penalized=False, trained=True)
held_like_all_others = _held(penalized=True, trained=True)


def columns_swapped(U, V):
    """(1, b_i) and (1, c_j): the product is 1 + b_i c_j + u_i · v_j."""
    U, V = extended(U, V)
    U[:, [-1, -2]] = U[:, [-2, -1]]
    return U, V


def mean_forgotten(Y, R, U, V):
    """Ratings as they are, μ only in the prediction."""
    shifted = np.where(R == 1, Y, 0 * in_kind(MEAN, U)) + in_kind(MEAN, U)
    return biased(on_matrix, dense.predict)(shifted, R, U, V)


# E19


def _lines(change):
    """The right coefficients in every setting, changed."""

    @wraps(change)
    def mutant(Y, R, U, V):
        rows = []
        for setting in SETTINGS:
            objective, line = on_matrix(Y, R, U)(*setting), on_line(U, V, setting[1])
            rows.append(change(objective.along(*line), objective, line))
        return np.array(rows)

    return mutant


def _products(objective, line):
    """d, a and b of every rating, and N."""
    (Y, R), (U, V, P, Q) = objective._line.args, line
    mask, d = R == 1, dense.residual(Y, R, U, V)
    return d, np.where(mask, U @ Q.T + P @ V.T, 0), np.where(mask, P @ Q.T, 0), objective.N


@_lines
def line_slope_halved(c, objective, line):
    return np.array([c[0], c[1] / 2, *c[2:]])


@_lines
def line_cube_halved(c, objective, line):
    return np.array([*c[:3], c[3] / 2, c[4]])


@_lines
def line_without_db(c, objective, line):
    """Σ a² where Σ a² − 2 Σ d b should be: the bend of U Vᵀ itself forgotten, as Gauss and Newton do."""
    d, _, b, N = _products(objective, line)
    return np.array([*c[:2], c[2] + 2 * np.sum(d * b) / N, *c[3:]])


@_lines
def line_straight(c, objective, line):
    """As if U Vᵀ were linear in t: b = 0."""
    d, _, b, N = _products(objective, line)
    return np.array([*c[:2], c[2] + 2 * np.sum(d * b) / N, 0 * c[3], 0 * c[4]])


@_lines
def line_downhill(c, objective, line):
    """T with the other sign."""
    return c * np.array([1, -1, 1, -1, 1])


@_lines
def line_off_by_a_thousandth(c, objective, line):
    return np.array([*c[:2], c[2] * 1001 / 1000, *c[3:]])


@_lines
def line_penalty_slope_halved(c, objective, line):
    """The penalty's 2 u · p without its 2."""
    slope = (c - objective._line(*line))[1]
    return np.array([c[0], c[1] - slope / 2, *c[2:]])


def line_moves_held_columns(Y, R, U, V):
    """The direction is not 0 in the columns held at 1."""
    rows = []
    for weighting, biases in SETTINGS:
        U_line, V_line, P, Q = on_line(U, V, biases)
        if biases:
            P, Q = extended(U[::-1], V[::-1])
        rows.append(on_matrix(Y, R, U)(weighting, biases).along(U_line, V_line, P, Q))
    return np.array(rows)


@_lines
def line_held_penalized(c, objective, line):
    """Ones are penalized as if they were factors: they add to the constant alone."""
    objective.biases = False
    return objective.along(*line)
