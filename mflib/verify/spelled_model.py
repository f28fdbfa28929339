"""E16 to E19 spelled out number by number, independent of NumPy's products and of `mflib.objective`.

Each takes (Y, R, U, V) as Fractions and returns what its equation says in the settings of `model_problems`.
"""

from fractions import Fraction

import numpy as np

from mflib.verify import spelled
from mflib.verify.differences import exact_derivative
from mflib.verify.model_problems import MEAN, REG, REG_WEIGHTINGS, SETTINGS, on_line

NODES = (-2, -1, 0, 1, 2)
BEYOND = 3  # one point more than a polynomial of degree 4 is settled by


def objective(Y, R, U, V, weighting, biases=False):
    """E16: the loss, and (λ/N) (Σ_i a_i ‖u_i‖² + Σ_j b_j ‖v_j‖²) without the columns held (E18)."""
    penalty = Fraction(0)
    for W, ratings, held in ((U, R, U.shape[1] - 1), (V, R.T, V.shape[1] - 2)):
        for row in range(len(W)):
            weight = int(sum(ratings[row])) if weighting == "count" else 1
            for s in range(W.shape[1]):
                if not (biases and s == held):
                    penalty = penalty + weight * W[row, s] * W[row, s]
    return spelled.loss(Y, R, U, V) + REG * penalty / spelled.count(R)


def values(Y, R, U, V):
    """E16 with both weightings."""
    return np.array([objective(Y, R, U, V, weighting) for weighting in REG_WEIGHTINGS])


def biased(Y, R, U, V):
    """E18: ŷ_ij = μ + b_i + c_j + u_i · v_j, its objective, and the derivatives of that by all but ones."""
    N, counts = spelled.count(R), (R.sum(axis=1), R.sum(axis=0))

    def prediction(U, V):
        (*factors_U, b), (*factors_V, c) = U.T, V.T
        own = spelled.prediction(Y, R, np.array(factors_U).T, np.array(factors_V).T)
        return np.array([[MEAN + b[i] + c[j] + own[i, j] for j in range(len(V))] for i in range(len(U))])

    def J(U, V):
        predicted = prediction(U, V)
        squares = sum((Y[i, j] - predicted[i, j]) ** 2 for i, j in np.argwhere(R == 1))
        penalty = sum(
            int(count) * w * w
            for W, of in zip((U, V), counts, strict=True)
            for row, count in zip(W, of, strict=True)
            for w in row
        )
        return (squares + REG * penalty) / N

    U, V = np.concatenate([U, U[:, :1]], axis=1), np.concatenate([V, V[:, -1:]], axis=1)
    grad_U, grad_V = exact_derivative(J, U, V)
    held_U, held_V = np.full((len(U), 1), Fraction(0)), np.full((len(V), 1), Fraction(0))
    return (
        prediction(U, V),
        np.array(J(U, V), dtype=object),
        np.concatenate([grad_U, held_U], axis=1),
        np.concatenate([grad_V[:, :-1], held_V, grad_V[:, -1:]], axis=1),
    )


def lines(Y, R, U, V):
    """E19: the polynomial of degree 4 through five values of J along the line; a sixth must lie on it."""
    return np.array(
        [_line(Y, R, *on_line(U, V, biases), weighting, biases) for weighting, biases in SETTINGS]
    )


def _line(Y, R, U, V, P, Q, weighting, biases):
    def J(t):
        return objective(Y, R, U + t * P, V + t * Q, weighting, biases)

    coefficients = [Fraction(0)] * 5
    for node in NODES:
        basis, others = [J(node)], [other for other in NODES if other != node]
        for other in others:  # times (t − other) / (node − other)
            raised, lowered = [Fraction(0), *basis], [*basis, Fraction(0)]
            basis = [(r - other * b) / (node - other) for r, b in zip(raised, lowered, strict=True)]
        coefficients = [c + b for c, b in zip(coefficients, basis, strict=True)]
    if sum(c * BEYOND**power for power, c in enumerate(coefficients)) != J(BEYOND):
        raise ArithmeticError("J along the line is no polynomial of degree 4")
    return coefficients
