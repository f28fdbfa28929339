"""The lecture's equations on `Ratings`: the same names and results as `mflib.dense`, in O(N k) time.

Neither an n × m nor an N × k array is ever made. The work is done by compiled loops (`sparse_numba`) on all
threads that it may have (NUMBA_NUM_THREADS, or `set_num_threads`), or where Numba is switched off
(NUMBA_DISABLE_JIT=1) by their readable twin, `sparse_numpy`. In the compiled form no BLAS product enters:
its bits do not depend on the number of threads.
"""

import math
import os
import warnings

import numpy as np

from mflib import checks

# From so many bytes on, a copy at every call is worth a warning.
COSTLY = 1 << 20


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
    U, V = _factors(U, V)
    users, items = checks.indices("users", users, len(U)), checks.indices("items", items, len(V))
    if len(users) != len(items):
        raise ValueError(f"users and items must be of one length, got {len(users)} and {len(items)}")
    return _form().predict_pairs(U, V, users, items)


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
    U, V = _factors(U, V, ratings.shape)
    return ratings.values.astype(U.dtype) - _form().predict_pairs(U, V, ratings.users, ratings.items)


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
    checks.ratings("ratings", ratings)
    return _form().loss(ratings, *_factors(U, V, ratings.shape))


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
    8 N k operations, each residual twice: so no two threads write to one row.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> gradients(ratings, np.array([[1.0]]), np.array([[4.0]]))
    (array([[-8.]]), array([[-2.]]))
    """
    checks.ratings("ratings", ratings)
    return _form().loss_and_gradients(ratings, *_factors(U, V, ratings.shape))[1:]


def loss_and_gradients(ratings, U, V):
    """Loss (E04) and both gradients (E13, E14), from one pass by user and one by item.

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
    8 N k operations, each residual twice: so no two threads write to one row.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> loss_and_gradients(ratings, np.array([[1.0]]), np.array([[4.0]]))
    (1.0, array([[-8.]]), array([[-2.]]))
    """
    checks.ratings("ratings", ratings)
    return _form().loss_and_gradients(ratings, *_factors(U, V, ratings.shape))


def loss_and_gradient(ratings, U, V, of):
    """Loss (E04) and one of the gradients (E13 or E14), from one pass.

    Parameters
    ----------
    ratings, U, V
        As for `residual`.
    of : {"U", "V"}

    Returns
    -------
    E : float
        To rounding that of `loss`: here it is summed in the order of the pass.
    grad : ndarray of the dtype and the shape of that factor

    Raises
    ------
    TypeError, ValueError
        As `residual` does, and where `of` is neither.

    Notes
    -----
    4 N k operations.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> loss_and_gradient(ratings, np.array([[1.0]]), np.array([[4.0]]), "V")
    (1.0, array([[-2.]]))
    """
    checks.ratings("ratings", ratings)
    return _form().loss_and_gradient(
        ratings, *_factors(U, V, ratings.shape), checks.choice("of", of, ("U", "V"))
    )


def line(ratings, U, V, P, Q):
    """The loss along a line (E19): the coefficients of E(U + t P, V + t Q), a polynomial in t.

    With d = y_ij − u_i · v_j, a = u_i · q_j + p_i · v_j and b = p_i · q_j the loss is
    (1/N) Σ (d − a t − b t²)².

    Parameters
    ----------
    ratings, U, V
        As for `residual`.
    P, Q : ndarray of the dtype and the shapes of U and V
        The direction.

    Returns
    -------
    ndarray of float64, shape (5,)
        The coefficients of 1, t, t², t³ and t⁴, summed in float64.

    Raises
    ------
    TypeError, ValueError
        As `residual` does; P and Q too must fit.

    Notes
    -----
    8 N k operations in one pass by user.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> one = np.array([[1.0]])
    >>> line(ratings, one, one, one, one)  # (5 − (1 + t)²)²
    array([ 16., -16.,  -4.,   4.,   1.])
    """
    checks.ratings("ratings", ratings)
    U, V = _factors(U, V, ratings.shape)
    P, Q = _factors(P, Q, ratings.shape, names=("P", "Q"))
    if (P.dtype, P.shape) != (U.dtype, U.shape):
        raise ValueError(
            f"P and Q must be of the dtype and shapes of U and V, got P {P.dtype} {P.shape} "
            f"and U {U.dtype} {U.shape}"
        )
    return _form().line(ratings, U, V, P, Q)


def block_step(ratings, U, V, of, ridge, held=None):
    """The exact step of one factor while the other stays: the least squares of each row, for itself.

    For each row i of U it is the p with the least Σ_{j: r_ij = 1} (y_ij − (u_i + p) · v_j)² +
    ridge_i ‖u_i + p‖². With V fixed that is quadratic (E16), so ∂J/∂U (E17) is zero after the step. For V
    likewise.

    Parameters
    ----------
    ratings, U, V
        As for `residual`.
    of : {"U", "V"}
        The factor that the step is for.
    ridge : ndarray of float64, shape (rows of that factor,)
        λ a_i (or λ b_j) of E16, not negative.
    held : int, optional
        A column of that factor that does not move and is not penalized (E18).

    Returns
    -------
    ndarray of that factor's dtype and shape

    Raises
    ------
    TypeError, ValueError
        As `residual` does; where `of` is neither, and where ridge or held do not fit.

    Notes
    -----
    2 N k² operations and k³ a row; where its ratings are fewer than half of k, only as many of each. To keep
    the elimination sound, 4 k times the rounding of its mean is added to the diagonal of the equations: where
    the ratings leave a step undetermined and ridge is 0, about the shortest one is taken.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0, 0], [0, 1], [5.0, 3.0], shape=(1, 2))
    >>> U, V = np.array([[1.0]]), np.array([[1.0], [1.0]])
    >>> U + block_step(ratings, U, V, "U", ridge=np.zeros(1))
    array([[4.]])
    """
    checks.ratings("ratings", ratings)
    U, V = _factors(U, V, ratings.shape)
    moved = U if checks.choice("of", of, ("U", "V")) == "U" else V
    if not isinstance(ridge, np.ndarray) or ridge.shape != moved.shape[:1] or ridge.dtype != np.float64:
        raise ValueError(
            f"ridge must be an array of float64 of shape ({len(moved)},), one entry a row of {of}"
        )
    if not (np.all(ridge >= 0) and np.all(np.isfinite(ridge))):
        raise ValueError("ridge must be finite and not negative: it is λ times the weights of E16")
    # More than this leaves nothing of a row anyway, and products with it would overflow.
    ridge = np.minimum(ridge, math.sqrt(np.finfo(moved.dtype).max))
    if held is not None and checks.whole_number("held", held, 0) >= moved.shape[1]:
        raise ValueError(f"held must be a column of {of}, 0 to {moved.shape[1] - 1}, got {held}")
    return _form().block_step(ratings, U, V, of, ridge, -1 if held is None else held)


def top_n(U, V, users, n=10, seen=None):
    """The n items with the highest prediction (E01) for each of many users, best first.

    Parameters
    ----------
    U : ndarray of float32 or float64, shape (n_users, k)
    V : ndarray of the dtype of U, shape (n_items, k)
    users : ndarray of int, shape (n_asked,)
        Rows of U.
    n : int
        At most the number of items.
    seen : Ratings, optional
        Of the shape (n_users, n_items): what a user has rated there is left out.

    Returns
    -------
    items : ndarray of int64, shape (n_asked, n)
        Of items with equal predictions the first comes first. −1 where fewer than n are left, or where the
        predictions are NaN.
    scores : ndarray of the dtype of U, shape (n_asked, n)
        Their predictions; −∞ where there is no item.

    Raises
    ------
    TypeError, ValueError
        Where an argument does not fit the others, or is out of range.

    Notes
    -----
    2 n_items k operations a user, and up to n n_items moves where items come in ascending order of their
    predictions; beside the result no memory that grows with n_items.

    Examples
    --------
    >>> U, V = np.array([[1.0], [-1.0]]), np.array([[1.0], [3.0], [2.0]])
    >>> items, scores = top_n(U, V, np.array([0, 1]), n=2)
    >>> items.tolist(), scores.tolist()
    ([[1, 2], [0, 2]], [[3.0, 2.0], [-1.0, -2.0]])
    """
    U, V = _factors(U, V)
    users = checks.indices("users", users, len(U))
    n = checks.whole_number("n", n, 1)
    if n > len(V):
        raise ValueError(f"n must be at most the number of items, {len(V)}, got {n}")
    if seen is not None:
        checks.ratings("seen", seen)
        checks.float_factors(U, V, seen.shape)
    return _form().top_n(U, V, users, n, seen)


def combine(a, X, b, Y, out=None):
    """The sum a X + b Y: what a step does to factors that are too large to be passed over four times.

    Parameters
    ----------
    a, b : float
    X, Y : ndarray of one dtype, float32 or float64, and one shape, C-contiguous
    out : ndarray of that dtype and shape, optional
        Where the sum is written; it may be X or Y.

    Returns
    -------
    ndarray
        `out`, or a new array; the bits of NumPy's `a * X + b * Y`.

    Raises
    ------
    ValueError
        Where the arrays are not as said: the loop reads and writes them as one column each.
    """
    out = np.empty_like(X) if out is None else out
    if X.dtype not in (np.float32, np.float64):
        raise ValueError(f"X must be float32 or float64, got {X.dtype}")
    for name, A in (("X", X), ("Y", Y), ("out", out)):
        if A.shape != X.shape or A.dtype != X.dtype or not A.flags.c_contiguous:
            raise ValueError(
                f"{name} must be a C-contiguous array of {X.dtype} {X.shape}, as X is, got {A.dtype} "
                f"{A.shape} with strides {A.strides}"
            )
    return _form().combine(a, X, b, Y, out)


def _form():
    """The compiled loops, or their twin; either is loaded when it is first needed."""
    switched_off = os.environ.get("NUMBA_DISABLE_JIT") or "0"
    if switched_off not in ("0", "1"):
        raise ValueError(f"the environment variable NUMBA_DISABLE_JIT must be 0 or 1, got {switched_off!r}")
    if switched_off == "1":
        from mflib import sparse_numpy as form
    else:
        from mflib import sparse_numba as form
    return form


def _factors(U, V, shape=None, names=("U", "V")):
    """U and V, checked, with their rows one after another in memory."""
    checks.float_factors(U, V, shape, names)
    return _rows_in_order(names[0], U), _rows_in_order(names[1], V)


def _rows_in_order(name, W):
    if W.flags.c_contiguous and W.flags.aligned:
        return W
    if W.nbytes >= COSTLY:
        warnings.warn(
            f"{name} is not contiguous by row, or not aligned: use {name}.copy(), or each call makes a copy",
            stacklevel=4,  # who called loss, gradients, …
        )
    return np.require(W, requirements=("C", "A"))
