"""What kernels rely on in Ratings, checked the slow way."""

import numpy as np


def check(ratings):
    """Raise AssertionError unless pointers, indices and both orders of the ratings are valid."""
    n, m = ratings.shape
    N = ratings.n_ratings
    orders = {
        "by user": (ratings.user_starts, ratings.items, ratings.values, n, m),
        "by item": (ratings.item_starts, ratings.users_by_item, ratings.values_by_item, m, n),
    }
    entries = {}
    for name, (starts, indices, values, n_rows, n_columns) in orders.items():
        for array in (starts, indices, values):
            assert type(array) is np.ndarray, name
            assert array.flags.c_contiguous, name
            assert array.flags.aligned, name
            assert not array.flags.writeable, name
        assert (starts.dtype, indices.dtype) == (np.int64, np.int32), name
        assert values.dtype in (np.float32, np.float64), name
        assert (len(starts), len(indices), len(values)) == (n_rows + 1, N, N), name
        assert (starts[0], starts[-1]) == (0, N), name
        assert (np.diff(starts) >= 0).all(), name
        assert (indices >= 0).all(), name
        assert (indices < n_columns).all(), name
        rows = np.repeat(np.arange(n_rows), np.diff(starts))
        same_row = rows[1:] == rows[:-1]
        assert (np.diff(indices)[same_row] > 0).all(), name
        pairs = zip(rows.tolist(), indices.tolist(), strict=True)
        entries[name] = dict(zip(pairs, values.tolist(), strict=True))
    assert entries["by user"] == {(u, i): y for (i, u), y in entries["by item"].items()}
    assert ratings.values.dtype == ratings.values_by_item.dtype
    assert np.isfinite(ratings.values).all()
    assert ratings.times is None or len(ratings.times) == N
    for labels, n_rows in ((ratings.user_labels, n), (ratings.item_labels, m)):
        assert labels is None or len(set(labels)) == n_rows
