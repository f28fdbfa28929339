"""The definitions spelled out number by number, independent of NumPy's products and of mflib.

Each takes (Y, R, U, V) as Fractions and returns what its equation says.
"""

from fractions import Fraction

import numpy as np

# A learning rate that floats hold exactly, so small that a descent on `problems.whole_problems` falls
ETA = Fraction(3, 2**15)


def _matrix(rows, columns, entry):
    return np.array([[entry(i, j) for j in range(columns)] for i in range(rows)], dtype=object)


def _dot(u, v):
    """Σ_s u_s v_s."""
    total = Fraction(0)
    for s in range(len(u)):
        total = total + u[s] * v[s]
    return total


def prediction(Y, R, U, V):
    """E01: ŷ_ij = Σ_s u_is v_js."""
    return _matrix(len(U), len(V), lambda i, j: _dot(U[i], V[j]))


def observed(Y, R, U, V):
    """E02: r_ij = 1 where y_ij is there; the mask of the problem says where that is."""
    return _matrix(*Y.shape, lambda i, j: Fraction(int(R[i, j])))


def count(R):
    """E03: N, by counting."""
    n = 0
    for row in R.tolist():
        for r in row:
            if r == 1:
                n = n + 1
    return n


def number_of_ratings(Y, R, U, V):
    """E03: N = Σ_ij r_ij."""
    return np.array(Fraction(count(R)), dtype=object)


def loss(Y, R, U, V):
    """E04: (1/N) Σ_{(i,j): r_ij = 1} (y_ij − u_i · v_j)²."""
    total = Fraction(0)
    for i in range(len(U)):
        for j in range(len(V)):
            if R[i, j] == 1:
                total = total + (Y[i, j] - _dot(U[i], V[j])) ** 2
    return np.array(total / count(R), dtype=object)


def step(Y, R, U, V):
    """E05: w − η g, with U for w and its rows in reverse for g."""
    return _matrix(*U.shape, lambda i, s: U[i, s] - ETA * U[len(U) - 1 - i, s])


def residual(Y, R, U, V):
    """E12: y_ij − u_i · v_j where r_ij = 1, else 0."""
    return _matrix(*Y.shape, lambda i, j: Y[i, j] - _dot(U[i], V[j]) if R[i, j] == 1 else Fraction(0))


def updated_U(Y, R, U, V):
    """E09: u_lk + (2η/N) Σ_{j: r_lj = 1} (y_lj − ŷ_lj) v_jk."""

    def entry(l, k):
        total = Fraction(0)
        for j in range(len(V)):
            if R[l, j] == 1:
                total = total + (Y[l, j] - _dot(U[l], V[j])) * V[j, k]
        return U[l, k] + 2 * ETA / count(R) * total

    return _matrix(*U.shape, entry)


def updated_V(Y, R, U, V):
    """E11: v_jk + (2η/N) Σ_{i: r_ij = 1} (y_ij − ŷ_ij) u_ik."""

    def entry(j, k):
        total = Fraction(0)
        for i in range(len(U)):
            if R[i, j] == 1:
                total = total + (Y[i, j] - _dot(U[i], V[j])) * U[i, k]
        return V[j, k] + 2 * ETA / count(R) * total

    return _matrix(*V.shape, entry)
