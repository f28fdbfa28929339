"""The first step of a partition, of one part of the ratings: read, checked, and kept by bins of users.

A part is one of a Dask DataFrame, or a file. What comes of it is a file in the folder of the partition, from
which any task takes the users of some bins: a task that is repeated writes the same bytes.
"""

import os
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mflib import checks, columns, labels, readers, storage
from mflib.columns import index_dtype

WRITER = "cluster.partition"


class PartError(ValueError):
    """What a part holds is wrong."""


# What the name of a file of Parquet ends on.
PARQUET = ".parquet", ".parq", ".pq"


class FolderError(OSError):
    """A file of the folder cannot be written, or is not there."""


class Names(NamedTuple):
    """The columns of a part, by name."""

    user: str
    item: str
    rating: str
    time: str | None

    def among(self, found, place):
        """See that there are such columns, each once; the list of them."""
        named = {
            argument: name for argument, name in self._asdict().items() if (argument, name) != ("time", None)
        }
        checks.columns(named, found, place)
        return list(named.values())


class Summary(NamedTuple):
    """Of one part.

    Attributes
    ----------
    n_ratings : int
    users, items : str
        The kind of their labels.
    values, times : str or None
        Of which dtype.
    """

    n_ratings: int
    users: str
    items: str
    values: str
    times: str | None


def split_frame(frame, *more):
    """`_split` of a pandas DataFrame: one partition of a Dask DataFrame."""
    return _split(lambda names, name: _of_table(frame, names, name), *more)


def split_file(path, *more):
    """`_split` of a Parquet or CSV file."""
    return _split(lambda names, name: _of_file(path, names), *more)


def file_of(folder, kind, number):
    """The path of a file of a partition."""
    return os.path.join(folder, f"{kind}-{number:05d}.npz")


def read(path, verify=False):
    """(about, arrays) of a file of a partition."""
    try:
        return storage.read(path, WRITER, lambda *content: content, verify)
    except OSError as error:
        raise FolderError(f"{error}; the folder must be one that this process and all workers see") from None


def write(path, about, arrays):
    """`storage.write`, with a word on the folder where that is impossible."""
    try:
        storage.write(path, about, arrays)
    except OSError as error:
        raise FolderError(
            f"{error.strerror}; the folder must be one that this process and all workers see"
        ) from None


def _split(columns_of, name, number, names, dtype, folder):
    """Write a part by bins of its users; its Summary, None where it has no row.

    Parameters
    ----------
    columns_of : callable
        columns_of(names, name) returns users, items, values, times and where.
    name : str
        Of the part, for messages.
    number : int
    names : Names
    dtype : str or None
        Of the values.
    folder : str
    """
    try:
        users, items, values, times, where = columns_of(names, name)
        if len(users) == 0:
            return None
        users, items = labels.column("user", users, where), labels.column("item", items, where)
        values = columns.finite(values, where, dtype)
        times = None if times is None else columns.ordered("times", times, where)
    except (TypeError, ValueError) as error:
        raise PartError(str(error)) from None
    kinds = str(users.type), str(items.type)
    users, codes = labels.encode(users)
    items, item_codes = labels.encode(items)

    bins = labels.bins(users)
    order = np.argsort(bins, kind="stable")  # by bin, then by label
    place = np.empty(len(order), index_dtype(len(order)))
    place[order] = np.arange(len(order))
    rows = np.argsort(place[codes], kind="stable")
    arrays = {
        "bins": bins[order],
        "starts": np.concatenate(([0], np.cumsum(np.bincount(place[codes])))).astype(np.int64),
        **labels.as_arrays("users", users.take(pa.array(order))),
        **labels.as_arrays("items", items),
        "codes": item_codes[rows].astype(index_dtype(len(items))),
        "values": values[rows],
    }
    if times is not None:
        arrays["times"] = times[rows]
    write(file_of(folder, "part", number), {"part": name}, arrays)
    return Summary(len(values), *kinds, str(values.dtype), None if times is None else str(times.dtype))


def _of_table(table, names, name):
    """The columns of a pandas DataFrame."""
    names.among(table.columns, name)
    where = lambda row: f"{name}, row {row}"  # noqa: E731
    times = None if names.time is None else table[names.time].to_numpy()
    return table[names.user], table[names.item], table[names.rating].to_numpy(), times, where


def _of_file(path, names):
    """The columns of a Parquet file, or of a CSV file that `Ratings.from_csv` reads as well."""
    if not is_parquet(path):
        users, items, values, times, where = readers.read_csv(path, *names)
        users, items = (pa.array(found.labels).take(pa.array(found.codes)) for found in (users, items))
        return users, items, values, times, where
    from pyarrow import parquet

    where = lambda row: f"{path}, row {row}"  # noqa: E731
    path = readers.existing_file(path, "of Parquet")
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(names.among(file.schema_arrow.names, path))
    except (OSError, pa.ArrowException) as error:
        raise PartError(
            f"{path} is no Parquet file, or is cut short or damaged ({error}): write it anew"
        ) from None
    values = table[names.rating].to_numpy(zero_copy_only=False)
    times = None if names.time is None else table[names.time].to_numpy(zero_copy_only=False)
    return table[names.user], table[names.item], values, times, where


def is_parquet(path):
    """Whether a file is read as Parquet: by its name."""
    return os.fspath(path).endswith(PARQUET)
