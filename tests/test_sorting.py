"""Sorting by counting: the same as NumPy's sort by two keys, whatever the kinds, chunk by chunk."""

import tracemalloc

import numpy as np
import pytest

from mflib import Ratings, columns, sorting


@pytest.fixture(params=[1 << 16, 7])
def chunk(request, monkeypatch):
    """Rows that are looked at in one step: all, and so few that there are many steps."""
    monkeypatch.setattr(columns, "CHUNK", request.param)


def rows(n=23, m=17, N=150, seed=0):
    """Distinct pairs in random order; the last user and the first item have none."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation((n - 1) * (m - 1))[:N]
    return cells // (m - 1), 1 + cells % (m - 1), rng.normal(size=N), (n, m)


@pytest.mark.parametrize("kind", ["i4", "u2", "i8", ">i8", "u8"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("times_kind", [None, "i1", "f2", "i4", "M8[s]"])
def test_both_orders_are_those_of_a_sort_by_two_keys(chunk, kind, dtype, times_kind):
    users, items, values, shape = rows()
    values = values.astype(dtype)
    times = None if times_kind is None else np.arange(len(values)).astype(times_kind)
    by_user, by_item, sorted_times = sorting.both_orders(
        users.astype(kind), items.astype(kind), values, times, shape
    )
    for order, (starts, indices, kept), keys, others in (
        (np.lexsort((items, users)), by_user, users, items),
        (np.lexsort((users, items)), by_item, items, users),
    ):
        np.testing.assert_array_equal(indices, others[order])
        np.testing.assert_array_equal(kept, values[order])
        np.testing.assert_array_equal(np.repeat(np.arange(len(starts) - 1), np.diff(starts)), keys[order])
        assert (indices.dtype, kept.dtype) == (np.int32, dtype)
    if times is not None:
        np.testing.assert_array_equal(sorted_times, times[np.lexsort((items, users))])
        assert sorted_times.dtype == times.dtype
    assert sorting.first_repeat(by_user) is None
    assert sorting.agree(by_user, by_item)
    for one, other in zip(sorting.transposed(by_user, shape[1]), by_item, strict=True):
        np.testing.assert_array_equal(one, other)


def test_orders_of_other_ratings_do_not_agree():
    users, items, values, shape = rows()
    by_user, by_item, _ = sorting.both_orders(users, items, values, None, shape)
    starts, indices, kept = by_item
    assert not sorting.agree(by_user, (starts, indices, kept[::-1].copy()))
    assert not sorting.agree(by_user, (starts, np.roll(indices, 1), kept))
    moved = starts.copy()
    moved[3] += 1
    assert not sorting.agree(by_user, (moved, indices, kept))


def test_a_bad_row_is_found_in_whatever_chunk_it_stands(chunk):
    users, items, values, shape = rows()
    for row in (0, 6, 7, 13, 149):
        bad = values.copy()
        bad[row] = np.nan
        with pytest.raises(ValueError, match=f"^row {row}: the rating is nan"):
            Ratings.from_arrays(users, items, bad, shape=shape)
        bad = items.copy()
        bad[row] = 17
        with pytest.raises(ValueError, match=f"^row {row}: item 17 lies outside"):
            Ratings.from_arrays(users, bad, values, shape=shape)


@pytest.mark.parametrize("make", [np.asarray, lambda ids: ids * 10**9, lambda ids: ids.astype("U")])
def test_labels_are_encoded_the_same_in_whatever_chunks(chunk, make):
    users, items, values, _ = rows()
    ratings = Ratings.from_arrays(make(users), make(items), values)
    labels, codes = np.unique(make(users), return_inverse=True)
    item_labels, item_codes = np.unique(make(items), return_inverse=True)
    assert (ratings.user_labels, ratings.item_labels) == (labels.tolist(), item_labels.tolist())
    order = np.lexsort((item_codes, codes))
    np.testing.assert_array_equal(ratings.values, values[order])
    np.testing.assert_array_equal(ratings.users, codes[order])


@pytest.mark.parametrize("kind", ["i1", "u1", "i8", "u8"])
def test_the_least_and_the_greatest_number_of_a_kind_can_be_labels(kind):
    edges = [np.iinfo(kind).min, np.iinfo(kind).max]
    for labels in (edges, [edges[1] - 1, edges[1]], [edges[0], edges[0] + 1]):
        assert Ratings.from_arrays(np.array(labels, kind), [0, 0], [1, 2]).user_labels == labels


def test_float32_ratings_keep_at_most_20_bytes_each():
    users, items, values, shape = rows(400, 300, 60_000)
    ratings = Ratings.from_arrays(users, items, values, shape=shape, dtype="float32")
    assert ratings.nbytes == 16 * 60_000 + 8 * (400 + 300 + 2) <= 20 * 60_000
    ratings.users, ratings.by_item, ratings.digest, ratings.user_counts  # noqa: B018  none of them is kept
    assert sum(a.nbytes for a in vars(ratings).values() if isinstance(a, np.ndarray)) == ratings.nbytes


@pytest.mark.parametrize("more", [{"shape": (800, 700)}, {}, {"times": np.arange(400_000)}])
def test_the_peak_of_building_is_at_most_three_times_what_is_kept(more):
    """What NumPy allocates while building; the columns that come in do not count here."""
    users, items, values, _ = rows(800, 700, 400_000)
    values = values.astype(np.float32)
    Ratings.from_arrays(users[:9], items[:9], values[:9], **{**more, "times": np.arange(9)})
    tracemalloc.start()
    ratings = Ratings.from_arrays(users, items, values, **more)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ratings.nbytes < peak < 3 * ratings.nbytes
