"""Columns of ratings, checked and encoded; `where(row)` says in an error where a row came from."""

import numbers
import sys
from typing import NamedTuple

import numpy as np

from mflib import checks


class Encoded(NamedTuple):
    """A column of labels as the distinct ones, sorted, and the place of each entry among them."""

    labels: list
    codes: np.ndarray


# Rows looked at in one step: what a check makes of them stays in cache.
CHUNK = 1 << 16


def chunks(array):
    """The array in pieces of CHUNK rows."""
    return (array[begin : begin + CHUNK] for begin in range(0, len(array), CHUNK))


def finite(values, where, dtype=None):
    """The values as a float array of this dtype, each of them finite; a new one only where it must be."""
    dtype = None if dtype is None else checks.float_dtype("dtype", dtype)
    _refuse_mask("values", values)
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
    if dtype is None:
        dtype = np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
    with np.errstate(over="ignore"):  # found below
        kept = array.astype(dtype, copy=False)
    row = _first(kept, lambda chunk: ~np.isfinite(chunk))
    if row is not None:
        why = f", too large for {dtype}" if np.isfinite(float(array[row])) else ""
        raise ValueError(f"{where(row)}: the rating is {array[row]}{why}, expected a finite number")
    return kept


def _refuse_mask(name, array):
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: leave its masked rows out")


def _first(array, is_bad):
    """The first row that is bad, or None."""
    for number, chunk in enumerate(chunks(array)):
        bad = np.flatnonzero(is_bad(chunk))
        if len(bad):
            return number * CHUNK + int(bad[0])
    return None


def one_axis(name, column, length):
    """The column with its length checked; a list stays a list, or NumPy would make text of mixed labels."""
    if hasattr(column, "to_numpy"):  # of pandas
        column = column.to_numpy()
    _refuse_mask(name, column)
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
    row = _first(array, lambda chunk: chunk != chunk)  # NaN and NaT
    if row is not None:
        raise ValueError(f"{where(row)}: the time is missing ({array[row]})")
    kind = np.dtype(np.float64) if array.itemsize > 8 else array.dtype.newbyteorder("=")
    return array.astype(kind, copy=False)


def index_dtype(n_rows):
    """The smallest signed kind that holds indices below n_rows: int32 up to 2³¹ rows."""
    return np.dtype(np.int32 if n_rows <= 1 << 31 else np.int64)


def indices(name, column, n_rows, where):
    """Indices within range, of whatever whole kind they are."""
    array = np.asarray(column)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}s must be whole-number indices along one axis where shape is given, "
            f"got {array.dtype} {array.shape}: leave shape out for labels"
        )
    row = _first(array, lambda chunk: (chunk < 0) | (chunk >= n_rows))
    if row is not None:
        raise ValueError(
            f"{where(row)}: {name} {array[row]} lies outside the shape, expected 0 to {n_rows - 1}"
        )
    return array


def encode(name, column, where):
    """Distinct labels in sorted order, and each entry's place among them."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuU":
        return _encode_array(column)
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
    codes = np.fromiter((place[label] for label in entries), index_dtype(len(labels)), len(entries))
    return Encoded(labels, codes)


def _encode_array(column):
    """`encode` for an array of whole numbers or text, with little memory beside the codes."""
    if column.dtype.kind in "iu":
        low, high = int(column.min()), int(column.max())
        if high - low < 4 * len(column):  # a table over all numbers between: two looks an entry
            return _encode_by_table(column, low, high)
    distinct = np.unique(np.concatenate([np.unique(chunk) for chunk in chunks(column)]))
    codes = np.empty(len(column), index_dtype(len(distinct)))
    for place, chunk in zip(chunks(codes), chunks(column), strict=True):
        place[:] = np.searchsorted(distinct, chunk)
    return Encoded(distinct.tolist(), codes)


def _encode_by_table(column, low, high):
    wide = np.uint64 if column.dtype.kind == "u" else np.int64  # the difference need not fit into int8
    table = np.zeros(high - low + 1, index_dtype(high - low + 1))
    for chunk in chunks(column):
        table[chunk.astype(wide) - wide(low)] = 1
    distinct = np.flatnonzero(table)
    table[distinct] = np.arange(len(distinct), dtype=table.dtype)
    codes = np.empty(len(column), table.dtype)
    for place, chunk in zip(chunks(codes), chunks(column), strict=True):
        place[:] = table[chunk.astype(wide) - wide(low)]
    return Encoded([low + offset for offset in distinct.tolist()], codes)


def _kind(label):
    return type(label).__qualname__


def _is_there(label):
    """Whether the label is none of None, NaN, NaT and pandas' NA, whose comparisons are not True."""
    return label is not None and (label == label) is True
