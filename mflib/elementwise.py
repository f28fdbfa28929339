"""The lecture entry by entry: the mask and its count (E02, E03), and derivatives (E06 to E08, E10).

Generic over the kind of number; `mflib.dense`, where these names are to be used from, says more.
"""

import numpy as np

from mflib import checks


def observed(Y):
    """Mask of the observed ratings (E02): r_ij = 1 where y_ij is there, 0 where it is missing (NaN or None).

    Parameters
    ----------
    Y : ndarray, shape (n_users, n_items)
        Ratings, with NaN (or None in an object array) where there is none. A zero is a rating.

    Returns
    -------
    ndarray of int8, shape (n_users, n_items)

    Raises
    ------
    TypeError
        Where Y is no array: NaN in a list would pass for a rating.

    Examples
    --------
    >>> observed(np.array([[5.0, np.nan], [0.0, 1.0]]))
    array([[1, 0],
           [1, 1]], dtype=int8)
    """
    if not isinstance(Y, np.ndarray):
        raise TypeError(f"Y must be a NumPy array, got {type(Y).__name__}: use np.asarray(Y)")
    missing = np.equal(Y, None) | (Y != Y)  # NaN alone differs from itself, in object arrays too
    return np.where(missing, 0, 1).astype(np.int8)


def count(R):
    """Number of observed ratings (E03): N = Σ_ij r_ij, as a Python int.

    A Python int keeps the kind of what it divides: a NumPy integer would turn float32 into float64.

    Parameters
    ----------
    R : ndarray of 0 and 1, shape (n_users, n_items)

    Returns
    -------
    int

    Examples
    --------
    >>> count(np.array([[1, 0], [1, 1]]))
    3
    """
    return int(np.sum(R == 1))


def prediction_derivative(U, V, i, j):
    """Derivatives of one prediction (E06): ∂ŷ_ij/∂u_lk = v_jk if l = i, and 0 if l ≠ i.

    Likewise ∂ŷ_ij/∂v_lk = u_ik if l = j, and 0 if l ≠ j.

    Parameters
    ----------
    U : ndarray, shape (n_users, k)
    V : ndarray, shape (n_items, k)
    i, j : int
        The user and the item of the prediction.

    Returns
    -------
    d_U : ndarray, shape (n_users, k)
        Zero but for row i, which is v_j.
    d_V : ndarray, shape (n_items, k)
        Zero but for row j, which is u_i.

    Raises
    ------
    TypeError, ValueError
        Where U or V is no matrix, or their numbers of columns differ.

    Examples
    --------
    >>> d_U, d_V = prediction_derivative(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), 0, 1)
    >>> d_U.ravel(), d_V.ravel()
    (array([4., 0.]), array([0., 1.]))
    """
    checks.factors(U, V)
    d_U, d_V = zeros(U), zeros(V)
    d_U[i] = V[j]
    d_V[j] = U[i]
    return d_U, d_V


def gradients_chain_rule(Y, R, U, V):
    """Gradients by the chain rule (E07): ∂E/∂u_lk = −(2/N) Σ_{(i,j): r_ij = 1} (y_ij − ŷ_ij) ∂ŷ_ij/∂u_lk.

    Likewise for V. The step between E06 and E08: every rating adds to every entry, most of it zero.

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `dense.residual`.

    Returns
    -------
    grad_U : ndarray, shape (n_users, k)
    grad_V : ndarray, shape (n_items, k)

    Raises
    ------
    TypeError, ValueError
        As `dense.residual` does.

    Notes
    -----
    About 4 N (n + m) k operations: for the eye, on a toy.

    Examples
    --------
    >>> Y, U, V = np.array([[5.0]]), np.array([[1.0]]), np.array([[4.0]])
    >>> gradients_chain_rule(Y, observed(Y), U, V)
    (array([[-8.]]), array([[-2.]]))
    """
    mask = checks.mask(Y, R)
    checks.factors(U, V, Y.shape)
    N = count(R)
    grad_U, grad_V = zeros(U), zeros(V)
    for i, j in np.argwhere(mask):
        d_U, d_V = prediction_derivative(U, V, i, j)
        error = Y[i, j] - U[i] @ V[j]
        grad_U, grad_V = grad_U + error * d_U, grad_V + error * d_V
    return -2 * grad_U / N, -2 * grad_V / N


def gradients_elementwise(Y, R, U, V):
    """Gradients entry by entry, by loops that read like the formula (E08, E10).

    ∂E/∂u_lk = −(2/N) Σ_{j: r_lj = 1} (y_lj − ŷ_lj) v_jk and
    ∂E/∂v_jk = −(2/N) Σ_{i: r_ij = 1} (y_ij − ŷ_ij) u_ik.

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `dense.residual`.

    Returns
    -------
    grad_U : ndarray, shape (n_users, k)
    grad_V : ndarray, shape (n_items, k)

    Raises
    ------
    TypeError, ValueError
        As `dense.residual` does.

    Notes
    -----
    About 4 N k² operations in Python loops: for a toy.

    Examples
    --------
    >>> Y, U, V = np.array([[5.0]]), np.array([[1.0]]), np.array([[4.0]])
    >>> gradients_elementwise(Y, observed(Y), U, V)
    (array([[-8.]]), array([[-2.]]))
    """
    mask = checks.mask(Y, R)
    checks.factors(U, V, Y.shape)
    N = count(R)
    (n, n_factors), m = U.shape, len(V)

    def d_U(l, k):  # E08
        terms = ((Y[l, j] - U[l] @ V[j]) * V[j, k] for j in range(m) if mask[l, j])
        return -2 * sum(terms, start=zero(U)) / N

    def d_V(j, k):  # E10
        terms = ((Y[i, j] - U[i] @ V[j]) * U[i, k] for i in range(n) if mask[i, j])
        return -2 * sum(terms, start=zero(V)) / N

    grad_U = np.array([[d_U(l, k) for k in range(n_factors)] for l in range(n)])
    grad_V = np.array([[d_V(j, k) for k in range(n_factors)] for j in range(m)])
    return grad_U, grad_V


def zero(W):
    """The number 0 in the kind of W's entries, a Fraction for Fractions."""
    return type(W.flat[0])(0) if W.dtype == object and W.size else W.dtype.type(0)


def zeros(W):
    """Zeros in the shape and kind of W."""
    return np.full_like(W, zero(W))
