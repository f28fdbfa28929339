"""The lecture's equations on `Ratings`: the same names and results as `mflib.dense`, in O(N k) time.

Neither an n × m nor an N × k array is ever made: predictions are computed for a block of ratings at a
time, and the two matrix products run over the observed entries only. No BLAS product enters, so the bits
do not depend on a number of threads.
"""

import numpy as np

from mflib import checks

# Ratings whose rows are gathered at once: small enough for the two blocks of rows to stay in cache at k = 32.
BLOCK = 4096


def predict_pairs(U, V, users, items):
    """Prediction for given pairs (E01): ŷ_ij = u_i · v_j.

    Parameters
    ----------
    U : ndarray of float32 or float64, shape (n_users, k)
    V : ndarray of the dtype of U, shape (n_items, k)
    users, items : ndarray of int, shape (n_pairs,)
        Row and column indices.

    Returns
    -------
    ndarray of the dtype of U, shape (n_pairs,)

    Raises
    ------
    TypeError, ValueError
        Where U and V do not fit each other, or the indices are of unequal length, no integers, or out of
        range.

    Notes
    -----
    2 k operations a pair.

    Examples
    --------
    >>> U, V = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    >>> predict_pairs(U, V, np.array([0, 0]), np.array([0, 1]))
    array([11., 17.])
    """
    checks.float_factors(U, V)
    users, items = checks.indices("users", users, len(U)), checks.indices("items", items, len(V))
    if len(users) != len(items):
        raise ValueError(f"users and items must be of one length, got {len(users)} and {len(items)}")
    return _predict_pairs(U, V, users, items)


def residual(ratings, U, V):
    """Residual of each observed rating (E12): y_ij − u_i · v_j, in the order of `ratings.values`.

    Parameters
    ----------
    ratings : Ratings
    U : ndarray of float32 or float64, shape (n_users, k)
    V : ndarray of the dtype of U, shape (n_items, k)

    Returns
    -------
    ndarray of the dtype of U, shape (n_ratings,)
        The entries of Δ where r_ij = 1; the others are 0 and not stored.

    Raises
    ------
    TypeError, ValueError
        Where U and V do not fit the ratings or each other.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 2))
    >>> residual(ratings, np.array([[1.0]]), np.array([[4.0], [2.0]]))
    array([1.])
    """
    checks.ratings("ratings", ratings)
    checks.float_factors(U, V, ratings.shape)
    return ratings.values.astype(U.dtype) - _predict_pairs(U, V, ratings.users, ratings.items)


def loss(ratings, U, V):
    """Masked mean squared error (E04): E(U, V) = (1/N) Σ_{(i,j): r_ij = 1} (y_ij − u_i · v_j)².

    Parameters
    ----------
    ratings, U, V
        As for `residual`.

    Returns
    -------
    float
        Summed in float64; rating points squared.

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Notes
    -----
    2 N k operations.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0, 0], [0, 1], [5.0, 2.0], shape=(1, 2))
    >>> loss(ratings, np.array([[1.0]]), np.array([[4.0], [2.0]]))
    0.5
    """
    return _mean_square(residual(ratings, U, V))


def gradients(ratings, U, V):
    """Gradients ∂E/∂U = −(2/N) Δ V (E13) and ∂E/∂V = −(2/N) Δᵀ U (E14), Δ sparse.

    Parameters
    ----------
    ratings, U, V
        As for `residual`.

    Returns
    -------
    grad_U : ndarray of the dtype of U, shape (n_users, k)
    grad_V : ndarray of the dtype of U, shape (n_items, k)

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Notes
    -----
    6 N k operations.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> gradients(ratings, np.array([[1.0]]), np.array([[4.0]]))
    (array([[-8.]]), array([[-2.]]))
    """
    return _products(ratings, residual(ratings, U, V), U, V)


def loss_and_gradients(ratings, U, V):
    """Loss (E04) and both gradients (E13, E14) from one pass over the residuals.

    Parameters
    ----------
    ratings, U, V
        As for `residual`.

    Returns
    -------
    E : float
    grad_U : ndarray of the dtype of U, shape (n_users, k)
    grad_V : ndarray of the dtype of U, shape (n_items, k)

    Raises
    ------
    TypeError, ValueError
        As `residual` does.

    Notes
    -----
    6 N k operations.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> loss_and_gradients(ratings, np.array([[1.0]]), np.array([[4.0]]))
    (1.0, array([[-8.]]), array([[-2.]]))
    """
    D = residual(ratings, U, V)
    return _mean_square(D), *_products(ratings, D, U, V)


def _predict_pairs(U, V, users, items):
    """E01 block by block, or the gathered rows would be two N × k arrays."""
    predicted = np.empty(len(users), dtype=U.dtype)
    for start in range(0, len(users), BLOCK):
        block = slice(start, start + BLOCK)
        np.einsum("ps,ps->p", U[users[block]], V[items[block]], out=predicted[block])
    return predicted


def _mean_square(D):
    """(1/N) Σ Δ², summed in float64."""
    return float(np.sum(np.square(D, dtype=np.float64)) / len(D))


def _products(ratings, D, U, V):
    """E13 and E14 as products of a sparse matrix with a dense one."""
    from scipy.sparse import csr_array  # a third of a second, so not at import

    n, m = ratings.shape
    by_user = csr_array((D, ratings.items, ratings.user_starts), shape=(n, m))
    order = ratings.by_item
    by_item = csr_array((D[order], ratings.users[order], ratings.item_starts), shape=(m, n))
    grad_U, grad_V = by_user @ V, by_item @ U
    for gradient in (grad_U, grad_V):
        gradient *= -2 / ratings.n_ratings  # in place: one array less
    return grad_U, grad_V
