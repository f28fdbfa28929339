"""Ratings: the observed entries, one order, one digest, splits."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import validity
from problems import KINDS, problem

from mflib import Ratings

USERS, ITEMS, VALUES = ["bob", "ann", "ann", "cat"], ["x", "z", "x", "y"], [3.0, 0.0, 5.0, 2.5]


def rows(ratings):
    """The ratings as a set of (user, item, rating)."""
    return set(zip(ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist(), strict=True))


def test_rows_in_any_order_are_stored_by_user_then_item():
    ratings = Ratings.from_arrays(USERS, ITEMS, VALUES, times=[1, 2, 3, 4])
    assert (ratings.user_labels, ratings.item_labels) == (["ann", "bob", "cat"], ["x", "y", "z"])
    np.testing.assert_array_equal(ratings.users, [0, 0, 1, 2])
    np.testing.assert_array_equal(ratings.items, [0, 2, 0, 1])
    np.testing.assert_array_equal(ratings.values, [5, 0, 3, 2.5])
    np.testing.assert_array_equal(ratings.times, [3, 2, 1, 4])
    assert (ratings.n_ratings, ratings.shape, ratings.density) == (4, (3, 3), 4 / 9)
    assert repr(ratings) == "Ratings: 3 users × 3 items, 4 ratings (44.4% of all)"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_and_back_is_the_same_and_an_observed_zero_stays(kind, dtype):
    Y, R, *_ = problem(kind, dtype)
    ratings = Ratings.from_dense(Y, R)
    back, mask = ratings.to_dense()
    np.testing.assert_array_equal(back, Y)
    np.testing.assert_array_equal(mask, R)
    assert (back.dtype, mask.dtype, ratings.n_ratings, ratings.shape) == (Y.dtype, R.dtype, R.sum(), Y.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_and_orders_gather_the_rows_of_each_user_and_item(kind):
    p = problem(kind)
    ratings = p.ratings
    for i in range(ratings.shape[0]):
        own = slice(ratings.user_starts[i], ratings.user_starts[i + 1])
        np.testing.assert_array_equal(ratings.items[own], np.flatnonzero(p.R[i]))
        np.testing.assert_array_equal(ratings.values[own], p.Y[i, p.R[i] == 1])
    for j in range(ratings.shape[1]):
        own = ratings.by_item[ratings.item_starts[j] : ratings.item_starts[j + 1]]
        np.testing.assert_array_equal(ratings.users[own], np.flatnonzero(p.R[:, j]))
        np.testing.assert_array_equal(ratings.values[own], p.Y[p.R[:, j] == 1, j])
        own = slice(ratings.item_starts[j], ratings.item_starts[j + 1])
        np.testing.assert_array_equal(ratings.users_by_item[own], np.flatnonzero(p.R[:, j]))
        np.testing.assert_array_equal(ratings.values_by_item[own], p.Y[p.R[:, j] == 1, j])
    np.testing.assert_array_equal(ratings.user_counts, p.R.sum(axis=1))
    np.testing.assert_array_equal(ratings.item_counts, p.R.sum(axis=0))


@pytest.mark.parametrize("form", ["csr_array", "csc_matrix", "coo_array", "coo_matrix", "lil_array"])
def test_every_stored_entry_of_scipy_is_a_rating(form):
    Y, R, *_ = problem("full")
    ratings = Ratings.from_scipy(getattr(scipy.sparse, form)(Y))
    stored = np.where(Y == 0, 0, R)
    assert ratings.digest == Ratings.from_dense(Y, stored).digest


def test_a_stored_zero_of_scipy_is_a_rating():
    A = scipy.sparse.csr_array(([0.0, 2.0], ([0, 1], [1, 0])), shape=(3, 2))
    assert rows(Ratings.from_scipy(A)) == {(0, 1, 0.0), (1, 0, 2.0)}


def test_bad_matrices_of_scipy_are_refused():
    twice = scipy.sparse.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))
    with pytest.raises(ValueError, match="user 0, item 1: user 0 has rated item 1 already"):
        Ratings.from_scipy(twice)
    with pytest.raises(ValueError, match="user 0, item 0: the rating is nan, expected a finite number"):
        Ratings.from_scipy(scipy.sparse.coo_array([[np.nan]]))
    with pytest.raises(ValueError, match=r"A must have two axes \(users, items\), got shape \(2,\)"):
        Ratings.from_scipy(scipy.sparse.coo_array(np.ones(2)))
    with pytest.raises(TypeError, match="A must be a SciPy sparse matrix, got ndarray"):
        Ratings.from_scipy(np.eye(2))
    with pytest.raises(ValueError, match="no rating at all"):
        Ratings.from_scipy(scipy.sparse.csr_array((2, 2)))


FRAME = pd.DataFrame(
    {"userId": USERS, "movieId": ITEMS, "rating": VALUES, "when": [1, 2, 3, 4]}, index=[10, 20, 30, 40]
)


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_a_frame_is_read_by_the_names_of_its_columns(kind):
    df = FRAME.astype({"userId": kind, "movieId": kind}).rename(columns={"userId": "who"})
    expected = Ratings.from_arrays(USERS, ITEMS, VALUES, times=[1, 2, 3, 4])
    assert Ratings.from_frame(df, user="who", time="when").digest == expected.digest
    assert Ratings.from_frame(FRAME).times is None


def test_errors_name_the_row_of_the_frame():
    """They used to say 'row np.int64(20)'."""
    with pytest.raises(ValueError, match=r"^row 20: the rating is nan"):
        Ratings.from_frame(FRAME.assign(rating=[1, np.nan, 2, 3]))
    with pytest.raises(ValueError, match=r"^row b: the user is missing"):
        Ratings.from_frame(FRAME.assign(userId=["u", None, "v", "w"]).set_index(pd.Index(list("abcd"))))
    with pytest.raises(ValueError, match=r"^row 30: user ann has rated item x already \(row 20\): keep one"):
        Ratings.from_frame(FRAME.assign(movieId="x"))


def test_bad_frames_are_refused():
    with pytest.raises(TypeError, match="df must be a pandas DataFrame, got list: for columns, from_arrays"):
        Ratings.from_frame([1, 2])
    with pytest.raises(ValueError, match="user='user' is no column of the frame: did you mean 'userId'"):
        Ratings.from_frame(FRAME, user="user")
    with pytest.raises(ValueError, match="item=None is no column of the frame"):
        Ratings.from_frame(FRAME, item=None)
    with pytest.raises(ValueError, match="rating='x' is no column of the frame"):
        Ratings.from_frame(FRAME, rating="x")
    with pytest.raises(ValueError, match="time='wen' is no column of the frame: did you mean 'when'"):
        Ratings.from_frame(FRAME, time="wen")
    with pytest.raises(
        ValueError, match="user and item are both the column 'movieId' of the frame: name ano"
    ):
        Ratings.from_frame(FRAME, user="movieId")
    with pytest.raises(ValueError, match="rating and time are both the column 'rating' of the frame"):
        Ratings.from_frame(FRAME, time="rating")
    with pytest.raises(ValueError, match="item='movieId' names 2 columns of the frame: rename all but one"):
        Ratings.from_frame(FRAME.rename(columns={"when": "movieId"}))
    assert Ratings.from_frame(FRAME.assign(x=0).rename(columns={"when": "x"})).n_ratings == len(FRAME)
    with pytest.raises(ValueError, match="no rating at all"):
        Ratings.from_frame(FRAME[:0])


def test_a_pair_that_comes_twice_is_refused_with_both_rows():
    with pytest.raises(ValueError, match=r"^row 3: user b has rated item x already \(row 1\): keep one"):
        Ratings.from_arrays(["a", "b", "c", "b"], ["x", "x", "x", "x"], [1, 2, 3, 2])
    with pytest.raises(ValueError, match=r"^row 1: user 4 has rated item 2 already \(row 0\)"):
        Ratings.from_arrays([4, 4], [2, 2], [1, 2], shape=(5, 3))


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ([2, 2], ValueError, r"shape must be a tuple \(n_users, n_items\), got \[2, 2\]"),
        ((2,), ValueError, r"shape must be a tuple \(n_users, n_items\), got \(2,\)"),
        ((0, 2), ValueError, r"shape\[0\] must be at least 1, got 0"),
        ((2, 2.0), TypeError, r"shape\[1\] must be a whole number, got 2.0 \(float\)"),
    ],
)
def test_a_shape_that_is_none_is_refused(shape, error, message):
    with pytest.raises(error, match=message):
        Ratings.from_arrays([0], [0], [1], shape=shape)


def test_bad_matrices_are_refused():
    Y, R = np.array([[5.0, np.nan]]), np.array([[1, 1]])
    with pytest.raises(ValueError, match=r"Y\[0, 1\] is nan"):
        Ratings.from_dense(Y, R)
    with pytest.raises(ValueError, match="user 0, item 1: the rating is 'x', expected a number"):
        Ratings.from_dense(np.array([[5.0, "x"]], dtype=object), R)


def test_what_the_caller_gave_is_neither_changed_nor_shared():
    users, items, values = np.array([1, 0]), np.array([0, 0]), np.array([2.0, 3.0])
    ratings = Ratings.from_arrays(users, items, values, times=values, shape=(2, 1))
    users[0] = values[0] = 0
    np.testing.assert_array_equal(users, [0, 0])
    np.testing.assert_array_equal(ratings.values, [3, 2])
    np.testing.assert_array_equal(ratings.times, [3, 2])


def test_stored_arrays_are_read_only():
    ratings = Ratings.from_arrays(USERS, ITEMS, VALUES, times=[1, 2, 3, 4])
    for array in (ratings.users, ratings.items, ratings.values, ratings.times):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("dates", [False, True])
def test_the_digest_is_that_of_the_content_in_any_order(dates):
    times = np.array([1, 2, 3, 4], dtype="M8[s]" if dates else np.int64)
    digests = set()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(4)
        columns = [np.array(column)[order] for column in (USERS, ITEMS, VALUES)]
        digests.add(Ratings.from_arrays(*columns, times=times[order]).digest)
    assert len(digests) == 1


def test_the_digest_changes_with_any_change_of_content():
    indices = {"users": [0, 1], "items": [0, 1], "values": [5.0, 3.0], "shape": (2, 2)}
    labels = {"users": [0, 1], "items": [0, 1], "values": [5.0, 3.0]}
    times = {name: np.array([1, 2], dtype=name) for name in ("int64", "M8[s]", "M8[ms]")}
    variants = [
        indices,
        indices | {"users": [1, 0]},
        indices | {"items": [1, 0]},
        indices | {"values": [5.0, np.nextafter(3, 4)]},
        indices | {"values": [3.0, 5.0]},
        indices | {"shape": (3, 2)},
        indices | {"shape": (2, 3)},
        *(indices | {"times": column} for column in times.values()),
        indices | {"times": [1, 3]},
        indices | {"times": [1.0, 2.5]},
        labels,
        labels | {"users": [0, 2]},
        labels | {"users": ["0", "1"]},
        labels | {"items": [0, 2]},
        {"users": [0, 1, 1], "items": [0, 1, 0], "values": [5.0, 3.0, 1.0], "shape": (2, 2)},
    ]
    assert len({Ratings.from_arrays(**variant).digest for variant in variants}) == len(variants)


def test_the_digest_is_sha256_of_a_header_and_the_columns():
    ratings = Ratings.from_arrays([0, 1], ["a", "b"], [5.0, 3.0])
    header = json.dumps([[2, 2], ["0", "1"], ["'a'", "'b'"]]).encode()
    columns = np.array([0, 1, 0, 1], dtype="<i8").tobytes() + np.array([5, 3], dtype="<f8").tobytes()
    assert ratings.digest == hashlib.sha256(header + columns).hexdigest()


def test_float32_is_exact_in_float64_so_the_digest_is_that_of_the_values():
    ratings = Ratings.from_arrays(USERS, ITEMS, [0.5, 1, 2, 3])
    single = ratings.astype("float32")
    assert (single.values.dtype, single.digest, single.astype(np.float32)) == (
        np.float32,
        ratings.digest,
        single,
    )
    assert (
        Ratings.from_arrays([1], [1], [0.1]).astype("float32").digest
        != Ratings.from_arrays([1], [1], [0.1]).digest
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_kept_in_the_dtype_asked_for(dtype):
    Y, R, *_ = problem("small", "float64" if dtype == "float32" else "float32")
    users, items = np.nonzero(R)
    made = [
        Ratings.from_arrays(users, items, Y[users, items], shape=Y.shape, dtype=dtype),
        Ratings.from_dense(Y, R, dtype=dtype),
        Ratings.from_scipy(scipy.sparse.coo_array((Y[users, items], (users, items)), Y.shape), dtype=dtype),
    ]
    assert len({ratings.digest for ratings in made}) == 1
    frame = Ratings.from_frame(FRAME, dtype=dtype)
    assert {ratings.values.dtype for ratings in [*made, frame]} == {np.dtype(dtype)}
    assert {ratings.values_by_item.dtype for ratings in [*made, frame]} == {np.dtype(dtype)}


def test_a_value_too_large_for_float32_is_refused():
    """It became infinity, and the loss with it."""
    message = r"(row|rating) 1: the rating is 1e\+39, too large for float32, expected a finite number"
    with pytest.raises(ValueError, match=message):
        Ratings.from_arrays([1, 2], [1, 2], [1, 1e39], dtype="float32")
    with pytest.raises(ValueError, match=message):
        Ratings.from_arrays([1, 2], [1, 2], [1, 1e39]).astype("float32")


@pytest.mark.parametrize("dtype", [int, "float16", "foo", None])
def test_a_dtype_that_is_no_float32_or_float64_is_refused(dtype):
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got"):
        Ratings.from_arrays([1], [1], [1]).astype(dtype)


def test_labels_are_looked_up_by_kind_and_spelling():
    ratings = Ratings.from_arrays([10, 20], ["x", "y"], [1, 2])
    assert (ratings.user_index(20), ratings.item_index("y")) == (1, 1)
    with pytest.raises(KeyError, match="no user '20' among the 2 users"):
        ratings.user_index("20")
    with pytest.raises(KeyError, match="no item 'z' among the 2 items"):
        ratings.item_index("z")
    with pytest.raises(KeyError, match="these ratings have no item labels: they were made from indices"):
        Ratings.from_arrays([0], [0], [1], shape=(1, 1)).item_index(0)


def random_ratings(n_ratings=300, seed=0):
    rng = np.random.default_rng(seed)
    cells = rng.permutation(40 * 30)[:n_ratings]
    columns = cells // 30, cells % 30, rng.normal(size=n_ratings)
    return Ratings.from_arrays(*columns, times=cells), columns


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_a_split_is_disjoint_and_complete(share):
    ratings, _ = random_ratings()
    train, validation, n_unknown = ratings.split(share, seed=1)
    assert validation.n_ratings == round(share * 300)
    assert not rows(train) & rows(validation)
    assert rows(train) | rows(validation) == rows(ratings)
    assert train.shape == validation.shape == ratings.shape
    assert train.user_labels == validation.user_labels == ratings.user_labels
    known_users, known_items = set(train.users), set(train.items)
    pairs = zip(validation.users, validation.items, strict=True)
    assert n_unknown == sum(u not in known_users or i not in known_items for u, i in pairs)


def test_the_split_of_many_ratings_leaves_users_and_items_unknown_either_way():
    ratings = Ratings.from_arrays([0, 0, 1, 2], [0, 1, 0, 2], [1, 2, 3, 4], shape=(3, 3))
    train = ratings.subset([0])
    np.testing.assert_array_equal(
        train.knows(np.array([0, 0, 1, 2]), np.array([0, 1, 0, 2])), [True, False, False, False]
    )


def test_a_split_is_that_of_its_seed_whatever_the_order_of_rows():
    ratings, columns = random_ratings()
    order = np.random.default_rng(5).permutation(300)
    times = columns[0] * 30 + columns[1]
    permuted = Ratings.from_arrays(*(column[order] for column in columns), times=times[order])
    assert ratings.split(seed=3).train.digest == permuted.split(seed=3).train.digest
    assert ratings.split(seed=3).validation.digest == permuted.split(seed=3).validation.digest
    assert ratings.split(seed=3).train.digest != ratings.split(seed=4).train.digest
    np.testing.assert_array_equal(ratings.split().validation.times, ratings.split(0.2, 0).validation.times)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"share": 0}, ValueError, r"share must lie in \(0, 1\), got 0"),
        ({"share": 1.0}, ValueError, r"share must lie in \(0, 1\), got 1"),
        ({"share": float("nan")}, ValueError, r"share must lie in \(0, 1\), got nan"),
        ({"share": "0.2"}, TypeError, r"share must be a number, got '0.2' \(str\)"),
        (
            {"share": 0.1},
            ValueError,
            "share=0.1 of 4 ratings leaves train or validation empty: choose another",
        ),
        (
            {"share": 0.9},
            ValueError,
            "share=0.9 of 4 ratings leaves train or validation empty: choose another",
        ),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": True}, TypeError, "seed must be a whole number, got True"),
    ],
)
def test_a_split_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Ratings.from_arrays(USERS, ITEMS, VALUES).split(**arguments)


def test_a_subset_is_of_positions_in_any_order_or_a_mask():
    ratings = Ratings.from_arrays(USERS, ITEMS, VALUES, times=[1, 2, 3, 4])
    for chosen in ([3, 0], np.array([True, False, False, True]), [True, False, False, True]):
        subset = ratings.subset(chosen)
        np.testing.assert_array_equal(subset.values, [5, 2.5])
        np.testing.assert_array_equal(subset.times, [3, 4])
        assert (subset.shape, subset.user_labels) == (ratings.shape, ratings.user_labels)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ([0, 0], ValueError, "rows must hold at least one position, and each once"),
        (np.array([], dtype=int), ValueError, "rows must hold at least one position"),
        ([False] * 4, ValueError, "rows must hold at least one position"),
        ([True], ValueError, r"rows must be a mask over the 4 ratings, got shape \(1,\)"),
        ([-1], ValueError, r"rows\[0\] is -1, expected 0 to 3"),
        ([0.5], TypeError, "rows must be whole-number indices along one axis"),
    ],
)
def test_a_subset_that_is_none_is_refused(chosen, error, message):
    """A position given twice used to make ratings with a pair twice, and none made ratings without any."""
    with pytest.raises(error, match=message):
        Ratings.from_arrays(USERS, ITEMS, VALUES).subset(chosen)


def test_shifted_ratings_share_all_but_the_values():
    ratings = Ratings.from_arrays(["b", "a", "b"], ["x", "x", "y"], [1.0, 2.0, 4.0], times=[3, 2, 1])
    moved = ratings.shifted(-2, 10)
    validity.check(moved)
    np.testing.assert_array_equal(moved.values, [0, -10, 20])
    assert (moved.user_labels, moved.item_labels, moved.shape) == (["a", "b"], ["x", "y"], (2, 2))
    for name in ("items", "user_starts", "users_by_item", "item_starts", "times"):
        assert np.shares_memory(getattr(moved, name), getattr(ratings, name)), name
    assert moved.digest != ratings.digest
    assert ratings.values.tolist() == [2, 1, 4]


def test_shifted_values_are_computed_in_float64_and_rounded_once():
    ratings = Ratings.from_arrays([0], [0], np.array([0.1], np.float32), shape=(1, 1))
    exact = 3.0 * (float(np.float32(0.1)) - 0.1)
    assert ratings.shifted(-0.1, 3.0, "float64").values[0] == exact
    assert ratings.shifted(-0.1, 3.0).values[0] == np.float32(exact) != 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one",), "amount must be a number, got 'one'"),
        ((np.inf,), r"amount must lie in \(-inf, inf\), got inf"),
        ((0, np.nan), "factor must lie in"),
        ((0, 1, "int8"), "dtype must be float32 or float64, got 'int8'"),
        ((0, 1e39, "float32"), "rating 0, shifted by 0: the rating is inf, expected a finite number"),
    ],
)
def test_a_shift_that_leaves_no_ratings_is_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Ratings.from_arrays([0], [0], [5.0], shape=(1, 1)).shifted(*arguments)
