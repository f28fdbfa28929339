"""Factorization: what it learns, that every setting matters, and what it predicts and recommends."""

import math
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from mflib import (
    DivergenceError,
    Factorization,
    Ratings,
    datasets,
    descend,
    get_num_threads,
    metrics,
    predict_pairs,
    set_num_threads,
)
from mflib.rows import SHRINKAGE

SMALL = {"rule": "conjugate", "n_factors": 3, "iterations": 8, "reg": 0.02, "reg_weighting": "count"}


@pytest.fixture(scope="module")
def planted():
    """Ratings without labels; the last user and the last two items have none in train."""
    ratings = datasets.planted(40, 30, 500, n_factors=2, noise=0.1, mean=3.5).ratings
    wide = Ratings.from_arrays(ratings.users, ratings.items, ratings.values, shape=(41, 32))
    return wide.split(share=0.2)


@pytest.fixture(scope="module")
def model(planted):
    return Factorization(**SMALL).fit(planted.train)


@pytest.fixture(scope="module")
def named():
    """The labels are a number's text, a number, a tuple and bytes in turn."""
    ratings = datasets.planted(12, 9, 50, n_factors=1, noise=0.1, mean=3.5).ratings
    kinds = (str, int, lambda row: (row, "x"), lambda row: str(row).encode())
    users = [kinds[row % 4](row) for row in ratings.users.tolist()]
    items = [f"film {item}" for item in ratings.items.tolist()]
    return Ratings.from_arrays(users, items, ratings.values)


def test_a_prediction_is_the_sum_of_E18(planted, model):
    i, j = 3, 5
    expected = model.mean_ + model.user_biases_[i] + model.item_biases_[j] + model.U_[i] @ model.V_[j]
    assert model.predict(i, j) == pytest.approx(expected, rel=1e-6)


def test_whoever_sets_nothing_comes_near_the_noise(planted):
    """Better than the mean of each item by far, on ratings held out."""
    train, validation, _ = datasets.planted(200, 150, 12_000, 3, noise=0.1, mean=3.5).ratings.split()
    predicted = Factorization().fit(train).predict(validation.users, validation.items, unknown="mean")
    means = np.bincount(train.items, train.values, 150) / np.maximum(train.item_counts, 1)
    assert metrics.rmse(validation.values, predicted) < 0.5 * metrics.rmse(
        validation.values, means[validation.items]
    )


def test_it_is_descend_on_the_standardized_ratings(planted):
    """Of one setting without biases, where the start is that of random_factors."""
    from mflib import random_factors

    train = planted.train
    model = Factorization(biases=False, rating_range=(-math.inf, math.inf), dtype="float64", **SMALL).fit(
        train
    )
    mean, std = train.values.mean(), train.values.std()
    assert (model.mean_, model.std_) == pytest.approx((mean, std), rel=1e-12)
    U, V = random_factors(train.shape, 3, seed=0, scale=0.1)
    U[train.user_counts == 0] = V[train.item_counts == 0] = 0
    found = descend(
        train.shifted(-model.mean_, 1 / model.std_),
        U,
        V,
        "conjugate",
        scaling="count",
        reg=0.02,
        reg_weighting="count",
        iterations=8,
    )
    product = predict_pairs(found.U, found.V, train.users, train.items)
    np.testing.assert_allclose(
        model.predict(train.users, train.items), mean + std * product, rtol=0, atol=1e-12
    )
    for field in ("loss", "objective"):
        np.testing.assert_allclose(model.history_[field], std**2 * found.history[field])
    assert model.n_iter_ == 8


def test_a_rule_of_small_steps_makes_more_of_them(planted):
    counts = {
        rule: Factorization(1, rule=rule).fit(planted.train).n_iter_ for rule in ("alternating", "plain")
    }
    assert counts == {"alternating": 10, "plain": 60}


def test_ratings_that_differ_by_rounding_alone_are_constant():
    """Else what is learned would be their rounding, made large."""
    values = np.array([0.1 + 0.2, 0.3, 0.3, 0.3])
    model = Factorization(1).fit(Ratings.from_arrays([0, 1, 0, 1], [0, 0, 1, 1], values))
    assert model.std_ == 1


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0), (20, 0), (1e6, -3e6)])
def test_the_unit_of_the_ratings_does_not_matter(planted, model, scale, shift):
    """The same settings learn the same from ratings in other units, up to rounding."""
    train = planted.train.shifted(0, scale).shifted(shift)
    other = Factorization(**SMALL).fit(train)
    expected = scale * model.predict(train.users, train.items) + shift
    np.testing.assert_allclose(other.predict(train.users, train.items), expected, atol=1e-2 * scale)
    assert other.history_["loss"][0] == pytest.approx(scale**2 * model.history_["loss"][0], rel=1e-3)


CHANGES = {
    "n_factors": 4,
    "biases": False,
    "rule": "alternating",
    "scaling": None,
    "reg": 0.5,
    "reg_weighting": "plain",
    "iterations": 3,
    "init_scale": 0.3,
    "rating_range": (3.0, 3.5),
    "seed": 1,
    "dtype": "float64",
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_changes_what_is_predicted(planted, model, name):
    train = planted.train
    other = Factorization(**SMALL | {name: CHANGES[name]}).fit(train)
    before, after = (one.predict(train.users, train.items) for one in (model, other))
    assert np.max(np.abs(after - before)) > 0, name


def test_learning_rate_and_momentum_matter_where_the_rule_has_them(planted):
    def last(**settings):
        return (
            Factorization(**SMALL | {"rule": "momentum", "reg": 0.0} | settings)
            .fit(planted.train)
            .history_[-1]
        )

    at = last(learning_rate=0.1)["loss"]
    assert last(learning_rate=0.2)["loss"] != at
    assert last(learning_rate=0.1, momentum=0.5)["loss"] != at


def test_progress_is_shown_where_asked_for(planted, capfd):
    Factorization(**SMALL).fit(planted.train)
    assert capfd.readouterr().err == ""
    Factorization(**SMALL | {"progress": True}).fit(planted.train)
    assert "8/8" in capfd.readouterr().err


def test_the_same_seed_gives_the_same_bits_and_fit_starts_anew(planted, model):
    again = clone(model).fit(planted.train)
    for name in ("U_", "V_", "user_biases_", "item_biases_"):
        np.testing.assert_array_equal(getattr(again.fit(planted.train), name), getattr(model, name))


def test_fit_leaves_parameters_and_ratings_alone(planted):
    model = Factorization(**SMALL)
    before, digest = model.get_params(), planted.train.digest
    assert model.fit(planted.train) is model
    assert model.get_params() == before
    assert planted.train.digest == digest


def test_validation_keeps_the_best_factors_and_patience_stops(planted):
    train, validation, _ = planted
    settings = {"n_factors": 8, "reg": 0.0, "iterations": 300}
    model = Factorization(patience=10, **settings).fit(train, validation)
    assert model.stopped_because_ == "patience"
    assert model.n_iter_ < 300
    assert Factorization(**settings).fit(train).stopped_because_ != "patience"
    known = train.knows(validation.users, validation.items)
    users, items, values = validation.users[known], validation.items[known], validation.values[known]
    model.rating_range_ = (-math.inf, math.inf)
    found = metrics.rmse(values, model.predict(users, items))
    last = Factorization(**settings, rating_range=(-math.inf, math.inf)).fit(train).predict(users, items)
    assert found < metrics.rmse(values, last)


@pytest.mark.parametrize("rule", ["conjugate", "alternating"])
def test_the_validation_rmse_of_the_history_is_that_of_the_model(planted, rule):
    """Unknown users and items count as predicted by their mean there, too."""
    users, items, values = [3, 40, 5, 99], [4, 2, 30, 31], [4.0, 3.0, 5.0, 2.0]
    shape, train = (100, 32), planted.train
    train = Ratings.from_arrays(train.users, train.items, train.values, shape=shape)
    validation = Ratings.from_arrays(users, items, values, shape=shape)
    settings = {**SMALL, "rule": rule, "init_scale": 1.0, "rating_range": (-math.inf, math.inf)}
    model = Factorization(**settings).fit(train, validation)
    with pytest.warns(UserWarning, match="3 of 4 pairs"):
        predicted = model.predict(users, items, unknown="mean")
    best = model.history_["validation_rmse"].min()
    assert metrics.rmse(values, predicted) == pytest.approx(best, rel=1e-5)


def test_validation_with_other_labels_is_refused(named):
    other = Ratings.from_arrays(
        [("other", i) for i in range(named.shape[0])], [*range(named.shape[1]), 0, 0, 0], np.ones(12)
    )
    assert other.shape == named.shape
    with pytest.raises(ValueError, match="validation must have the labels of the training ratings"):
        Factorization(**SMALL).fit(named, other)


@pytest.mark.parametrize("biases", [True, False])
def test_a_pair_with_one_side_unknown_gets_the_mean_of_the_other(planted, biases):
    """User 40 and items 30, 31 lie within the shape and have no rating; 99 lies outside."""
    train = planted.train
    model = Factorization(biases=biases, **SMALL).fit(train)
    with pytest.warns(UserWarning, match=r"4 of 5 pairs.*coverage is 20\.0%"):
        got = model.predict([1, 1, 40, 99, 99], [1, 30, 1, 1, 99], unknown="mean")
    if biases:
        of_user, of_item = model.mean_ + model.user_biases_[1], model.mean_ + model.item_biases_[1]
    else:
        of_user, of_item = (
            np.append(train.values[codes == 1], [model.mean_] * SHRINKAGE).mean()
            for codes in (train.users, train.items)
        )
        assert not model.user_biases_.any()
        assert not model.item_biases_.any()
    np.testing.assert_allclose(got, [model.predict(1, 1), of_user, of_item, of_item, model.mean_], rtol=1e-6)


@pytest.mark.parametrize("rule", ["plain", "conjugate", "alternating"])
def test_rows_without_a_rating_are_zero(planted, rule):
    model = Factorization(**SMALL | {"rule": rule}).fit(planted.train)
    assert not model.U_[40].any()
    assert not model.V_[30:].any()
    assert (model.user_biases_[40], model.item_biases_[31], model.user_counts_[40]) == (0, 0, 0)


def test_unknown_ids_are_listed(named):
    model = Factorization(**SMALL).fit(named)
    with pytest.raises(
        ValueError, match=r"^2 users \('zoe', 1\.5\) and 1 item \('film x'\) without any tr.*mean"
    ):
        model.predict(["zoe", "zoe", 1.5, 1], ["film 1", "film 1", "film x", "film 1"])
    with pytest.raises(ValueError, match=r"7 users \(100, 101, 102, 103, 104, …\) without"):
        model.predict(range(100, 107), "film 1")
    with pytest.raises(ValueError, match=r"^1 user \('zoe'\) without any"):
        model.predict("zoe", ["film 1", "film 2"])
    with pytest.raises(ValueError, match=r"^1 item \('film x'\) without any"):
        model.predict([1, 1, 1], "film x")


def test_ids_that_cannot_be_any_are_refused(model, named):
    by_label = Factorization(**SMALL).fit(named)
    for call, error, message in (
        (lambda: model.predict(-1, 0), ValueError, r"users\[0\] is -1"),
        (lambda: model.predict(0.5, 0), TypeError, "users must be whole-number indices"),
        (lambda: model.predict("ann", 0), TypeError, "users must be whole-number indices"),
        (lambda: model.predict([0, 1], [0, 1, 2]), ValueError, "of one length, got 2 and 3"),
        (lambda: model.predict([[0]], [0]), TypeError, "users must be whole"),
        (lambda: model.predict(np.zeros((1, 1), int), [0]), ValueError, "users must be one id, or have one"),
        (lambda: model.predict(0, 0, unknown="zero"), ValueError, "unknown must be one of 'error', 'mean'"),
        (lambda: by_label.predict([["a"]], "film 1"), TypeError, "user labels must be hashable"),
        (lambda: model.recommend(0, 0), ValueError, "n must be at least 1"),
        (lambda: model.similar_items([0]), TypeError, "item must be one id, got a list"),
        (lambda: model.similar_items(31), ValueError, r"1 item \(31\) without any training rating"),
        (lambda: model.recommend([0, 40]), ValueError, r"1 user \(40\) without any training rating"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_ids_come_as_one_or_as_any_column(model):
    expected = [model.predict(1, 2), model.predict(3, 2)]
    assert all(type(one) is float for one in expected)
    frame = pd.DataFrame({"user": [1, 3], "item": [2, 2]})
    for users, items in (
        ([1, 3], [2, 2]),
        (frame.user, frame["item"]),
        (np.array([1, 3], np.uint8), np.int64(2)),
        (range(1, 5, 2), 2),
    ):
        got = model.predict(users, items)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected)
    assert model.predict([], []).shape == (0,)


def test_labels_of_any_kind_are_ids(named):
    model = Factorization(**SMALL).fit(named)
    users, items = ([labels[row] for row in rows] for labels, rows in zip(
        named._labels, (named.users, named.items), strict=True
    ))  # fmt: skip
    by_index = Ratings.from_arrays(named.users, named.items, named.values, shape=named.shape)
    expected = Factorization(**SMALL).fit(by_index).predict(named.users, named.items)
    np.testing.assert_array_equal(model.predict(users, items), expected)
    assert model.predict((2, "x"), "film 1") == model.predict([(2, "x")], ["film 1"])[0]
    assert (model.user_labels_, model.item_labels_) == (named.user_labels, named.item_labels)


def test_coverage_is_the_share_of_known_pairs(model):
    assert model.coverage([0, 0, 40, 99], [0, 30, 0, 0]) == 0.25
    assert model.coverage(0, 0) == 1
    assert math.isnan(model.coverage([], []))


def test_predictions_lie_in_the_range_seen_or_in_the_one_given(planted):
    train = planted.train
    users, items = np.divmod(np.arange(40 * 30), 30)
    low, high = train.values.min(), train.values.max()
    free = Factorization(**SMALL, rating_range=(-math.inf, math.inf)).fit(train).predict(users, items)
    assert free.min() < low or free.max() > high
    for given, (least, most) in (
        (None, (low, high)),
        ((3, 4), (3, 4)),
        ((-math.inf, 3.5), (free.min(), 3.5)),
    ):
        model = Factorization(**SMALL, rating_range=given).fit(train)
        np.testing.assert_array_equal(model.predict(users, items), np.clip(free, least, most).astype("f4"))


def test_recommendations_are_the_best_unseen_known_items(planted, model):
    """By trying all of them."""
    train = planted.train
    for user in range(0, 40, 7):
        seen = set(train.items[train.users == user].tolist())
        ranked = sorted(range(30), key=lambda j: -float(model._U[user] @ model._V[j]))
        ranked = [j for j in ranked if train.item_counts[j]]
        expected = [j for j in ranked if j not in seen]
        found = model.recommend(user, n=50)
        assert [item for item, _ in found] == expected
        assert [rating for _, rating in found] == pytest.approx([model.predict(user, j) for j in expected])
        assert [one.item for one in model.recommend(user, n=4, exclude_seen=False)] == ranked[:4]


def test_many_users_at_once_get_what_each_gets(named):
    model = Factorization(**SMALL).fit(named)
    users = named.user_labels[:5]
    assert model.recommend(users, 2) == [model.recommend(user, 2) for user in users]
    assert model.recommend([]) == []
    frame = pd.DataFrame(model.recommend(users[0], 2))
    assert [*frame.columns] == ["item", "rating"]
    assert set(frame["item"]) <= set(named.item_labels)


def test_an_unknown_user_gets_the_items_with_the_highest_means(planted):
    for biases in (True, False):
        model = Factorization(biases=biases, **SMALL).fit(planted.train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            means = model.predict(40, range(30), unknown="mean")
        best = [item for item, _ in model.recommend(40, 3, unknown="mean")]
        assert best == np.argsort(-means)[:3].tolist()
        one, other = model.recommend([0, 99], 3, unknown="mean")
        assert (one, [item for item, _ in other]) == (model.recommend(0, 3), best)


def test_similar_items_have_the_highest_cosine(model):
    V = model.V_[:30].astype(float)
    V /= np.linalg.norm(V, axis=1)[:, None]
    cosines = V @ V[4]
    expected = [j for j in np.argsort(-cosines) if j != 4]
    found = model.similar_items(4, n=99)
    assert [item for item, _ in found] == expected
    np.testing.assert_allclose([cosine for _, cosine in found], cosines[expected], atol=1e-5)
    assert model.similar_items(4, 2) == found[:2]


def test_a_twin_of_an_item_is_the_most_similar():
    """An item with the same ratings is as similar as the item itself, which is left out all the same."""
    rng = np.random.default_rng(0)
    column = rng.integers(1, 6, 30)
    Y = np.column_stack([column, rng.integers(1, 6, (30, 4)), column]).astype(float)
    model = Factorization(n_factors=2, rule="alternating").fit(Ratings.from_dense(Y, np.ones(Y.shape)))
    item, cosine = model.similar_items(0, 1)[0]
    assert item == 5
    assert cosine == pytest.approx(1, abs=0.02)


COLD = {
    "one rating": ([0], [0], [4.0], (1, 1)),
    "one rating of many users": ([3], [2], [4.0], (5, 4)),
    "one user": ([0, 0, 0], [0, 1, 2], [1.0, 5.0, 3.0], (1, 3)),
    "one item": ([0, 1, 2], [0, 0, 0], [1.0, 5.0, 3.0], (3, 1)),
    "constant": ([0, 1, 2, 0], [0, 0, 1, 1], [0.1, 0.1, 0.1, 0.1], (3, 2)),
    "zeros": ([0, 1, 2, 0], [0, 0, 1, 1], [0.0, 0.0, 0.0, 0.0], (3, 2)),
    "large": ([0, 1, 1], [0, 0, 1], [1e6, -1e6, 3e5], (2, 2)),
    "small": ([0, 1, 1], [0, 0, 1], [1e-6, -1e-6, 3e-7], (2, 2)),
}


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", COLD)
def test_few_or_equal_ratings_give_a_model_with_the_defaults(kind, dtype, biases):
    *columns, shape = COLD[kind]
    ratings = Ratings.from_arrays(*columns, shape=shape)
    model = Factorization(dtype=dtype, biases=biases).fit(ratings)
    predicted = model.predict(ratings.users, ratings.items)
    low, high = (float(np.dtype(dtype).type(bound)) for bound in model.rating_range_)
    assert low <= predicted.min() <= predicted.max() <= high
    assert np.isfinite(model.U_).all()
    assert np.isfinite(model.V_).all()
    user, item = int(ratings.users[0]), int(ratings.items[0])
    assert model.recommend(user) is not None
    assert all(abs(cosine) <= 1 for _, cosine in model.similar_items(item))


def test_ratings_too_large_to_be_squared_are_refused():
    ratings = Ratings.from_arrays([0, 1], [0, 0], [1e300, -1e300], shape=(2, 1))
    with pytest.raises(ValueError, match="too large to be squared"):
        Factorization(dtype="float64").fit(ratings)


@pytest.mark.parametrize("values", [(1e39, 1e39), (3e38, 6e38), (-1e39, 1e39)])
def test_ratings_too_large_for_float32_are_refused_before_they_are_predicted_as_infinity(values):
    ratings = Ratings.from_arrays([0, 1], [0, 0], np.array(values), shape=(2, 1))
    with pytest.raises(ValueError, match="too large for float32: use dtype='float64'"):
        Factorization().fit(ratings)
    assert np.isfinite(Factorization(dtype="float64").fit(ratings).predict([0, 1], 0)).all()


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", ["plain", "conjugate", "alternating"])
@pytest.mark.parametrize(
    "extreme",
    [{"reg": 1e38}, {"reg": 1e39}, {"reg": 1e200}, {"init_scale": 1e-6}, {"init_scale": 1e6}],
    ids=str,
)
def test_settings_at_the_ends_of_their_ranges_end_with_a_finite_model(planted, extreme, rule, dtype, biases):
    train = planted.train
    for scaling in (None, "block"):
        settings = SMALL | {"rule": rule, "dtype": dtype, "biases": biases, "scaling": scaling} | extreme
        model = Factorization(**settings).fit(train)
        assert np.isfinite(model.history_["objective"]).all()
        assert np.isfinite(model.predict(train.users, train.items)).all()


def test_a_warm_start_goes_on_where_the_last_fit_ended(planted):
    train = planted.train
    model = Factorization(**SMALL, warm_start=True).fit(train)
    first = model.history_["loss"]
    second = model.fit(train).history_["loss"]
    assert second[0] == pytest.approx(first[-1], rel=1e-4)
    assert second[-1] <= second[0] * 1.0001
    assert len(second) == len(first)
    cold = model.set_params(warm_start=False).fit(train).history_["loss"]
    np.testing.assert_array_equal(cold, first)


def test_a_warm_start_knows_users_and_items_by_their_labels(named):
    """New users come before the known ones in the order of labels; those without ratings are forgotten."""
    model = Factorization(**SMALL, warm_start=True).fit(named)
    before = dict(zip(model.item_labels_, zip(model.V_.copy(), model.item_biases_, strict=True), strict=True))
    kept = [row for row in range(named.n_ratings) if named.items[row] != 3]
    users = ["0 new", "0 new", *(named.user_labels[named.users[row]] for row in kept)]
    items = ["a new film", "film 1", *(named.item_labels[named.items[row]] for row in kept)]
    values = [4.0, 2.0, *named.values[kept]]
    model.set_params(iterations=0).fit(Ratings.from_arrays(users, items, values))
    assert model.coverage("0 new", "a new film") == 1
    for label, v, c in zip(model.item_labels_, model.V_, model.item_biases_, strict=True):
        if label == "a new film":
            assert v.any()
        else:
            np.testing.assert_allclose(v, before[label][0], rtol=1e-5)
            assert c == pytest.approx(before[label][1], rel=1e-5)
    assert named.item_labels[3] not in model.item_labels_


@pytest.mark.parametrize("setting", [{"n_factors": 4}, None])
def test_a_warm_start_that_does_not_fit_is_refused_and_changes_nothing(planted, named, setting):
    model = Factorization(**SMALL, warm_start=True).fit(planted.train)
    before = model.predict(0, 0)
    with pytest.raises(ValueError, match="fit with warm_start=False"):
        model.set_params(**setting or {}).fit(planted.train if setting else named)
    assert model.predict(0, 0) == before


def test_ctrl_c_keeps_what_there_is():
    """A real interrupt of a real process in the middle of a fit."""
    code = """
import threading, os, signal, time
from mflib import Factorization, datasets
ratings = datasets.planted(300, 200, 9000, n_factors=3, mean=3.5).ratings
Factorization(iterations=2).fit(ratings)
model = Factorization(iterations=10**7, reg=1e-6, n_factors=8)
threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
model.fit(ratings)
print(model.stopped_because_, model.n_iter_ < 10**7, model.predict(0, 0) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() in (["interrupted", "True", "True"], ["converged", "True", "True"]), (
        done.stderr
    )
    assert done.returncode != -signal.SIGINT


WRONG = {
    "n_factors": (0, "n_factors must be at least 1, got 0"),
    "biases": ("yes", "biases must be True or False, got 'yes'"),
    "rule": ("newton", "rule must be one of"),
    "learning_rate": (-1.0, "learning_rate"),
    "momentum": (1.0, "momentum"),
    "scaling": ("rows", "scaling must be one of"),
    "reg": (-1, "reg must lie in"),
    "reg_weighting": ("none", "reg_weighting must be one of"),
    "iterations": (-1, "iterations must be at least 0"),
    "patience": (2, "patience needs validation ratings"),
    "init_scale": (0, r"init_scale must lie in \[1e-06, 1000000\.0\], got 0"),
    "rating_range": ((5, 1), r"rating_range must be \(lowest, highest\), got \(5, 1\)"),
    "warm_start": (1, "warm_start must be True or False, got 1"),
    "seed": (-1, "seed must be at least 0"),
    "dtype": ("int8", "dtype must be float32 or float64"),
    "progress": (None, "progress must be True or False, got None"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_parameter_is_refused_by_fit_and_named(planted, name):
    value, message = WRONG[name]
    model = Factorization(**{name: value})
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(planted.train)
    assert not hasattr(model, "mean_")


@pytest.mark.parametrize(
    "given", ["1-5", (1, 2, 3), (np.nan, 5), (1, "five"), (math.inf, math.inf), (-math.inf,) * 2]
)
def test_a_range_that_is_none_is_refused(planted, given):
    with pytest.raises((TypeError, ValueError), match="rating_range"):
        Factorization(rating_range=given).fit(planted.train)


def test_other_things_than_ratings_are_refused():
    with pytest.raises(TypeError, match="ratings must be Ratings, got ndarray"):
        Factorization().fit(np.ones((2, 2)))


def test_the_bits_do_not_depend_on_the_number_of_threads():
    ratings = datasets.planted(400, 300, 30000, n_factors=3, mean=3.5).ratings
    found, before = set(), get_num_threads()
    try:
        for n_threads in (1, 2):
            set_num_threads(n_threads)
            model = Factorization(n_factors=8, iterations=5).fit(ratings)
            found.add(model.U_.tobytes() + model.V_.tobytes() + model.history_["loss"].tobytes())
    finally:
        set_num_threads(before)
    assert len(found) == 1


def test_a_descent_that_diverges_leaves_the_model_as_it_was(planted):
    model = Factorization(**SMALL).fit(planted.train)
    before = model.predict(0, 0)
    with pytest.raises(DivergenceError, match="try learning_rate="):
        model.set_params(rule="plain", scaling=None, learning_rate=1e6).fit(planted.train)
    assert model.predict(0, 0) == before


def random_case(rng):
    """Ratings of any size, unit and kind, and settings within their ranges."""
    n, m = (int(rows) for rows in rng.integers(1, 30, 2))
    cells = rng.choice(n * m, rng.integers(1, n * m + 1), replace=False)
    kinds = (rng.normal, lambda size: rng.integers(1, 6, size), rng.standard_cauchy)
    values = kinds[rng.integers(3)](size=len(cells)) if rng.integers(4) else np.full(len(cells), 3.3)
    values = (values + rng.choice([0, 100])) * 10.0 ** rng.uniform(-6, 6)
    settings = {
        "n_factors": int(rng.choice([1, 3, 50])),
        "biases": bool(rng.integers(2)),
        "rule": str(rng.choice(["plain", "conjugate", "alternating"])),
        "scaling": (None, "count", "block")[rng.integers(3)],
        "reg": float(rng.choice([0, 1e-3, 0.1, 10])),
        "reg_weighting": str(rng.choice(["plain", "count", "sqrt"])),
        "iterations": int(rng.integers(0, 30)),
        "init_scale": float(rng.choice([1e-6, 0.1, 10])),
        "dtype": str(rng.choice(["float32", "float64"])),
    }
    return Ratings.from_arrays(cells // m, cells % m, values, shape=(n, m)), settings


def fit_random_cases(seeds):
    for seed in seeds:
        ratings, settings = random_case(np.random.default_rng(seed))
        model = Factorization(seed=seed, **settings).fit(ratings)
        assert np.isfinite(model.U_).all(), (seed, settings)
        assert np.isfinite(model.V_).all(), (seed, settings)
        assert np.isfinite(model.history_["objective"]).all(), (seed, settings)
        assert np.isfinite(model.predict(ratings.users, ratings.items)).all(), (seed, settings)
        assert all(math.isfinite(rating) for _, rating in model.recommend(int(ratings.users[0]))), seed
        assert all(abs(cosine) <= 1 for _, cosine in model.similar_items(int(ratings.items[0]))), seed


def test_random_settings_and_ratings_end_with_a_finite_model():
    fit_random_cases(range(40))


@pytest.mark.soak
def test_five_hundred_random_settings_and_ratings_end_with_a_finite_model():
    fit_random_cases(range(1000, 1500))
