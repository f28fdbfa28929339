"""The lecture as written: E01 to E15 on dense arrays, readable and generic over the kind of number; and E19.

float32, float64, complex128 and object arrays of `fractions.Fraction` give results of their own kind, so the
very lines below can be run in exact arithmetic. Y is n × m, R its mask, U n × k, V m × k; what stands in Y
where R is 0 never matters, be it NaN. Cost: n × m arrays are made, this is for matrices that one can look at;
`mflib.sparse` has the same names for real data.
"""

import numpy as np

from mflib import checks
from mflib.elementwise import (
    count,
    gradients_chain_rule,
    gradients_elementwise,
    observed,
    prediction_derivative,
    zero,
)

__all__ = [
    "count",
    "descend_step",
    "gradients",
    "gradients_chain_rule",
    "gradients_elementwise",
    "line",
    "loss",
    "loss_and_gradients",
    "observed",
    "predict",
    "prediction_derivative",
    "residual",
    "update",
]


def predict(U, V):
    """Prediction (E01): Ŷ = U Vᵀ, that is ŷ_ij = u_i · v_j = Σ_s u_is v_js.

    Parameters
    ----------
    U : ndarray, shape (n_users, k)
    V : ndarray, shape (n_items, k)

    Returns
    -------
    ndarray, shape (n_users, n_items), of the kind of U and V

    Raises
    ------
    TypeError, ValueError
        Where U or V is no matrix, or their numbers of columns differ.

    Notes
    -----
    2 n m k operations, n × m numbers.

    Examples
    --------
    >>> predict(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]))
    array([[11., 17.]])
    """
    checks.factors(U, V)
    return U @ V.T


def residual(Y, R, U, V):
    """Masked residual, truth minus prediction (E12): Δ = (Y − U Vᵀ) ∘ R, Δ_ij = (y_ij − u_i · v_j) r_ij.

    Parameters
    ----------
    Y : ndarray, shape (n_users, n_items)
        Ratings; what stands where R is 0 is never looked at.
    R : ndarray of 0 and 1, shape (n_users, n_items)
    U : ndarray, shape (n_users, k)
    V : ndarray, shape (n_items, k)

    Returns
    -------
    ndarray, shape (n_users, n_items), of the kind that Y, U and V have together

    Raises
    ------
    TypeError, ValueError
        Where shapes do not fit, R holds something else than 0 and 1, nothing is observed, or an observed
        rating is missing or not finite.

    Examples
    --------
    >>> Y = np.array([[5.0, np.nan]])
    >>> residual(Y, observed(Y), np.array([[1.0]]), np.array([[4.0], [2.0]]))
    array([[1., 0.]])
    """
    mask = checks.mask(Y, R)
    checks.factors(U, V, Y.shape)
    nothing = zero(U)
    # Taken literally, 0 × NaN is NaN: the mask selects, it does not multiply.
    return np.where(mask, np.where(mask, Y, nothing) - predict(U, V), nothing)


def loss(Y, R, U, V):
    """Masked mean squared error (E04): E(U, V) = (1/N) Σ_{(i,j): r_ij = 1} (y_ij − u_i · v_j)².

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `residual`.

    Returns
    -------
    scalar of the kind that Y, U and V have together; rating points squared

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Notes
    -----
    Squares are taken without a modulus: E is a polynomial, so it can be evaluated at complex points.

    Examples
    --------
    >>> Y = np.array([[5.0, np.nan], [0.0, 1.0]])
    >>> U, V = np.array([[1.0], [0.0]]), np.array([[4.0], [2.0]])
    >>> float(loss(Y, observed(Y), U, V)) == ((5 - 4)**2 + (0 - 0)**2 + (1 - 0)**2) / 3
    True
    """
    return np.sum(residual(Y, R, U, V) ** 2) / count(R)


def gradients(Y, R, U, V):
    """Gradients as two matrix products: ∂E/∂U = −(2/N) Δ V (E13) and ∂E/∂V = −(2/N) Δᵀ U (E14).

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `residual`.

    Returns
    -------
    grad_U : ndarray, shape (n_users, k)
    grad_V : ndarray, shape (n_items, k)

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Notes
    -----
    6 n m k operations, n × m numbers.

    Examples
    --------
    >>> Y, U, V = np.array([[5.0]]), np.array([[1.0]]), np.array([[4.0]])
    >>> gradients(Y, observed(Y), U, V)
    (array([[-8.]]), array([[-2.]]))
    """
    D, N = residual(Y, R, U, V), count(R)
    # The division comes last: −(2/N) would turn a Fraction into a float.
    return -2 * (D @ V) / N, -2 * (D.T @ U) / N


def loss_and_gradients(Y, R, U, V):
    """Loss (E04) and both gradients (E13, E14).

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `residual`.

    Returns
    -------
    E : scalar of the kind that Y, U and V have together
    grad_U : ndarray, shape (n_users, k)
    grad_V : ndarray, shape (n_items, k)

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Examples
    --------
    >>> Y, U, V = np.array([[5.0]]), np.array([[1.0]]), np.array([[4.0]])
    >>> E, *gradients = loss_and_gradients(Y, observed(Y), U, V)
    >>> float(E), gradients
    (1.0, [array([[-8.]]), array([[-2.]])])
    """
    return loss(Y, R, U, V), *gradients(Y, R, U, V)


def line(Y, R, U, V, P, Q):
    """The loss along a line (E19): the coefficients of E(U + t P, V + t Q), a polynomial in t.

    With d = y_ij − u_i · v_j, a = u_i · q_j + p_i · v_j and b = p_i · q_j the loss is
    (1/N) Σ (d − a t − b t²)², the sum over r_ij = 1.

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `residual`.
    P, Q : ndarray, of the shapes of U and V
        The direction.

    Returns
    -------
    ndarray, shape (5,), of the kind that all have together
        The coefficients of 1, t, t², t³ and t⁴.

    Raises
    ------
    TypeError, ValueError
        As `residual` does; P and Q too must fit.

    Notes
    -----
    8 n m k operations, n × m numbers.

    Examples
    --------
    >>> Y, one = np.array([[5.0]]), np.array([[1.0]])
    >>> line(Y, observed(Y), one, one, one, one)  # (5 − (1 + t)²)²
    array([ 16., -16.,  -4.,   4.,   1.])
    """
    d, mask, N = residual(Y, R, U, V), R == 1, count(R)
    checks.factors(P, Q, Y.shape, names=("P", "Q"))
    if P.shape != U.shape:
        raise ValueError(f"P and Q must be of the shapes of U and V, got P {P.shape} and U {U.shape}")
    a = np.where(mask, U @ Q.T + P @ V.T, zero(U))
    b = np.where(mask, P @ Q.T, zero(U))
    terms = d * d, -2 * d * a, a * a - 2 * d * b, 2 * a * b, b * b
    return np.array([np.sum(term) / N for term in terms])


def descend_step(W, gradient, learning_rate):
    """One step of gradient descent (E05): w − η ∂E/∂w for every parameter w.

    Parameters
    ----------
    W, gradient : ndarray of one shape
    learning_rate : scalar
        η, of the kind of W (a Python float goes with every float and complex).

    Returns
    -------
    ndarray, a new array of the shape of W

    Examples
    --------
    >>> descend_step(np.array([1.0]), np.array([10.0]), 0.05)
    array([0.5])
    """
    return W - learning_rate * gradient


def update(Y, R, U, V, learning_rate):
    """One update of both factors at once: u_lk + (2η/N) Σ_j … (E09) and v_jk + (2η/N) Σ_i … (E11).

    Both right-hand sides use the same (U, V): updating V with the new U is another method.

    Parameters
    ----------
    Y, R, U, V : ndarray
        As for `residual`.
    learning_rate : scalar
        η.

    Returns
    -------
    U, V : ndarray
        New arrays, the arguments stay as they are.

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Examples
    --------
    >>> Y, U, V = np.array([[5.0]]), np.array([[1.0]]), np.array([[4.0]])
    >>> update(Y, observed(Y), U, V, learning_rate=0.5)
    (array([[5.]]), array([[5.]]))
    """
    grad_U, grad_V = gradients(Y, R, U, V)
    return descend_step(U, grad_U, learning_rate), descend_step(V, grad_V, learning_rate)
