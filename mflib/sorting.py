"""Both orders of ratings by counting: each row's entries are counted, then each entry goes to its place.

No comparison sort enters, so the cost is O(N + n + m), and beside the result nothing of length N is made.
Import this module where it is used: its kernels load Numba.
"""

import numpy as np

from mflib.columns import chunks, index_dtype
from mflib.compiled import compiled


def both_orders(users, items, values, times, shape):
    """Sort ratings by user, then by item, and also by item, then by user.

    Parameters
    ----------
    users, items : ndarray of any whole kind, shape (n_ratings,)
        Within the shape: nobody looks again.
    values : ndarray of float32 or float64, shape (n_ratings,)
    times : ndarray of at most 8 bytes an entry, shape (n_ratings,), or None
    shape : tuple of int

    Returns
    -------
    by_user : tuple
        (starts, items, values): those of user i are starts[i] : starts[i + 1], items ascending.
    by_item : tuple
        (starts, users, values), users ascending.
    times : ndarray or None
        In the order by user.
    """
    n, m = shape
    N = len(values)
    user_starts, item_starts = starts_of(users, n), starts_of(items, m)
    kept_users, kept_items = np.empty(N, index_dtype(n)), np.empty(N, index_dtype(m))
    user_values, item_values = np.empty(N, values.dtype), np.empty(N, values.dtype)

    # rows → by item → by user: the second pass keeps the order of the first within each user
    _place_chunks(items, kept_items.dtype, users, item_starts, kept_users)
    if times is not None:  # before the rest, so that what is moved in between is freed before
        bits = f"u{times.itemsize}"  # of whatever kind: only moved
        moved, kept_times = np.empty(N, bits), np.empty(N, times.dtype)
        _place_chunks(items, kept_items.dtype, times.view(bits), item_starts, moved)
        _place(kept_users, moved, user_starts[:-1].copy(), kept_times.view(bits))
        times = kept_times
        del moved
    _place_chunks(items, kept_items.dtype, values, item_starts, item_values)
    _place_rows(item_starts, kept_users, user_starts[:-1].copy(), kept_items)
    _place(kept_users, item_values, user_starts[:-1].copy(), user_values)

    # and back, which sorts the users of each item
    by_user = user_starts, kept_items, user_values
    _transpose(by_user, item_starts, kept_users, item_values)
    return by_user, (item_starts, kept_users, item_values), times


def transposed(by_user, n_items):
    """The order by item of ratings in the order by user: (starts, users, values)."""
    starts, items, values = by_user
    item_starts = starts_of(items, n_items)
    users = np.empty(len(items), index_dtype(len(starts) - 1))
    by_item = item_starts, users, np.empty_like(values)
    _transpose(by_user, *by_item)
    return by_item


def permutation(items, item_starts):
    """Where the ratings by item stand in the order by user."""
    places = np.empty(len(items), index_dtype(len(items)))
    _place(items, np.arange(len(items), dtype=places.dtype), item_starts[:-1].copy(), places)
    return places


def starts_of(rows, n_rows):
    """Where each row's entries begin once they are sorted: offsets of length n_rows + 1."""
    starts = np.zeros(n_rows + 1, np.int64)
    kind = index_dtype(n_rows)
    for chunk in chunks(rows):
        _count(chunk.astype(kind), starts[1:])
    return np.cumsum(starts, out=starts)


def first_repeat(starts, indices):
    """The first position whose index is not above that before it in its row; −1 where there is none."""
    return _first_not_ascending(starts, indices)


def agree(by_user, by_item):
    """Whether two orders, with valid starts and indices, are those of the same ratings, each pair once."""
    heads = by_item[0][:-1].copy()
    return first_repeat(*by_user[:2]) < 0 and _agree(*by_user, *by_item, heads)


def _transpose(by_user, item_starts, users, values):
    starts, items, user_values = by_user
    _place_rows(starts, items, item_starts[:-1].copy(), users)
    _place(items, user_values, item_starts[:-1].copy(), values)


def _place_chunks(keys, kind, payload, starts, out):
    heads = starts[:-1].copy()
    for some_keys, some in zip(chunks(keys), chunks(payload), strict=True):
        _place(some_keys.astype(kind), some.astype(out.dtype), heads, out)


# Indices are never negative: as unsigned ones they are not compared with 0 before each use.


@compiled(nogil=True)
def _count(rows, counts):
    for p in range(len(rows)):
        counts[np.uint64(rows[p])] += 1


@compiled(nogil=True)
def _place(keys, payload, heads, out):
    """Move each entry to the head of its row, which moves on by one."""
    for p in range(len(keys)):
        row = np.uint64(keys[p])
        place = heads[row]
        heads[row] = place + 1
        out[np.uint64(place)] = payload[p]


@compiled(nogil=True)
def _place_rows(starts, keys, heads, out):
    """As `_place`, of the number of the row in which the entry stands."""
    for row in range(len(starts) - 1):
        for p in range(starts[row], starts[row + 1]):
            key = np.uint64(keys[np.uint64(p)])
            place = heads[key]
            heads[key] = place + 1
            out[np.uint64(place)] = row


@compiled(nogil=True)
def _first_not_ascending(starts, indices):
    for row in range(len(starts) - 1):
        for p in range(starts[row] + 1, starts[row + 1]):
            if indices[p] <= indices[p - 1]:
                return p
    return -1


@compiled(nogil=True)
def _agree(user_starts, items, values, item_starts, users, item_values, heads):
    """Whether going through the ratings by user finds each at the head of its item."""
    for row in range(len(user_starts) - 1):
        for p in range(user_starts[row], user_starts[row + 1]):
            item = items[p]
            place = heads[item]
            if place == item_starts[item + 1] or users[place] != row or item_values[place] != values[p]:
                return False
            heads[item] = place + 1
    return True
