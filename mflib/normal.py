"""The normal equations of items whose ratings lie in several places: summed, then solved.

`sparse.block_step` finds and solves those of a row at once; here one place adds what it knows.
"""

from mflib import sparse


def equations(ratings, U, V, first, after, held=None):
    """What these ratings add to the normal equations of the items from `first` to `after`.

    Parameters
    ----------
    ratings, U, V
        As for `sparse.residual`.
    first, after : int
    held : int, optional
        A column of V that does not move and is not penalized (E18): 0 here.

    Returns
    -------
    ndarray of the dtype of V, shape (after − first, k (k + 3) / 2)
        Of each Σ_{i: r_ij = 1} u_i u_iᵀ, which is symmetric, the rows up to the diagonal; then
        Σ_{i: r_ij = 1} Δ_ij u_i.

    Notes
    -----
    2 k² operations a rating.

    Examples
    --------
    >>> import numpy as np
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0, 1], [0, 0], [5.0, 3.0], shape=(2, 1))
    >>> equations(ratings, np.array([[1.0], [2.0]]), np.array([[1.0]]), 0, 1)
    array([[5., 6.]])
    """
    return sparse._form().equations(ratings, U, V, first, after, -1 if held is None else held)


def step(sums, V, ridge, held=None):
    """The step of each row of V from its equations, as `sparse.block_step` solves them.

    Parameters
    ----------
    sums : ndarray of the dtype of V, shape (rows, k (k + 3) / 2)
        Of what `equations` returns, over all ratings.
    V : ndarray, shape (rows, k)
    ridge : ndarray of float64, shape (rows,)
        λ b_j of E16.
    held : int, optional
        As for `equations`.

    Returns
    -------
    ndarray of the dtype of V, shape (rows, k)

    Examples
    --------
    >>> import numpy as np
    >>> step(np.array([[5.0, 6.0]]), np.array([[1.0]]), np.zeros(1))
    array([[1.2]])
    """
    return sparse._form().solved(sums, V, ridge, -1 if held is None else held)
