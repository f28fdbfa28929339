"""Columns of ratings: what is accepted, what is refused, and what the error says."""

import datetime
import decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from mflib import Ratings

A, B = [1, 2], [7, 7]  # users, items


def of(values=(5.0, 3.0), users=A, items=B, **more):
    return Ratings.from_arrays(users, items, values, **more)


@pytest.mark.parametrize(
    "values",
    [
        [5, 3],
        (5.0, 3.0),
        [Fraction(5), np.int8(3)],
        np.array([5, 3], dtype=np.uint8),
        np.array([5, 3], dtype=np.float16),
        np.array([5, 3], dtype=">f4"),
        np.array([5, 3], dtype=object),
        np.array([5, 0, 3, 0])[::2],
        pd.Series([5, 3], index=[8, 9], dtype="Int64"),
        pd.Series([5, 3], dtype="Float64"),
    ],
)
def test_values_of_every_kind_of_number_become_float64(values):
    kept = of(values).values
    assert kept.dtype == np.float64
    np.testing.assert_array_equal(kept, [5, 3])


def test_float32_stays_float32():
    assert of(np.array([5, 3], dtype=np.float32)).values.dtype == np.float32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([5, None], "row 1: the rating is None, expected a number"),
        (["5", "3"], "row 0: the rating is '5', expected a number"),
        (np.array(["5", "3"]), "row 0: the rating is '5', expected a number"),
        ([5, "x"], "row 1: the rating is 'x', expected a number"),
        (np.array([5, 3j]), r"row 0: the rating is \(5\+0j\), expected a number"),
        ([decimal.Decimal(5), 3], r"row 0: the rating is Decimal\('5'\), expected a number"),
        ([5, np.nan], "row 1: the rating is nan, expected a finite number"),
        ([np.inf, 3], "row 0: the rating is inf, expected a finite number"),
        (pd.Series([5, None], dtype="Int64"), "row 1: the rating is (nan|<NA>), expected a"),
        (5, r"values must have one axis, one entry a rating, got shape \(\)"),
        ([[5], [3]], r"values must have one axis, one entry a rating, got shape \(2, 1\)"),
        ([], "there is no rating at all: at least one is needed"),
    ],
)
def test_values_that_are_no_finite_numbers_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        of(values)


@pytest.mark.parametrize(
    ("users", "error", "message"),
    [
        (5, TypeError, r"users must hold one entry a rating, got 5 \(int\)"),
        (None, TypeError, r"users must hold one entry a rating, got None"),
        ("ab", TypeError, r"users must hold one entry a rating, got 'ab' \(str\)"),
        (np.array(5), ValueError, r"users must have one axis, one entry a rating, got shape \(\)"),
        (np.eye(2), ValueError, r"users must have one axis, one entry a rating, got shape \(2, 2\)"),
        ([1, 2, 3], ValueError, "users must have one entry for each of the 2 values, got 3"),
        ([[1], [2]], TypeError, "user labels must be hashable: unhashable type: 'list'"),
        ([1, None], ValueError, r"row 1: the user is missing \(None\)"),
        ([1, np.nan], ValueError, r"row 1: the user is missing \(nan\)"),
        (np.array([np.nan, 1]), ValueError, r"row 0: the user is missing \(nan\)"),
        (np.array(["2020", "NaT"], "M8[ns]"), ValueError, "row 1: the user is missing"),
        (pd.Series(["a", None], dtype="string"), ValueError, "row 1: the user is missing"),
        (pd.Series([1, None], dtype="Int64"), ValueError, "row 1: the user is missing"),
        (pd.Series(["a", None], dtype="category"), ValueError, "row 1: the user is missing"),
    ],
)
def test_labels_that_are_missing_or_do_not_fit_are_refused(users, error, message):
    """pandas' NA is no value to compare: it used to end in 'boolean value of NA is ambiguous'."""
    with pytest.raises(error, match=message):
        of(users=users)
    with pytest.raises(error, match=message.replace("user", "item")):
        of(users=B, items=users)


@pytest.mark.parametrize(
    ("users", "labels"),
    [
        ([20, 10], [10, 20]),
        (["b", "a"], ["a", "b"]),
        ([b"b", b"a"], [b"a", b"b"]),
        ([(2, "a"), (1, "b")], [(1, "b"), (2, "a")]),
        ([2.5, 1.5], [1.5, 2.5]),
        (["a", 7], [7, "a"]),
        ([(1,), "a"], ["a", (1,)]),
        (np.array([2**64 - 1, 0], dtype=np.uint64), [0, 2**64 - 1]),
        ([2**70, 0], [0, 2**70]),
        (np.array([True, False]), [False, True]),
        ((name for name in "ba"), ["a", "b"]),
        (pd.Series(["b", "a"], dtype="string"), ["a", "b"]),
        (pd.Series(["b", "a"], dtype="category"), ["a", "b"]),
        (pd.Series([2, 1], dtype="Int64", index=[5, 6]), [1, 2]),
    ],
)
def test_labels_of_any_hashable_kind_are_sorted_into_rows(users, labels):
    ratings = of(users=users)
    assert ratings.user_labels == labels
    np.testing.assert_array_equal(ratings.values, [3, 5])
    assert [ratings.user_index(label) for label in labels] == [0, 1]


@pytest.mark.parametrize("users", [[1, 2], ["x", "y"], [0.5, 1.5]])
def test_labels_are_pythons_own_whatever_held_them(users):
    """A list of NumPy numbers used to have another digest than the array of them."""
    held = [users, np.array(users), list(np.array(users)), np.array(users, dtype=object), pd.Series(users)]
    assert len({of(users=column).digest for column in held}) == 1
    assert {type(label) for column in held for label in of(users=column).user_labels} == {type(users[0])}


def test_labels_that_are_equal_are_one_label_in_whatever_order():
    one, other = (of([5, 3, 4], users=users, items=items) for users, items in
                  (([1, 1.0, True], [0, 1, 2]), ([1.0, True, 1], [0, 1, 2])))  # fmt: skip
    assert one.user_labels == [1]
    assert type(one.user_labels[0]) is type(other.user_labels[0]) is int
    assert one.digest == other.digest


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64])
def test_indices_of_every_whole_kind_are_kept(kind):
    ratings = of(users=np.array([2, 0], dtype=kind), items=np.array([1, 1], dtype=kind), shape=(3, 2))
    np.testing.assert_array_equal(ratings.users, [0, 2])
    assert (ratings.user_labels, ratings.item_labels, ratings.users.dtype) == (None, None, np.int32)


@pytest.mark.parametrize(
    ("users", "error", "message"),
    [
        ([0, 2], ValueError, "row 1: user 2 lies outside the shape, expected 0 to 1"),
        ([-1, 0], ValueError, "row 0: user -1 lies outside the shape, expected 0 to 1"),
        (np.array([0, 2**64 - 1], np.uint64), ValueError, "row 1: user 18446744073709551615 lies outside"),
        ([0.0, 1.0], TypeError, "users must be whole-number indices .* got float64 .* leave shape out"),
        (["a", "b"], TypeError, "users must be whole-number indices .* leave shape out for labels"),
        ([False, True], TypeError, "users must be whole-number indices .* got bool"),
        ([[0], [1]], TypeError, r"users must be whole-number indices along one axis .* got int64 \(2, 1\)"),
    ],
)
def test_indices_outside_the_shape_or_of_another_kind_are_refused(users, error, message):
    """Nested indices used to end in 'all keys need to be the same shape'."""
    with pytest.raises(error, match=message):
        of(users=users, items=[0, 0], shape=(2, 2))
    with pytest.raises(error, match=message.replace("user", "item")):
        of(users=[0, 0], items=users, shape=(2, 2))


@pytest.mark.parametrize(
    "times", [[10, 20], [0.5, 1.5], np.array(["2020", "2021"], "M8[s]"), pd.to_datetime(["2020", "2021"])]
)
def test_times_are_numbers_or_dates_in_the_order_of_the_ratings(times):
    ratings = of(users=[2, 1], times=times)
    np.testing.assert_array_equal(ratings.times, np.asarray(times)[::-1])


@pytest.mark.parametrize(
    ("times", "error", "message"),
    [
        ([1], ValueError, "times must have one entry for each of the 2 values, got 1"),
        ([1, np.nan], ValueError, r"row 1: the time is missing \(nan\)"),
        (np.array(["NaT", "2020"], "M8[s]"), ValueError, r"row 0: the time is missing \(NaT\)"),
        (["a", "b"], TypeError, r"times must be numbers or dates of NumPy, got <U1: np\.asarray\(times"),
        ([datetime.datetime(2020, 1, 1)] * 2, TypeError, "times must be numbers or dates of NumPy"),
        (pd.date_range("2020", periods=2, tz="UTC"), TypeError, "got object: .* without a time zone"),
    ],
)
def test_times_that_are_missing_or_no_times_are_refused(times, error, message):
    with pytest.raises(error, match=message):
        of(times=times)


def test_masked_values_are_refused_and_not_taken_for_ratings():
    with pytest.raises(TypeError, match="masked array"):
        Ratings.from_arrays([0, 1], [0, 0], np.ma.array([5.0, 3.0], mask=[0, 1]), shape=(2, 1))


@pytest.mark.parametrize("name", ["users", "items", "times"])
def test_masked_columns_are_refused_with_or_without_a_shape(name):
    """Masked labels used to become rows of their own, out of what stood behind the mask."""
    masked = {name: np.ma.array([1, 0], mask=[0, 1])}
    for more in ({}, {"shape": (2, 2)}):
        with pytest.raises(TypeError, match=f"{name} is a masked array, whose mask would be lost"):
            Ratings.from_arrays(**{"users": [0, 1], "items": [0, 1], "values": [5, 3], **masked, **more})


def test_integer_beyond_every_float_names_its_row():
    with pytest.raises(ValueError, match="row 1: the rating is larger than any float"):
        Ratings.from_arrays([0, 1], [0, 0], [5, 10**400], shape=(2, 1))
