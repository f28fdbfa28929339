"""Columns of ratings, checked and encoded; `where(row)` says in an error where a row came from."""

import numbers
import sys

import numpy as np


def finite(values, where):
    """The values as a new float32 or float64 array, each of them finite."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError("values is a masked array, whose mask would be lost: leave its masked rows out")
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"values must have one axis, one entry a rating, got shape {array.shape}")
    if len(array) == 0:
        raise ValueError("there is no rating at all: at least one is needed")
    if array.dtype.kind not in "biuf":  # text, mixed kinds, complex: no silent conversion
        for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
            if not isinstance(value, numbers.Real):
                raise ValueError(f"{where(row)}: the rating is {value!r}, expected a number")
            if abs(value) > sys.float_info.max:  # a Python integer can be
                raise ValueError(
                    f"{where(row)}: the rating is larger than any float, expected a finite number"
                )
    kept = np.array(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)
    bad = np.flatnonzero(~np.isfinite(kept))
    if len(bad):
        raise ValueError(f"{where(bad[0])}: the rating is {kept[bad[0]]}, expected a finite number")
    return kept


def one_axis(name, column, length):
    """The column with its length checked; a list stays a list, or NumPy would make text of mixed labels."""
    if hasattr(column, "to_numpy"):  # of pandas
        column = column.to_numpy()
    if isinstance(column, str) or not hasattr(column, "__iter__"):
        raise TypeError(f"{name} must hold one entry a rating, got {column!r} ({type(column).__name__})")
    column = column if isinstance(column, np.ndarray) else list(column)
    if isinstance(column, np.ndarray) and column.ndim != 1:
        raise ValueError(f"{name} must have one axis, one entry a rating, got shape {column.shape}")
    if len(column) != length:
        raise ValueError(f"{name} must have one entry for each of the {length} values, got {len(column)}")
    return column


def ordered(name, column, where):
    """Numbers or dates, none of them missing."""
    array = np.asarray(column)
    if array.dtype.kind not in "iufM":
        raise TypeError(
            f"{name} must be numbers or dates of NumPy, got {array.dtype}: "
            "np.asarray(times, dtype='datetime64[s]') makes them of dates without a time zone"
        )
    bad = np.flatnonzero(array != array)  # NaN and NaT
    if len(bad):
        raise ValueError(f"{where(bad[0])}: the time is missing ({array[bad[0]]})")
    return array


def _index_dtype(n_rows):
    return np.int32 if n_rows <= np.iinfo(np.int32).max else np.int64


def indices(name, column, n_rows, where):
    """Indices within range, in the smallest signed integer kind that holds them."""
    array = np.asarray(column)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}s must be whole-number indices along one axis where shape is given, "
            f"got {array.dtype} {array.shape}: leave shape out for labels"
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
    # Python's own numbers and text, or the same labels would look different in the digest
    entries = column.tolist() if isinstance(column, np.ndarray) else column
    entries = [label.item() if isinstance(label, np.generic) else label for label in entries]
    try:
        # of labels that are equal, as 1 and 1.0, the int is kept in whatever order they came
        distinct = list(dict.fromkeys(sorted(entries, key=_kind, reverse=True)))
    except TypeError as error:
        raise TypeError(f"{name} labels must be hashable: {error}") from None
    if not all(_is_there(label) for label in distinct):
        row = next(row for row, label in enumerate(entries) if not _is_there(label))
        raise ValueError(f"{where(row)}: the {name} is missing ({entries[row]})")
    try:
        labels = sorted(distinct)
    except TypeError:  # kinds that do not compare: a fixed order all the same
        labels = sorted(distinct, key=lambda label: (_kind(label), repr(label)))
    place = {label: code for code, label in enumerate(labels)}
    codes = np.fromiter((place[label] for label in entries), _index_dtype(len(labels)), len(entries))
    return labels, codes


def _kind(label):
    return type(label).__qualname__


def _is_there(label):
    """Whether the label is none of None, NaN, NaT and pandas' NA, whose comparisons are not True."""
    return label is not None and (label == label) is True
