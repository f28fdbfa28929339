"""What a rule does to arrays that it never looks into: in one process, or in blocks on many (`blocked`)."""

from functools import singledispatch

import numpy as np

from mflib import sparse


@singledispatch
def scale(X, a):
    """The product a X.

    Parameters
    ----------
    X : ndarray, or blocks of one
    a : float

    Returns
    -------
    Of the kind of X.
    """
    return a * X


@singledispatch
def combine(X, a, Y, b, out=None):
    """The sum a X + b Y.

    Parameters
    ----------
    X, Y : ndarray, or blocks of one
        Of one dtype, float32 or float64, and one shape.
    a, b : float
    out : of the kind of X, optional
        Nobody needs it any more, so the sum may be written there; it may be X or Y.

    Returns
    -------
    Of the kind of X.
    """
    return sparse.combine(a, X, b, Y, out)


@singledispatch
def dots(X, Y, *more):
    """Σ of the products of all entries, in float64, the same for any number of threads: no BLAS.

    Parameters
    ----------
    X, Y, *more : ndarray, or blocks of one
        Of one shape: the first is multiplied with the second, the third with the fourth, and so on. Together,
        because blocks elsewhere are asked only once.

    Returns
    -------
    list of float
        One for each two.
    """
    both = iter((X, Y, *more))
    return [float(np.einsum("is,is->", A, B, dtype=np.float64)) for A, B in zip(both, both, strict=True)]
