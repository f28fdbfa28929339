"""Columns of labels, whole numbers or text, as Arrow arrays: encoded, merged, put into bins, kept in files.

Neither sorting nor anything else here makes a Python object of each label of a column.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Users are cut into blocks between bins of their labels, so there are at most so many blocks.
BINS = 1 << 16


def column(name, values, where):
    """The labels of a column, none of them missing, as int64 or large_string.

    Parameters
    ----------
    name : str
        "user" or "item", for messages.
    values : pandas.Series, pyarrow.Array or pyarrow.ChunkedArray
    where : callable
        where(row) says in an error where that row came from.

    Returns
    -------
    pyarrow.Array

    Raises
    ------
    TypeError, ValueError
        Where a label is missing, or they are neither whole numbers of 64 bits nor text.
    """
    try:
        labels = (
            values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, from_pandas=True)
        )
    except pa.ArrowException as error:
        raise TypeError(
            f"{where(0)} and on: the {name}s are neither all whole numbers nor all text ({error})"
        ) from None
    if labels.null_count:
        row = pc.index(labels.is_null(), True).as_py()
        raise ValueError(f"{where(row)}: the {name} is missing")
    kind = labels.type.value_type if pa.types.is_dictionary(labels.type) else labels.type
    if pa.types.is_integer(kind):
        wanted = pa.int64()
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        wanted = pa.large_string()
    else:
        raise TypeError(
            f"{where(0)} and on: the {name}s are {kind}, expected whole numbers or text: "
            "convert them with .astype('int64') or .astype(str)"
        )
    try:
        labels = labels.cast(wanted)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{where(0)} and on: the {name}s are no whole numbers of 64 bits ({error})"
        ) from None
    return labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels


def encode(labels):
    """Distinct labels in sorted order, and each one's place among them.

    Examples
    --------
    >>> distinct, codes = encode(pa.array([7, 3, 7]))
    >>> distinct.to_pylist(), codes
    ([3, 7], array([1, 0, 1]))
    """
    encoded = labels.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return encoded.dictionary.take(pa.array(order)), rank[encoded.indices.to_numpy()]


def places(labels, known):
    """The place of each label among the known ones, -1 where it is none of them.

    Examples
    --------
    >>> places(pa.array([7, 4]), pa.array([3, 7]))
    array([ 1, -1])
    """
    return pc.fill_null(pc.index_in(labels, value_set=known), -1).to_numpy().astype(np.int64)


def bins(labels):
    """The bin of each label, 0 to BINS - 1: a hash, decided by the label alone."""
    from pandas.util import hash_array

    return (hash_array(labels.to_numpy(zero_copy_only=False), categorize=False) >> 48).astype(np.int32)


def as_arrays(name, labels):
    """Labels as columns of numbers, which `storage` writes."""
    if pa.types.is_int64(labels.type):
        return {name: labels.to_numpy()}
    _, ends, text = labels.buffers()
    ends = np.frombuffer(ends, np.int64)[labels.offset : labels.offset + len(labels) + 1]
    text = np.frombuffer(text or b"", np.uint8)[ends[0] : ends[-1]]
    return {f"{name}.ends": ends - ends[0], f"{name}.text": text}


def of_arrays(name, arrays, first=0, after=None):
    """The labels from `first` to `after` of what `as_arrays` made."""
    if name in arrays:
        return pa.array(np.array(arrays[name][first:after]))
    ends = arrays[f"{name}.ends"][first : None if after is None else after + 1]
    text = np.array(arrays[f"{name}.text"][ends[0] : ends[-1]])
    labels = pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends - ends[0]), pa.py_buffer(text))
    labels.validate(full=True)
    return labels
