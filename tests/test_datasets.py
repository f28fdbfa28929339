"""Ratings to work with: the toy, and planted ratings whose truth is known."""

import numpy as np
import pytest

from mflib import Ratings, datasets, dense


def test_the_toy_fits_on_a_page_and_has_a_zero_and_gaps():
    Y, R, users, items = datasets.toy()
    assert (Y.shape, Y.dtype, len(users), len(items), dense.count(R)) == ((5, 4), np.float64, 5, 4, 14)
    np.testing.assert_array_equal(R, dense.observed(Y))
    assert (Y == 0).any()
    assert R.any(axis=0).all()
    assert R.any(axis=1).all()
    assert Ratings.from_dense(Y, R).n_ratings == 14


def test_planted_ratings_are_the_truth_plus_noise():
    ratings, U, V = datasets.planted(400, 300, 20_000, n_factors=4, noise=0.25, seed=1)
    truth = np.sum(U[ratings.users] * V[ratings.items], axis=1)
    assert (ratings.n_ratings, ratings.shape, U.shape, V.shape) == (20_000, (400, 300), (400, 4), (300, 4))
    np.testing.assert_allclose([np.mean(truth), np.mean(ratings.values - truth)], [0, 0], atol=0.05)
    np.testing.assert_allclose([np.std(truth), np.std(ratings.values - truth)], [1, 0.25], rtol=0.1)
    assert ratings.user_labels is None


def test_without_noise_planted_ratings_are_the_truth():
    ratings, U, V = datasets.planted(30, 20, 200, n_factors=2, noise=0)
    np.testing.assert_array_equal(ratings.values, np.sum(U[ratings.users] * V[ratings.items], axis=1))


def test_the_default_noise_is_a_tenth_of_a_point():
    ratings, U, V = datasets.planted(200, 200, 10_000, n_factors=2)
    np.testing.assert_allclose(
        np.std(ratings.values - dense.predict(U, V)[ratings.users, ratings.items]), 0.1, rtol=0.05
    )


def test_a_planted_mean_is_carried_by_the_first_factor():
    ratings, U, V = datasets.planted(400, 300, 20_000, n_factors=3, noise=0, mean=3.5)
    np.testing.assert_allclose(U[:, 0] * V[0, 0], 3.5)
    np.testing.assert_allclose([ratings.values.mean(), ratings.values.std()], [3.5, 1], rtol=0.1)
    alone = datasets.planted(20, 20, 100, n_factors=1, noise=0, mean=2.0).ratings
    np.testing.assert_allclose(alone.values, 2)


def test_activity_and_popularity_are_as_uneven_as_asked_for():
    def busiest(counts):
        return np.sort(counts)[-20:].sum() / counts.sum()

    even, skewed, more = (datasets.planted(200, 200, 4000, 1, skew=skew).ratings for skew in (0, 0.8, 1.6))
    for count in ("user_counts", "item_counts"):
        shares = [busiest(getattr(ratings, count)) for ratings in (even, skewed, more)]
        assert 0.1 < shares[0] < 0.2 < shares[1] < shares[2]
    order = np.argsort(-skewed.user_counts)
    assert len(set(order[:20].tolist()) & set(range(20))) < 10  # the busiest users are anywhere


def test_planted_ratings_are_those_of_their_seed():
    one, same, other = (datasets.planted(30, 20, 200, 2, seed=seed).ratings for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest
    assert (
        datasets.planted(30, 20, 200, 2).ratings.digest
        == datasets.planted(30, 20, 200, 2, seed=0).ratings.digest
    )


def test_half_of_all_places_can_be_planted():
    ratings, *_ = datasets.planted(10, 10, 50, n_factors=1)
    assert (ratings.n_ratings, ratings.density) == (50, 0.5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_users": 0}, ValueError, "n_users must be at least 1, got 0"),
        ({"n_items": 2.5}, TypeError, r"n_items must be a whole number, got 2.5 \(float\)"),
        ({"n_factors": 0}, ValueError, "n_factors must be at least 1, got 0"),
        ({"n_ratings": 0}, ValueError, "n_ratings must be at least 1, got 0"),
        ({"n_ratings": 51}, ValueError, "n_ratings must be at most half of n_users × n_items = 100, got 51"),
        ({"noise": -1}, ValueError, r"noise must lie in \[0, inf\), got -1"),
        ({"noise": np.inf}, ValueError, r"noise must lie in \[0, inf\), got inf"),
        ({"mean": -0.5}, ValueError, r"mean must lie in \[0, inf\), got -0.5"),
        ({"mean": np.inf}, ValueError, r"mean must lie in \[0, inf\), got inf"),
        ({"skew": 2.1}, ValueError, r"skew must lie in \[0, 2\], got 2.1"),
        ({"skew": "0.8"}, TypeError, r"skew must be a number, got '0.8' \(str\)"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ],
)
def test_planted_ratings_that_cannot_be_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        datasets.planted(**{"n_users": 10, "n_items": 10, "n_ratings": 50, "n_factors": 2, **change})


@pytest.mark.parametrize("skew", [0.0, 1.2, 2.0])
def test_half_of_all_places_can_be_planted_however_uneven(skew):
    """Rare pairs were drawn for again and again: a thousand users and items took a minute."""
    ratings, U, V = datasets.planted(200, 200, 20_000, n_factors=2, noise=0, skew=skew)
    assert ratings.n_ratings == 20_000
    np.testing.assert_array_equal(ratings.values, np.sum(U[ratings.users] * V[ratings.items], axis=1))


def test_pairs_that_are_not_drawn_one_by_one_come_as_if_they_were(monkeypatch):
    """Two of six places are drawn next, one is there already; blocks of one user each."""
    monkeypatch.setattr(datasets.columns, "CHUNK", 1)
    weights, seen = (np.array([8.0, 1.0, 2.0]), np.array([3.0, 1.0])), np.array([0])
    w = np.outer(*weights).ravel()
    w[seen] = 0
    first = w / w.sum()
    expected = [
        first[c] + sum(first[o] * w[c] / (w.sum() - w[o]) for o in range(1, 6) if o != c) for c in range(6)
    ]
    rng = np.random.default_rng(0)
    drawn = [datasets._first_drawn(weights, seen, 2, rng) for _ in range(4000)]
    np.testing.assert_allclose(
        np.bincount(np.concatenate(drawn)) / 4000, np.array(expected) * (w > 0), atol=0.03
    )
    assert all(len(set(pair)) == 2 for pair in drawn)
