"""Both orders of ratings, by counting: each row's entries are counted, then each entry goes to its place.

SciPy's change from sparse rows to sparse columns is such a sort, which keeps the order within a key. No
comparison enters, so the cost is O(N + n + m), and beside the result little of length N is made.
"""

import numpy as np

from mflib.columns import index_dtype


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
    items = items.astype(index_dtype(m), copy=False)

    # rows → by item → by user: the second step keeps the order of the first within each user
    item_starts, users = _sorted(items, users.astype(index_dtype(n), copy=False), m)
    if times is not None:
        bits = times.view(f"i{times.itemsize}")  # of whatever kind: only moved
        times = _sorted(users, _sorted(items, bits, m)[1], n)[1].view(times.dtype)
    values = _sorted(items, values, m)[1]
    by_user = transposed((item_starts, users, values), n)

    # and back, which sorts the users of each item
    del users, values
    return by_user, transposed(by_user, m), times


def transposed(order, n_columns):
    """The other order of entries in one: (starts, indices, values) of the columns from those of the rows."""
    from scipy.sparse import csr_array  # a tenth of a second, so not at import

    starts, indices, values = order
    n_rows = len(starts) - 1
    starts = starts.astype(index_dtype(len(indices) + 1), copy=False)  # 64 bits would make all indices such
    other = csr_array((values, indices, starts), shape=(n_rows, n_columns)).tocsc()
    indices = other.indices.astype(index_dtype(n_rows), copy=False)
    return other.indptr.astype(np.int64, copy=False), indices, other.data


def permutation(items, n_items):
    """Where the ratings by item stand in the order by user."""
    return _sorted(items, np.arange(len(items), dtype=index_dtype(len(items))), n_items)[1]


def first_repeat(order):
    """The first position whose index is not above that before it in its row; None where there is none."""
    starts, indices, _ = order
    not_above = 1 + np.flatnonzero(indices[1:] <= indices[:-1])
    repeats = np.setdiff1d(not_above, starts)  # a row may begin with any index
    return int(repeats[0]) if len(repeats) else None


def agree(by_user, by_item):
    """Whether two orders, with valid starts and indices, are those of the same ratings, each pair once."""
    expected = transposed(by_user, len(by_item[0]) - 1)
    return first_repeat(by_user) is None and all(map(np.array_equal, expected, by_item))


def _sorted(keys, payload, n_rows):
    """The starts of each key and what stands beside the keys, sorted by them: as one row of a matrix."""
    from scipy.sparse import csr_array

    row = np.array([0, len(keys)], dtype=index_dtype(len(keys) + 1))
    columns = csr_array((payload, keys, row), shape=(1, n_rows)).tocsc()
    return columns.indptr, columns.data
