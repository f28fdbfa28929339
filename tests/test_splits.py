"""Splits by time, by user and into folds, and the protocol that each one carries."""

import copy
import json
import pickle

import numpy as np
import pytest
import validity
from sklearn.model_selection import KFold

from mflib import Ratings, splits


def rows(ratings):
    """The ratings as a set of (user, item, rating, time)."""
    columns = (ratings.users, ratings.items, ratings.values, ratings.times)
    return set(zip(*(column.tolist() for column in columns), strict=True))


def random_columns(seed):
    """Users, items, values and times of a random data set, with times that tie."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 12, size=2)
    cells = rng.permutation(n * m)[: rng.integers(4, n * m + 1)]
    kind = rng.choice(["i2", "i8", "u8", "f8", "M8[s]"])
    times = rng.integers(0, rng.choice([2, 8, 1000]), size=len(cells)).astype(kind)
    return (cells // m, cells % m, rng.integers(1, 11, size=len(cells)) / 2), times, (int(n), int(m))


def random_ratings(seed, order=slice(None)):
    columns, times, shape = random_columns(seed)
    return Ratings.from_arrays(*(one[order] for one in columns), times=times[order], shape=shape)


def every_split(ratings, seed):
    """A split of each kind that these ratings allow."""
    yield ratings.split(0.3, seed)
    yield from splits.k_fold(ratings, 3, seed)
    if len(np.unique(ratings.times)) > 1:
        yield splits.chronological(ratings, at=np.unique(ratings.times)[1])
    if ratings.user_counts.max() > 2:
        yield splits.leave_last(ratings, 2)


@pytest.mark.parametrize("seed", range(40))
def test_every_split_is_disjoint_complete_valid_and_says_its_sizes(seed):
    ratings = random_ratings(seed)
    for split in every_split(ratings, seed):
        train, validation, n_unknown = split
        for part in (train, validation):
            validity.check(part)
            assert (part.shape, part.user_labels) == (ratings.shape, ratings.user_labels)
        assert not rows(train) & rows(validation)
        assert rows(train) | rows(validation) == rows(ratings)
        known_users, known_items = set(train.users), set(train.items)
        pairs = zip(validation.users, validation.items, strict=True)
        assert n_unknown == sum(u not in known_users or i not in known_items for u, i in pairs)
        protocol = split.protocol
        assert (protocol.n_train, protocol.n_validation) == (train.n_ratings, validation.n_ratings)
        assert (protocol.n_unknown, protocol.digest) == (n_unknown, ratings.digest)
        assert (split.train, split.validation, split.n_unknown) == (train, validation, n_unknown)


@pytest.mark.parametrize("seed", range(20))
def test_every_split_is_the_same_whatever_the_order_of_rows(seed):
    ratings = random_ratings(seed)
    shuffled = random_ratings(seed, np.random.default_rng(seed + 1).permutation(ratings.n_ratings))
    for one, other in zip(every_split(ratings, seed), every_split(shuffled, seed), strict=True):
        assert one.protocol == other.protocol
        assert one.train.digest == other.train.digest
        assert one.validation.digest == other.validation.digest


@pytest.mark.parametrize("seed", range(20))
def test_a_protocol_is_plain_enough_for_json(seed):
    for split in every_split(random_ratings(seed), seed):
        assert splits.Protocol(*json.loads(json.dumps(split.protocol))) == split.protocol


def test_a_protocol_reads_as_one_line():
    ratings = Ratings.from_arrays([0, 0, 0, 1], [0, 1, 2, 0], [5, 3, 4, 2], times=[3, 1, 2, 9])
    made = [
        ratings.split(0.25, seed=7),
        splits.chronological(ratings, share=0.5),
        splits.chronological(ratings, at=9),
        splits.leave_last(ratings, 2),
        splits.k_fold(ratings, 4, seed=1)[3],
    ]
    assert [str(split.protocol) for split in made] == [
        "random share=0.25 seed=7",
        "chronological share=0.5 at=3",
        "chronological at=9",
        "leave-last n=2",
        "k-fold k=4 fold=3 seed=1",
    ]
    assert repr(made[0]).startswith("Split: random share=0.25 seed=7: 3 to train on, 1 held out, ")


def test_copies_of_a_split_keep_its_protocol():
    """A tuple of three with a fourth value beside it: copying had to be told of that."""
    split = random_ratings(0).split()
    for other in (copy.copy(split), copy.deepcopy(split), pickle.loads(pickle.dumps(split))):
        assert (other.protocol, other.train.digest) == (split.protocol, split.train.digest)
        assert type(other) is splits.Split


# chronological


TIMED = ([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [5.0, 3.0, 4.0, 2.0, 1.0])


def timed(times):
    return Ratings.from_arrays(*TIMED, times=times, shape=(3, 3))


def test_train_is_before_the_moment_and_a_rating_of_exactly_then_is_held_out():
    split = splits.chronological(timed([10, 20, 30, 20, 5]), at=20)
    assert split.train.times.tolist() == [10, 5]
    assert split.validation.times.tolist() == [20, 30, 20]
    assert split.protocol.parameters == {"at": 20}
    assert split.n_unknown == 3  # neither user 1 nor item 1 has a rating before


@pytest.mark.parametrize(
    ("share", "at", "held_out"),
    [(0.2, 30, [30]), (0.4, 20, [20, 20, 30]), (0.6, 20, [20, 20, 30]), (0.8, 10, [10, 20, 20, 30])],
)
def test_of_a_share_ratings_of_one_time_stay_together_on_the_later_side(share, at, held_out):
    split = splits.chronological(timed([10, 20, 30, 20, 5]), share=share)
    assert sorted(split.validation.times) == held_out
    assert split.protocol.parameters == {"share": share, "at": at}
    assert split.protocol.n_validation == len(held_out)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_times_all_of_train_is_before_all_of_validation(seed):
    ratings, share = random_ratings(seed), np.random.default_rng(seed).uniform(0.2, 0.8)
    asked = round(share * ratings.n_ratings)
    latest = np.sort(ratings.times)[ratings.n_ratings - asked]
    if latest == ratings.times.min():
        with pytest.raises(ValueError, match="all ratings are at or after"):
            splits.chronological(ratings, share=share)
        return
    split = splits.chronological(ratings, share=share)
    assert split.train.times.max() < split.validation.times.min() == latest
    assert split.validation.n_ratings == np.sum(ratings.times >= latest) >= asked


@pytest.mark.parametrize("at", ["2020-01-03", np.datetime64("2020-01-03T00", "h")])
def test_of_dates_the_moment_is_a_date(at):
    dates = np.array(["2020-01-01", "2020-01-05", "2020-01-03", "2020-01-02", "2020-01-04"], "M8[D]")
    split = splits.chronological(timed(dates.astype("M8[s]")), at=at)
    assert sorted(split.train.times.astype("M8[D]").astype(str)) == ["2020-01-01", "2020-01-02"]
    assert split.protocol.parameters["at"].startswith("2020-01-03")


def test_a_moment_in_nanoseconds_is_not_rounded():
    """As a float, 2⁶⁰ + 1 is 2⁶⁰."""
    base = 1 << 60
    split = splits.chronological(timed([base, base + 1, base + 2, base, base]), at=base + 1)
    assert split.train.n_ratings == 3
    assert split.protocol.parameters == {"at": base + 1}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "give one of share and at, got share=None and at=None"),
        ({"share": 0.5, "at": 20}, ValueError, "give one of share and at, got share=0.5 and at=20"),
        ({"share": 1}, ValueError, r"share must lie in \(0, 1\), got 1"),
        ({"share": 0.01}, ValueError, "share=0.01 of 5 ratings leaves train or validation empty"),
        ({"at": 5}, ValueError, "all ratings are at or after at=5, .*: choose a moment after 5 and up to 30"),
        ({"at": 31}, ValueError, "no rating is at or after at=31, .* choose a moment after 5 and up to 30"),
        ({"at": float("nan")}, ValueError, r"at must lie in \(-inf, inf\), got nan"),
        ({"at": "20"}, TypeError, r"at must be a number, got '20' \(str\)"),
    ],
)
def test_a_moment_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        splits.chronological(timed([10, 20, 30, 20, 5]), **arguments)


@pytest.mark.parametrize("at", [5, "yesterday", "NaT", object()])
def test_a_moment_that_is_no_date_is_refused_where_times_are_dates(at):
    dates = timed(np.array([1, 2, 3, 4, 5], dtype="M8[D]"))
    with pytest.raises(ValueError, match=r"at must be a date, as the times are, got .*: for example"):
        splits.chronological(dates, at=at)


def test_a_share_of_ratings_that_all_have_one_time_is_refused():
    with pytest.raises(
        ValueError, match="all ratings are at or after at=7, which leaves train or validation"
    ):
        splits.chronological(timed([7] * 5), share=0.5)


@pytest.mark.parametrize("split", [splits.chronological, splits.leave_last])
def test_without_times_there_is_no_earlier_and_later(split):
    ratings = Ratings.from_arrays(*TIMED, shape=(3, 3))
    arguments = {"share": 0.5} if split is splits.chronological else {}
    with pytest.raises(ValueError, match=r"these ratings have no times, .*: name their column, time="):
        split(ratings, **arguments)
    with pytest.raises(TypeError, match="ratings must be Ratings, got list"):
        split([1, 2], **arguments)


# leave last


def test_the_last_of_each_user_by_time_are_held_out():
    users, items, times = [0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 0], [9, 1, 5, 3, 4, 8]
    ratings = Ratings.from_arrays(users, items, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], times=times, shape=(3, 3))
    assert splits.leave_last(ratings).validation.values.tolist() == [1.0, 5.0]
    split = splits.leave_last(ratings, n=2)  # user 1 has just two, so stays in train
    assert split.validation.values.tolist() == [1.0, 3.0]
    assert split.train.user_counts.tolist() == [1, 2, 1]
    assert split.protocol[:3] == ("leave-last", {"n": 2}, None)


def test_of_equal_times_the_item_further_back_counts_as_the_later_one():
    ratings = Ratings.from_arrays(["a"] * 4, ["z", "x", "w", "y"], [1, 2, 3, 4], times=[5, 5, 6, 5])
    held_out = splits.leave_last(ratings, n=2).validation
    assert [held_out.item_labels[item] for item in held_out.items] == ["w", "z"]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_left_out_is_what_sorting_each_user_by_hand_says(seed):
    ratings, n = random_ratings(seed), 1 + seed % 3
    expected = set()
    for user in range(ratings.shape[0]):
        own = [row for row in rows(ratings) if row[0] == user]
        own.sort(key=lambda row: (row[3], row[1]))
        expected |= set(own[-n:]) if len(own) > n else set()
    if not expected:
        with pytest.raises(ValueError, match=f"no user has more than n={n} ratings, .*: choose a smaller n"):
            splits.leave_last(ratings, n)
        return
    assert rows(splits.leave_last(ratings, n).validation) == expected


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_number_to_leave_out_that_cannot_be_is_refused(n, error):
    with pytest.raises(error, match="n must be"):
        splits.leave_last(timed([1, 2, 3, 4, 5]), n)


# folds


@pytest.mark.parametrize("seed", range(30))
def test_each_rating_is_in_exactly_one_fold_of_the_sizes_of_scikit_learn(seed):
    ratings = random_ratings(seed)
    k = int(np.random.default_rng(seed).integers(2, ratings.n_ratings + 1))
    folds = splits.k_fold(ratings, k, seed)
    held_out = [rows(fold.validation) for fold in folds]
    assert set().union(*held_out) == rows(ratings)
    sizes = [len(one) for one in held_out]
    assert sum(sizes) == ratings.n_ratings
    assert sizes == [len(test) for _, test in KFold(k).split(np.arange(ratings.n_ratings))]


def test_many_folds_are_counted_right():
    """The number of a fold is kept in one byte up to 256 folds, and in two from there."""
    ratings = Ratings.from_dense(np.ones((20, 15)), np.ones((20, 15)))
    for k in (255, 256, 257, 300):
        assert sum(fold.validation.n_ratings for fold in splits.k_fold(ratings, k)) == 300
        assert splits.k_fold(ratings, k)[-1].protocol.parameters == {"k": k, "fold": k - 1}


def test_folds_are_drawn_at_random_by_the_seed():
    ratings = random_ratings(3)
    folds = splits.k_fold(ratings, 4, seed=1)
    assert folds[0].validation.digest == splits.k_fold(ratings, 4, seed=1)[0].validation.digest
    assert folds[0].validation.digest != splits.k_fold(ratings, 4, seed=2)[0].validation.digest
    in_order = ratings.subset(np.arange(folds[0].validation.n_ratings))
    assert folds[0].validation.digest != in_order.digest


def test_folds_are_a_sequence():
    folds = splits.k_fold(random_ratings(0), 3, seed=2)
    assert (len(folds), repr(folds)) == (3, f"Folds: 3 of {random_ratings(0).n_ratings} ratings, seed=2")
    assert folds[-1].protocol == folds[2].protocol
    assert [fold.protocol for fold in folds[1:]] == [folds[1].protocol, folds[2].protocol]
    assert [fold.protocol for fold in folds] == [fold.protocol for fold in folds]
    with pytest.raises(IndexError):
        folds[3]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 1}, ValueError, "k must be at least 2, got 1"),
        ({"k": 6}, ValueError, "k must be at most the number of ratings, 5, got 6"),
        ({"k": 2.0}, TypeError, "k must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"ratings": [1]}, TypeError, "ratings must be Ratings, got list"),
    ],
)
def test_folds_that_cannot_be_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        splits.k_fold(**{"ratings": timed([1, 2, 3, 4, 5]), **arguments})


# given


@pytest.mark.parametrize("seed", range(10))
def test_parts_from_elsewhere_make_the_split_that_they_were_taken_from(seed):
    for split in every_split(random_ratings(seed), seed):
        again = splits.given(split.train, split.validation)
        assert again.protocol == split.protocol._replace(rule="given", parameters={}, seed=None)
        assert again[:2] == split[:2]


def test_parts_with_labels_and_without_times_are_joined_with_them():
    ratings = Ratings.from_arrays(["a", "a", "b"], ["x", "y", "x"], [1, 2, 3])
    split = splits.given(*ratings.split(0.4)[:2])
    assert split.protocol.digest == ratings.digest


def test_a_rating_that_is_in_both_parts_is_refused():
    ratings = Ratings.from_arrays(["a", "a", "b"], ["x", "y", "x"], [1, 2, 3])
    with pytest.raises(
        ValueError, match=r"rating 0 of validation: user a has rated item y already \(rating 1 of train\)"
    ):
        splits.given(ratings, ratings.subset([1]))


def test_parts_that_do_not_belong_together_are_refused():
    train = timed([1, 2, 3, 4, 5]).subset([0, 1])
    other = Ratings.from_arrays([2], [0], [1.0], shape=(3, 3))
    with pytest.raises(ValueError, match="must both have times as numbers, or both as dates, or both have"):
        splits.given(train, other)
    dated = Ratings.from_arrays([2], [0], [1.0], times=np.array([5], "M8[s]"), shape=(3, 3))
    with pytest.raises(ValueError, match="must both have times as numbers, or both as dates, or both have"):
        splits.given(train, dated)
    with pytest.raises(
        ValueError, match=r"validation must have the shape of the training ratings, got \(1, "
    ):
        splits.given(train, Ratings.from_arrays([0], [0], [1.0], times=[1], shape=(1, 3)))
    labelled = Ratings.from_arrays(["a", "b"], ["x", "y"], [1, 2])
    swapped = Ratings.from_arrays(["a", "c"], ["y", "x"], [1, 2])
    with pytest.raises(ValueError, match="must have the same labels in the same order"):
        splits.given(labelled, swapped)
    with pytest.raises(TypeError, match="train must be Ratings, got tuple"):
        splits.given((1, 2), labelled)
