"""Rating files as columns: a fast reader for good files; a bad one is read again to name the line."""

import csv
import io
import os
from typing import NamedTuple

from mflib import checks


class Table(NamedTuple):
    """The columns of a rating file, and how to say where a row of them stands in it."""

    columns: tuple  # users, items, values, times or None
    where: object  # row number -> "FILE, line 7"


class Layout(NamedTuple):
    """How a rating file without a header is written."""

    delimiter: str
    names: tuple


# u.data of ml-100k, and ratings.dat of ml-1m and ml-10m; read with ":" the second has empty columns between
U_DATA = Layout("\t", ("userId", "movieId", "rating", "timestamp"))
DOUBLE_COLON = Layout(":", ("userId", "", "movieId", "", "rating", "", "timestamp"))


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

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file, it is empty, lacks a column, or has a bad line, which the message names.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        what = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        raise FileNotFoundError(f"{path} {what}: give the path of a file with one rating a line")
    header = list(layout.names) if layout else _header(path)
    for argument, name in (("user", user), ("item", item), ("rating", rating)):
        checks.column(argument, name, header, path)
    if time is not None and time != "timestamp":
        checks.column("time", time, header, path)
    time = time if time in header else None
    wanted = [header.index(name) for name in (user, item, rating, time) if name is not None]
    delimiter = layout.delimiter if layout else ","

    def where(row):
        return f"{path}, line {_line_of(path, row, 0 if layout else 1)}"

    columns = _read_columns(path, delimiter, len(header), wanted, has_header=layout is None)
    if len(columns[0]) == 0:
        raise ValueError(f"{path} has no rating, only a header: one line a rating is needed")
    users, items, values, times = (*columns, None)[:4]
    return Table((users, items, values, times), where)


def _header(path):
    """The names in the first line."""
    for _, fields in _lines(path, ","):
        return fields
    raise ValueError(f"{path} is empty: a header and one line a rating are needed")


def _read_columns(path, delimiter, n_columns, wanted, has_header):
    """The wanted columns as NumPy arrays; the third is the rating."""
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow_csv

    names = [str(column) for column in range(n_columns)]  # names may repeat or be empty in the file
    include = [str(column) for column in wanted]

    def read(kinds):
        return arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(column_names=names, skip_rows=int(has_header)),
            arrow_csv.ParseOptions(delimiter=delimiter),
            arrow_csv.ConvertOptions(
                include_columns=include,
                column_types={include[2]: "float64", **kinds},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )

    try:
        table = read({})
    except ArrowInvalid:
        _raise_bad_line(path, delimiter, n_columns, wanted, has_header)
        table = read(dict.fromkeys(include[:2], "string"))  # ids that are numbers first and text later on
    if any(column.null_count for column in table.columns):
        _raise_bad_line(path, delimiter, n_columns, wanted, has_header)
    return [column.to_numpy() for column in table.columns]


def _lines(path, delimiter):
    """(line number, fields) of every line that is not blank."""
    import pyarrow as pa

    with io.TextIOWrapper(pa.input_stream(path), encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {reader.line_num + 1}: not UTF-8 text ({error.reason})") from None
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from None


def _line_of(path, row, n_header):
    """The line number of a row of data, blank lines counted."""
    for position, (line, _) in enumerate(_lines(path, ",")):
        if position == row + n_header:
            return line
    raise AssertionError(f"{path} has changed while it was read")


def _raise_bad_line(path, delimiter, n_columns, wanted, has_header):
    """Read line by line and raise for the first one that is not a rating."""
    for position, (line, fields) in enumerate(_lines(path, delimiter)):
        if has_header and position == 0:
            continue
        place = f"{path}, line {line}"
        if len(fields) != n_columns:
            raise ValueError(f"{place}: {len(fields)} fields where {n_columns} are expected")
        names = ("user", "item", "rating", "time")
        for name, column in zip(names, wanted, strict=False):
            if fields[column] == "":
                raise ValueError(f"{place}: the {name} is missing")
        try:
            float(fields[wanted[2]])
        except ValueError:
            raise ValueError(f"{place}: the rating is {fields[wanted[2]]!r}, expected a number") from None


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
        next(rows)
    else:  # older than UTF-8
        separator = "|" if path.name == "u.item" else "::"
        rows = (line.split(separator) for line in path.read_text(encoding="latin-1").splitlines())
    return {int(row[0]) if row[0].isdigit() else row[0]: row[1] for row in rows if len(row) > 1}
