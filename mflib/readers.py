"""Rating files as columns: a fast reader for good files; an odd one is read again to name the bad line."""

import csv
import io
import os
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import numpy as np

from mflib import checks
from mflib.columns import Encoded, encode

# Bytes of a file that are read at once.
BLOCK = 16 << 20


class Table(NamedTuple):
    """The columns of a rating file, and how to say where a row of them stands in it."""

    users: Encoded
    items: Encoded
    values: np.ndarray
    times: np.ndarray | None
    where: Callable[[int], str]  # row number -> "FILE, line 7"


class Layout(NamedTuple):
    """How a rating file is written."""

    delimiter: str
    names: tuple
    stride: int = 1  # "::" is read as ":", then every other field is empty
    header_lines: int = 0


# u.data of ml-100k, and ratings.dat of ml-1m and ml-10m
U_DATA = Layout("\t", ("userId", "movieId", "rating", "timestamp"))
DOUBLE_COLON = Layout(":", U_DATA.names, stride=2)


def read_csv(path, user, item, rating, time, layout=None):
    """Read a rating file.

    Parameters
    ----------
    path : str or path
    user, item, rating, time : str
        Names of the columns. The default of `time`, "timestamp", may be missing in the file.
    layout : Layout, optional
        For files without a header; else the first line names the columns, separated by commas.

    Returns
    -------
    Table
        Ids as whole numbers where all of a column are such, of 64 bits, else as text.

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file, it is empty, lacks a column, has it twice, or it is named twice, or has a
        bad line, which the message names.
    """
    path = existing_file(path, "with one rating a line")
    layout = layout or _layout_of_header(path)
    named = {"user": user, "item": item, "rating": rating}
    if time is not None and (time != "timestamp" or time in layout.names):
        named["time"] = time
    checks.columns(named, layout.names, path)
    wanted = [layout.names.index(name) for name in named.values()]

    def where(row):
        return f"{path}, line {_line_of(path, layout, row)}"

    users, items, values, times = (*_read_columns(path, layout, wanted), None)[:4]
    # one after the other: what is joined is freed before the next
    users = _encoded("user", users)
    items = _encoded("item", items)
    values = _joined(values)
    times = None if times is None else _joined(times)
    return Table(users, items, values, times, where)


def existing_file(path, what):
    """The path as text, or FileNotFoundError: give the path of a file `what`."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        found = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        raise FileNotFoundError(f"{path} {found}: give the path of a file {what}")
    return path


def _layout_of_header(path):
    """The layout of a file whose first line that is not blank names its columns."""
    for line, names in _lines(path, ","):
        return Layout(",", tuple(names), header_lines=line)
    raise ValueError(f"{path} is empty: a header and one line a rating are needed")


def _read_columns(path, layout, wanted):
    """The wanted columns as lists of Arrow arrays: users, items, ratings and, where wanted, times.

    Ids are encoded block by block, so the text of the file is never there as a whole.
    """
    from pyarrow import ArrowInvalid, chunked_array, types
    from pyarrow import csv as arrow_csv

    # by position: names may repeat or be empty in the file
    names = [str(field) for field in range((len(layout.names) - 1) * layout.stride + 1)]
    include = [str(column * layout.stride) for column in wanted]

    def read(kinds):
        batches = arrow_csv.open_csv(
            path,
            arrow_csv.ReadOptions(column_names=names, skip_rows=layout.header_lines, block_size=BLOCK),
            arrow_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=bool(kinds)),
            arrow_csv.ConvertOptions(
                include_columns=include,
                column_types={**kinds, include[2]: "float64"},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        columns = [[] for _ in include]
        for batch in batches:
            if any(column.null_count for column in batch.columns):
                raise ArrowInvalid("a field is missing")
            for position, (chunks, column) in enumerate(zip(columns, batch.columns, strict=True)):
                chunks.append(column.dictionary_encode() if position < 2 else column)
        if not columns[0]:
            raise ArrowInvalid("there is no line")
        return columns

    try:
        columns = read({})
        ids_are_exact = all(
            types.is_int64(kind) or types.is_string(kind) for kind in map(_label_kind, columns[:2])
        )
        good = ids_are_exact and all(_orders(times[0].type) for times in columns[3:])
    except (ArrowInvalid, OSError):
        good = False
    if not good:  # a bad line, or kinds that change within a column
        _raise_first_bad_line(path, layout, wanted)
        try:
            columns = read(dict.fromkeys(include, "string"))
        except ArrowInvalid as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
        columns[3:] = (
            _first_that_fits(chunked_array(times), ("int64", "float64", "timestamp[us]")).chunks
            for times in columns[3:]
        )
        if not all(_orders(times[0].type) for times in columns[3:]):
            raise ValueError(f"{path}: the times must be all numbers or all dates; or read it with time=None")
    return columns


def _label_kind(chunks):
    return chunks[0].type.value_type


def _encoded(name, chunks):
    """Encoded ids from chunks that have a dictionary each; a whole number of text is one however written."""
    from pyarrow import chunked_array, types

    chunks = chunked_array(chunks).unify_dictionaries().chunks
    ids = _first_that_fits(chunks[0].dictionary, ("int64",))
    ids = ids.to_numpy() if types.is_int64(ids.type) else ids.to_pylist()
    labels, rank = encode(name, ids, where=None)  # none of them is missing
    return Encoded(labels, np.concatenate([rank[chunk.indices.to_numpy()] for chunk in chunks]))


def _joined(chunks):
    """One array of the chunks, whose memory pyarrow would keep for later."""
    from pyarrow import default_memory_pool

    whole = np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
    chunks.clear()
    default_memory_pool().release_unused()
    return whole


def _orders(kind):
    """Whether times of this kind are numbers or dates."""
    from pyarrow import types

    return (
        types.is_integer(kind) or types.is_floating(kind) or types.is_date(kind) or types.is_timestamp(kind)
    )


def _first_that_fits(text, kinds):
    """The column of text as the first of these kinds that every entry can be, else as it is."""
    from pyarrow import ArrowInvalid

    for kind in kinds:
        try:
            return text.cast(kind)
        except ArrowInvalid:
            pass
    return text


def _lines(path, delimiter):
    """(line number, fields) of every line that is not blank."""
    import pyarrow as pa

    try:
        # newline="": the csv reader knows line ends within quotes
        with io.TextIOWrapper(
            pa.input_stream(path), "utf-8-sig", errors="surrogateescape", newline=""
        ) as file:
            reader = csv.reader(_utf8(path, file), delimiter=delimiter)
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    except OSError as error:  # not what the ending .gz says, or cut short
        raise ValueError(f"{path} cannot be read: {error}") from error


def _utf8(path, file):
    """The lines, each checked: the decoder alone would not say which one is bad."""
    for number, line in enumerate(file, start=1):
        try:
            line.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{path}, line {number}: not UTF-8 text, save the file as UTF-8") from None
        yield line


def _records(path, layout):
    """(line number, fields) of every rating."""
    return ((line, fields) for line, fields in _lines(path, layout.delimiter) if line > layout.header_lines)


def _line_of(path, layout, row):
    """The line number of a row of data, blank lines counted."""
    for position, (line, _) in enumerate(_records(path, layout)):
        if position == row:
            return line
    raise AssertionError(f"{path} has changed while it was read")


def _raise_first_bad_line(path, layout, wanted):
    """Read line by line and raise for the first one that is not a rating."""
    line = None
    for line, fields in _records(path, layout):
        place = f"{path}, line {line}"
        fields = fields[:: layout.stride]
        if len(fields) != len(layout.names):
            raise ValueError(
                f"{place}: {len(layout.names)} fields are expected ({', '.join(layout.names)}), "
                f"got {len(fields)}"
            )
        for what, column in zip(("user", "item", "rating", "time"), wanted, strict=False):
            if fields[column] == "":
                raise ValueError(f"{place}: the {what} is missing")
        rating = fields[wanted[2]]
        if not _is_number(rating):
            raise ValueError(f"{place}: the rating is {rating!r}, expected a number")
        for time in (fields[column] for column in wanted[3:]):
            if not _is_number(time) and not _is_date(time):
                raise ValueError(
                    f"{place}: the time is {time!r}, expected a number or a date like 2020-12-31 23:59:59; "
                    "read it with time=None to do without"
                )
    if line is None:
        raise ValueError(f"{path} has no rating: one line a rating is needed")


def _is_number(text):
    """Whether the text is a number in a file: Python's own spellings 1_000 and １ are none."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text


def _is_date(text):
    """Whether the text is a date as of ISO 8601."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def read_titles(path):
    """Titles of films from MovieLens' `movies.csv`, `u.item` or `movies.dat`.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        From item id (int where it is one) to title.
    """
    if path.suffix == ".csv":
        rows = (fields for _, fields in _lines(os.fspath(path), ","))
        next(rows, None)  # the header
    else:
        separator = "|" if path.name == "u.item" else "::"
        rows = (line.split(separator) for line in _text(path).splitlines())
    return {int(row[0]) if row[0].isdecimal() else row[0]: row[1] for row in rows if len(row) > 1}


def _text(path):
    """The text of a file in UTF-8 as of ml-10m, or in Latin-1 as of those before it."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return path.read_text(encoding="latin-1")
