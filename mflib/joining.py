"""The later steps of a partition, as tasks: items of all parts are merged, and blocks joined of parts."""

import hashlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mflib import blocked_ratings, labels, parts, sorting
from mflib.columns import index_dtype
from mflib.ratings import Ratings

# Unknown labels that a message names.
EXAMPLES = 3


class Plan(NamedTuple):
    """What is the same for all blocks.

    Attributes
    ----------
    folder : str
    parts : list of int
        Numbers of those that hold ratings.
    items : str
        The file of the labels of all items.
    dtype : str
        Of the values.
    like : str or None
        The folder of the blocks whose users are to be had.
    """

    folder: str
    parts: list
    items: str
    dtype: str
    like: str | None


def merge(files, target):
    """Write the distinct items of some files, and the number of ratings of each bin of users."""
    counts, found = np.zeros(labels.BINS, np.int64), []
    for path in files:
        _, arrays = parts.read(path)
        found.append(labels.of_arrays("items", arrays))
        if "starts" in arrays:  # of a part
            counts += np.bincount(arrays["bins"], np.diff(arrays["starts"]), labels.BINS).astype(np.int64)
        else:
            counts += arrays["counts"]
    items, _ = labels.encode(pa.concat_arrays(found))
    parts.write(target, {}, {**labels.as_arrays("items", items), "counts": counts})


def place_items(folder, number, items):
    """Write the column of each item of a part, -1 where an item is unknown."""
    of_part, of_all = (
        labels.of_arrays("items", parts.read(path)[1])
        for path in (parts.file_of(folder, "part", number), items)
    )
    columns = labels.places(of_part, of_all) if of_part.type == of_all.type else np.full(len(of_part), -1)
    parts.write(
        parts.file_of(folder, "columns", number), {}, {"columns": columns.astype(index_dtype(len(of_all)))}
    )


def join(plan, block, low, high):
    """Write one block, of the users in the bins from `low` to `high`; what the manifest says of it."""
    pieces = [piece for number in plan.parts if (piece := _piece(plan, number, low, high)) is not None]
    users, codes, kept = _users(plan, block, pieces)
    about = {"n_users": len(users), "n_ratings": 0, "sum": 0.0, "squares": 0.0, "digest": ""}
    found = labels.as_arrays("users", users)
    about["users"] = _sha(found)
    parts.write(parts.file_of(plan.folder, "users", block), {}, found)

    items = np.concatenate([piece["items"] for piece in pieces]) if pieces else np.empty(0, np.int32)
    known = kept & (items >= 0)
    about["n_unknown"], about["unknown"] = int(np.sum(~known)), _examples(plan, pieces, kept, items)
    if not known.any():
        return about
    values = np.concatenate([piece["values"] for piece in pieces]).astype(plan.dtype, copy=False)[known]
    times = None
    if "times" in pieces[0]:
        times = np.concatenate([piece["times"] for piece in pieces])[known]
    shape = len(users), len(labels.of_arrays("items", parts.read(plan.items)[1]))
    codes, items = codes[known], items[known]
    orders = sorting.both_orders(codes, items, values, times, shape)
    again = sorting.first_repeat(orders[0])
    if again is not None:
        raise _repeated(plan, pieces, known, codes, items, orders[0], again)
    ratings = Ratings._of(*orders, None, None)
    try:
        ratings.save(parts.file_of(plan.folder, "block", block))
    except OSError as error:
        raise parts.FolderError(str(error)) from None
    values = ratings.values.astype(np.float64)
    with np.errstate(over="ignore"):
        sums = {"sum": float(np.sum(values)), "squares": float(np.sum(np.square(values)))}
    return {**about, **sums, "n_ratings": ratings.n_ratings, "digest": ratings.digest}


def _piece(plan, number, low, high):
    """What a part has of some bins; None where that is nothing."""
    about, arrays = parts.read(parts.file_of(plan.folder, "part", number))
    first, after = np.searchsorted(arrays["bins"], (low, high))
    if first == after:
        return None
    starts = arrays["starts"][first : after + 1]
    rows = slice(starts[0], starts[-1])
    columns = parts.read(parts.file_of(plan.folder, "columns", number))[1]["columns"]
    piece = {
        "name": about["part"],
        "number": number,
        "users": labels.of_arrays("users", arrays, first, after),
        "counts": np.diff(starts),
        "codes": np.array(arrays["codes"][rows]),
        "items": columns[arrays["codes"][rows]],
        "values": np.array(arrays["values"][rows]),
    }
    if "times" in arrays:
        piece["times"] = np.array(arrays["times"][rows])
    return piece


def _users(plan, block, pieces):
    """The users of a block, the row of each rating among them, and whether there is one."""
    counts = np.concatenate([piece["counts"] for piece in pieces]) if pieces else np.empty(0, np.int64)
    given = pa.concat_arrays([piece["users"] for piece in pieces]) if pieces else None
    if plan.like is None:
        users, rows = labels.encode(given)
    else:
        users = blocked_ratings.users(plan.like, block)
        same = given is not None and given.type == users.type
        rows = labels.places(given, users) if same else np.full(len(counts), -1)
    codes = np.repeat(rows.astype(index_dtype(len(users))), counts)
    return users, codes, codes >= 0


def _examples(plan, pieces, kept, items):
    """The first unknown users and items of a block, in words."""
    found = []
    for row in np.flatnonzero(~kept | (items < 0))[:EXAMPLES]:
        part, user, item = _origin(plan, pieces, row)
        found.append(f"{f'item {item}' if kept[row] else f'user {user}'} ({part})")
    return list(dict.fromkeys(found))


def _origin(plan, pieces, row):
    """The part, the user and the item of a row of all pieces."""
    ends = np.cumsum([len(piece["codes"]) for piece in pieces])
    p = int(np.searchsorted(ends, row, side="right"))
    piece, row = pieces[p], row - (ends[p] - len(pieces[p]["codes"]))
    user = piece["users"][int(np.searchsorted(np.cumsum(piece["counts"]), row, side="right"))]
    code = int(piece["codes"][row])
    arrays = parts.read(parts.file_of(plan.folder, "part", piece["number"]))[1]
    return piece["name"], user.as_py(), labels.of_arrays("items", arrays, code, code + 1)[0].as_py()


def _repeated(plan, pieces, known, codes, items, by_user, again):
    """The error for the first pair that comes twice."""
    u = int(np.searchsorted(by_user[0], again, side="right")) - 1
    rows = np.flatnonzero(known)[np.flatnonzero((codes == u) & (items == by_user[1][again]))[:2]]
    (first, user, item), (second, *_) = (_origin(plan, pieces, row) for row in rows)
    where = f"twice in {first}" if first == second else f"in {first} and in {second}"
    return parts.PartError(f"user {user!s} has rated item {item!s} {where}: keep one rating for each pair")


def count_items(files, target):
    """Write the number of ratings of each item in some blocks."""
    total = 0
    for path in files:
        arrays = parts.read(path)[1]
        total = total + (arrays["counts"] if "counts" in arrays else np.diff(arrays["item_starts"]))
    parts.write(target, {}, {"counts": total})


def write_items(path, items, counts):
    """Write labels and numbers of ratings of all items; their digest."""
    found = {**labels.as_arrays("items", items), "counts": counts}
    digest = _sha(found)
    parts.write(path, {"digest": digest}, found)
    return digest


def _sha(arrays):
    """SHA-256 of arrays and their names."""
    sha = hashlib.sha256()
    for name, array in arrays.items():
        sha.update(f"{name} {array.dtype.str} {len(array)} ".encode())
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()
