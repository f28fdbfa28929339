"""Checks at the public edge: every message says which argument, what was expected, what came, what to do."""

import difflib
import numbers

import numpy as np


def factors(U, V, shape=None, names=("U", "V")):
    """Check that U and V are matrices with the same number of columns, and rows as `shape` asks.

    Parameters
    ----------
    U, V : ndarray, shapes (n_users, k) and (n_items, k)
    shape : tuple of int, optional
        (n_users, n_items) of the ratings that U and V must fit.
    names : tuple of str
        What the caller calls them.

    Raises
    ------
    TypeError, ValueError
        Where they do not; the message names the axis that must agree.
    """
    first, second = names
    for name, W in ((first, U), (second, V)):
        if not isinstance(W, np.ndarray):
            raise TypeError(f"{name} must be a NumPy array, got {type(W).__name__}: use np.asarray({name})")
        if isinstance(W, np.ma.MaskedArray):
            raise TypeError(f"{name} must have no mask, which would be lost: use {name}.filled(...)")
        if W.ndim != 2:
            raise ValueError(f"{name} must have two axes (rows, factors), got shape {W.shape}")
        _numbers(name, W)
    if U.shape[1] != V.shape[1]:
        raise ValueError(
            f"{first} and {second} must have the same number of factors (axis 1), "
            f"got {first} {U.shape} and {second} {V.shape}"
        )
    if U.shape[1] == 0:
        raise ValueError(
            f"{first} and {second} must have at least one factor (axis 1), "
            f"got {first} {U.shape} and {second} {V.shape}"
        )
    if shape is not None:
        for name, W, rows, what in ((first, U, shape[0], "users"), (second, V, shape[1], "items")):
            if len(W) != rows:
                raise ValueError(
                    f"{name} must have one row for each of the {rows} {what} of the ratings (axis 0), "
                    f"got shape {W.shape}"
                )


def float_factors(U, V, shape=None, names=("U", "V")):
    """As `factors`, and both float32 or both float64: a silent conversion would be a copy at every call."""
    factors(U, V, shape, names)
    if U.dtype != V.dtype or U.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{names[0]} and {names[1]} must both be float32 or both float64, "
            f"got {U.dtype} and {V.dtype}: use .astype(...)"
        )


def ratings(name, value):
    """Check that `value` is `Ratings`: kernels trust the indices of these alone."""
    from mflib.ratings import Ratings  # which imports this module

    if not isinstance(value, Ratings):
        raise TypeError(
            f"{name} must be Ratings, got {type(value).__name__}: make them with Ratings.from_arrays, "
            "from_dense, from_frame, from_scipy or from_csv"
        )


def mask(Y, R):
    """Check Y and its mask R: same two-axis shape, R of zeros and ones, at least one of them a one.

    Returns
    -------
    ndarray of bool
        R as truth values.

    Raises
    ------
    TypeError, ValueError
        Where they do not fit, an observed entry of Y is missing or not finite, or nothing is observed (then
        N = 0 and E04 has no value).
    """
    for name, A in (("Y", Y), ("R", R)):
        if not isinstance(A, np.ndarray):
            raise TypeError(f"{name} must be a NumPy array, got {type(A).__name__}: use np.asarray({name})")
        if A.ndim != 2:
            raise ValueError(f"{name} must have two axes (users, items), got shape {A.shape}")
    _numbers("Y", Y)
    if Y.shape != R.shape:
        raise ValueError(f"R must have the shape of Y, got Y {Y.shape} and R {R.shape}")
    observed = R == 1
    if not np.all(observed | (R == 0)):
        raise ValueError(
            "R must hold only 0 (missing) and 1 (observed), got other values: use dense.observed(Y)"
        )
    if not observed.any():
        raise ValueError(
            "R marks no rating as observed, so N = 0 and the loss has no value: observe at least one"
        )
    bad = np.argwhere(observed & _not_finite(Y))
    if len(bad):
        i, j = bad[0]
        raise ValueError(
            f"Y[{i}, {j}] is {Y[i, j]}, expected a number where R marks a rating as observed: "
            "use R = dense.observed(Y)"
        )
    return observed


def _not_finite(Y):
    """Where Y holds NaN, infinity or, as an object array, None."""
    return np.equal(Y, None) | (Y != Y) if Y.dtype == object else ~np.isfinite(Y)


def _numbers(name, A):
    """Check that an array can hold numbers: whole, real, complex, or objects such as Fractions."""
    if A.dtype.kind not in "biufcO":
        raise TypeError(f"{name} must hold numbers, got {A.dtype}")


def whole_number(name, value, least):
    """Check that `value` is an integer of at least `least`, and return it as int."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def real_number(name, value, low, high, *, low_open=False, high_open=False):
    """Check that `value` is a finite real number within the given bounds, and return it as float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    inside = (value > low if low_open else value >= low) and (value < high if high_open else value <= high)
    if not inside:  # NaN compares false with everything, so it ends here too
        bounds = f"{'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"
        raise ValueError(f"{name} must lie in {bounds}, got {value}")
    return float(value)


def truth(name, value):
    """Check that `value` is True or False, Python's or NumPy's, and return it as bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def float_dtype(name, value):
    """Check that `value` means float32 or float64, and return it as a NumPy dtype."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype not in (np.float32, np.float64):
        raise ValueError(f"{name} must be float32 or float64, got {value!r}")
    return dtype


def choice(name, value, accepted):
    """Check that `value` is one of `accepted`, and return it."""
    if not isinstance(value, str | None) or value not in accepted:  # an array equals all or nothing
        raise ValueError(f"{name} must be one of {', '.join(map(repr, accepted))}, got {value!r}")
    return value


def column(argument, name, found, place):
    """Check that a table has the column `name`; the message offers the nearest one."""
    if name not in found:
        near = difflib.get_close_matches(str(name), [str(other) for other in found], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"found {', '.join(map(repr, found))}"
        raise ValueError(f"{argument}={name!r} is no column of {place}: {hint}")


def columns(named, found, place):
    """Check that a table has each of these columns, once, and that no two of them are the same.

    Parameters
    ----------
    named : dict of str to str
        By the argument that names it.
    found : iterable of str
        The names of all columns.
    place : str
        Of the table, for messages.
    """
    found, arguments = list(found), {}
    for argument, name in named.items():
        column(argument, name, found, place)
        if name in arguments:
            raise ValueError(
                f"{arguments[name]} and {argument} are both the column {name!r} of {place}: "
                "name another for one of them"
            )
        if (n := found.count(name)) > 1:
            raise ValueError(f"{argument}={name!r} names {n} columns of {place}: rename all but one")
        arguments[name] = argument


def shape(value):
    """Check that `value` is (n_users, n_items), two whole numbers of at least one, and return it as ints."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"shape must be a tuple (n_users, n_items), got {value!r}")
    return whole_number("shape[0]", value[0], 1), whole_number("shape[1]", value[1], 1)


def indices(name, array, n_rows):
    """Check whole-number indices from 0 to n_rows - 1 along one axis, and return a copy of them as int64.

    A copy, because a kernel trusts what was checked, and another thread might write to the caller's array.
    """
    array = np.asarray(array)
    if array.shape == (0,):
        return np.empty(0, dtype=np.int64)  # [] is an array of float64 to NumPy
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be whole-number indices along one axis, got {array.dtype} {array.shape}"
        )
    array = array.astype(array.dtype.newbyteorder("="))
    bad = np.flatnonzero((array < 0) | (array >= n_rows))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is {array[bad[0]]}, expected 0 to {n_rows - 1}")
    return array.astype(np.int64, copy=False)


def same_shape(name, others, train):
    """Check that other ratings index the users and items of the training ratings."""
    ratings(name, others)
    if others.shape != train.shape:
        raise ValueError(
            f"{name} must have the shape of the training ratings, got {others.shape} and {train.shape}: "
            "make both with Ratings.split, or give both the same shape"
        )
