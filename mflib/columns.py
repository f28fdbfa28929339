"""Columns of ratings, checked and encoded; `where(row)` says in an error where a row came from."""

import numbers

import numpy as np

from mflib import checks


def finite(values, where):
    """The values as a new float32 or float64 array, each of them finite."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"values must have one axis, one entry a rating, got shape {array.shape}")
    if len(array) == 0:
        raise ValueError("there is no rating at all: at least one is needed")
    if array.dtype.kind not in "biuf":  # text, mixed kinds, complex: no silent conversion
        for row, value in enumerate(values):
            if not isinstance(value, numbers.Real):
                raise ValueError(f"{where(row)}: the rating is {value!r}, expected a number")
    kept = np.array(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)
    bad = np.flatnonzero(~np.isfinite(kept))
    if len(bad):
        raise ValueError(f"{where(bad[0])}: the rating is {kept[bad[0]]}, expected a finite number")
    return kept


def one_axis(name, column, length):
    """The column with its length checked; a list stays a list, or NumPy would make text of mixed labels."""
    column = column if isinstance(column, np.ndarray) else list(column)
    if isinstance(column, np.ndarray) and column.ndim != 1:
        raise ValueError(f"{name} must have one axis, one entry a rating, got shape {column.shape}")
    if len(column) != length:
        raise ValueError(f"{name} must have one entry for each of the {length} values, got {len(column)}")
    return column


def ordered(name, column):
    """Numbers or dates."""
    array = np.asarray(column)
    if array.dtype.kind not in "iufM":
        raise TypeError(f"{name} must be numbers or dates (NumPy datetime64), got {array.dtype}")
    return array


def shape(shape):
    """Two whole numbers of at least one."""
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(f"shape must be a tuple (n_users, n_items), got {shape!r}")
    return checks.whole_number("shape[0]", shape[0], 1), checks.whole_number("shape[1]", shape[1], 1)


def _index_dtype(n_rows):
    return np.int32 if n_rows <= np.iinfo(np.int32).max else np.int64


def indices(name, column, n_rows, where):
    """Indices within range, in the smallest signed integer kind that holds them."""
    array = np.asarray(column)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}s must be whole-number indices where shape is given, got {array.dtype}: "
            "leave shape out for labels"
        )
    bad = np.flatnonzero((array < 0) | (array >= n_rows))
    if len(bad):
        raise ValueError(
            f"{where(bad[0])}: {name} {array[bad[0]]} lies outside the shape, expected 0 to {n_rows - 1}"
        )
    return array.astype(_index_dtype(n_rows))


def encode(name, column, where):
    """Distinct labels in sorted order, and each entry's place among them."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuU":
        labels, codes = np.unique(column, return_inverse=True)
        return labels.tolist(), codes.astype(_index_dtype(len(labels)))
    entries = column.tolist() if isinstance(column, np.ndarray) else column
    for row, label in enumerate(entries):
        if label is None or label != label:
            raise ValueError(f"{where(row)}: the {name} is missing ({label})")
    try:
        distinct = set(entries)
    except TypeError as error:
        raise TypeError(f"{name} labels must be hashable: {error}") from None
    try:
        labels = sorted(distinct)
    except TypeError:  # kinds that do not compare: a fixed order all the same, or the digest would change
        labels = sorted(distinct, key=lambda label: (type(label).__qualname__, repr(label)))
    place = {label: code for code, label in enumerate(labels)}
    codes = np.fromiter((place[label] for label in entries), _index_dtype(len(labels)), len(entries))
    return labels, codes
