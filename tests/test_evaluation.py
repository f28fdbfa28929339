"""Errors of models on what they have not seen, over folds and seeds."""

import numpy as np
import pytest
import sklearn.metrics
import sklearn.model_selection
from estimators import BiasedMean, Mean
from sklearn.base import BaseEstimator

from mflib import Factorization, Ratings, evaluation, splits

evaluate, cross_validate = evaluation.evaluate, evaluation.cross_validate


def random_ratings(seed=0, labels=False):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(3, 15, size=2).tolist()
    cells = rng.permutation(n * m)[: rng.integers(8, n * m + 1)] if n * m > 8 else np.arange(n * m)
    users, items, values = cells // m, cells % m, rng.integers(1, 11, size=len(cells)) / 2
    if labels:
        return Ratings.from_arrays([f"u{user}" for user in users], [("i", int(i)) for i in items], values)
    return Ratings.from_arrays(users, items, values, times=rng.integers(9, size=len(cells)), shape=(n, m))


def test_one_evaluation_by_hand():
    train = Ratings.from_arrays([0, 1], [0, 0], [1.0, 3.0], shape=(2, 2))
    validation = Ratings.from_arrays([0, 1], [1, 1], [5.0, 3.0], shape=(2, 2))
    result = evaluate(Mean(), train, validation)  # predicts 2, so errors are 3 and 1
    assert (result.rmse, result.mae, result.coverage) == (5**0.5, 2, 0)
    assert (result.model, result.settings, result.seeds) == ("Mean", {"shift": 0.0}, (None,))
    assert result.protocols == (splits.given(train, validation).protocol,)
    assert str(result.protocols[0]) == "given"
    (score,) = result.scores
    assert (score.fold, score.seed) == (0, None)
    assert min(score.seconds_fit, score.seconds_predict) >= 0


def test_mean_and_spread_over_folds_and_seeds_by_hand():
    protocol = splits.Protocol("given", {}, None, "d", 3, 1, 0)
    rows = [(0, 1, 1.0), (0, 2, 2.0), (1, 1, 4.0), (1, 2, 7.0)]
    scores = tuple(evaluation.Score(*row, 2 * row[2], 0.5, 1.5, 0.25) for row in rows)
    result = evaluation.Evaluation("Mean", {}, (1, 2), (protocol,) * 2, scores)
    np.testing.assert_array_equal(result.values("rmse"), [[1, 2], [4, 7]])
    summary = result.summary("rmse")  # means of folds 1.5 and 5.5, of seeds 2.5 and 4.5
    np.testing.assert_allclose(summary, (3.5, 7**0.5, 8**0.5, 2**0.5), rtol=1e-15)
    assert (result.rmse, result.mae, result.coverage) == (3.5, 7, 0.5)
    assert result.summary("seconds_fit").mean == 1.5
    with pytest.raises(ValueError, match=r"name must be one of 'rmse', 'mae', .*, got 'r2'"):
        result.summary("r2")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("labels", [False, True])
def test_errors_are_those_of_scikit_learn_on_the_same_folds(seed, labels):
    """An adapter hands rows to scikit-learn's own cross_validate."""
    ratings, seeds = random_ratings(seed, labels), (3, 4)
    folds = splits.k_fold(ratings, 4, seed)
    pairs = np.column_stack((ratings.users, ratings.items))

    class Rows(BaseEstimator):
        def __init__(self, seed=0):
            self.seed = seed

        def fit(self, X, y):
            train = Ratings.from_arrays(*X.T, y, shape=ratings.shape)
            self.model_ = BiasedMean(seed=self.seed).fit(train)
            return self

        def predict(self, X):
            return self.model_.predict(*X.T, unknown="mean")

    place = {pair: row for row, pair in enumerate(map(tuple, pairs.tolist()))}
    rows = [
        [
            [place[pair] for pair in zip(part.users.tolist(), part.items.tolist(), strict=True)]
            for part in fold[:2]
        ]
        for fold in folds
    ]
    result = cross_validate(BiasedMean(), ratings, folds, seeds)
    scoring = {"rmse": "neg_root_mean_squared_error", "mae": "neg_mean_absolute_error"}
    for column, one in enumerate(seeds):
        theirs = sklearn.model_selection.cross_validate(
            Rows(one), pairs, ratings.values, cv=rows, scoring=scoring
        )
        for name in scoring:
            np.testing.assert_allclose(result.values(name)[:, column], -theirs[f"test_{name}"], rtol=1e-12)
    for values, protocol in zip(result.values("coverage"), result.protocols, strict=True):
        np.testing.assert_allclose(values, 1 - protocol.n_unknown / protocol.n_validation, rtol=1e-15)


def test_a_number_of_folds_stands_for_k_fold_and_five_is_the_default():
    ratings = random_ratings(1)
    assert (
        cross_validate(Mean(), ratings, 3).rmse
        == cross_validate(Mean(), ratings, splits.k_fold(ratings, 3)).rmse
    )
    assert len(cross_validate(Mean(), ratings).protocols) == 5


@pytest.mark.filterwarnings("error")
def test_what_a_factorization_says_of_unknown_pairs_is_in_the_coverage_and_no_warning():
    ratings = random_ratings(1, labels=True)
    last = ratings.n_ratings - 1
    alone = splits.parted(ratings, ratings.items == ratings.items[last], "given")  # an item that is unknown
    assert cross_validate(Factorization(n_factors=1, iterations=1), ratings, alone).coverage == 0


def test_splits_of_every_kind_are_folds():
    ratings = random_ratings(2)
    kinds = [ratings.split(), splits.chronological(ratings, share=0.3), splits.leave_last(ratings)]
    result = cross_validate(Mean(), ratings, kinds)
    assert [one.rule for one in result.protocols] == ["random", "chronological", "leave-last"]
    for split, rmse in zip(kinds, result.values("rmse")[:, 0], strict=True):
        expected = np.full(split.validation.n_ratings, split.train.values.mean())
        theirs = sklearn.metrics.root_mean_squared_error(split.validation.values, expected)
        np.testing.assert_allclose(rmse, theirs, rtol=1e-13)
        assert cross_validate(Mean(), ratings, split).rmse == rmse  # one split alone, though it is a tuple
        assert evaluate(Mean(), split.train, split.validation).rmse == rmse


def test_each_fit_is_of_a_fresh_copy_with_its_seed_and_the_same_again():
    ratings, model = random_ratings(3), BiasedMean(seed=5)
    result = cross_validate(model, ratings, 3, seeds=[5, 6])
    assert model.get_params() == BiasedMean(seed=5).get_params()
    assert not hasattr(model, "mean_")
    rmse = result.values("rmse")
    assert (rmse[:, 0] != rmse[:, 1]).all()
    np.testing.assert_array_equal(
        cross_validate(model, ratings, 3, seeds=(6, 5)).values("rmse"), rmse[:, ::-1]
    )
    own = cross_validate(model, ratings, 3)  # without seeds, with its own
    assert own.seeds == (5,)
    np.testing.assert_array_equal(own.values("rmse"), rmse[:, :1])
    assert own.settings == {"damping": 5.0, "jitter": 0.1}  # the seed is told apart


def test_a_setting_of_the_model_matters():
    ratings = random_ratings(4)
    assert (
        cross_validate(BiasedMean(damping=1), ratings).rmse
        != cross_validate(BiasedMean(damping=50), ratings).rmse
    )


def test_the_folds_matter():
    ratings = random_ratings(4)
    one, other = (cross_validate(Mean(), ratings, splits.k_fold(ratings, 3, seed)) for seed in (0, 1))
    assert one.rmse != other.rmse


@pytest.mark.parametrize("seed", range(20))
def test_on_any_data_rmse_is_at_least_mae_and_a_shift_moves_both(seed):
    ratings = random_ratings(seed)
    result, shifted = (cross_validate(Mean(shift), ratings, 3) for shift in (0, 1000))
    assert (result.values("rmse") >= result.values("mae") - 1e-12).all()
    assert (shifted.values("mae") > 900).all()
    low, high = result.values("rmse").min(), result.values("rmse").max()
    assert low <= result.rmse <= high
    summary = result.summary("rmse")
    np.testing.assert_allclose(summary.spread, np.std(result.values("rmse"), ddof=1), rtol=1e-12)
    assert summary.over_folds == summary.spread  # a single seed
    assert np.isnan(summary.over_seeds)


def test_it_prints_a_table_without_seconds():
    ratings = random_ratings(5)
    result = cross_validate(BiasedMean(), ratings, 3, seeds=(0, 1))
    head, titles, _, *rows = repr(result).splitlines()
    assert head == "BiasedMean: k-fold k=3 seed=0; folds × seeds: 3 × 2"
    assert titles.split() == ["mean", "spread", "over", "folds", "over", "seeds"]
    assert [row.split()[0] for row in rows] == ["rmse", "mae", "coverage"]
    assert rows[0].split()[1:] == [f"{one:.4f}" for one in result.summary("rmse")]
    single = repr(evaluate(Mean(), *ratings.split()[:2])).splitlines()
    assert single[0] == "Mean: given; folds × seeds: 1 × 1"
    assert len(single[3].split()) == 2  # no spread of a single one


def test_the_frame_has_a_row_for_each_fit():
    ratings = random_ratings(6)
    result = cross_validate(BiasedMean(), ratings, 3, seeds=(0, 1))
    frame = result.to_frame()
    assert frame[["fold", "seed"]].to_numpy().tolist() == [
        [fold, seed] for fold in range(3) for seed in (0, 1)
    ]
    np.testing.assert_array_equal(frame["rmse"], result.values("rmse").ravel())
    for name in ("n_train", "n_validation", "n_unknown"):
        assert frame[name].tolist() == [getattr(one, name) for one in result.protocols for _ in (0, 1)]
    assert {"mae", "coverage", "seconds_fit", "seconds_predict"} <= set(frame.columns)


def test_an_error_of_the_model_says_in_which_fold_and_with_which_seed():
    class Fails(BiasedMean):
        def fit(self, ratings):
            if self.seed == 1:
                raise ArithmeticError("diverged")
            return super().fit(ratings)

    with pytest.raises(ArithmeticError, match="diverged") as caught:
        cross_validate(Fails(), random_ratings(), 3, seeds=(0, 1))
    assert caught.value.__notes__ == ["in fold 0 (k-fold k=3 fold=0 seed=0), with seed 1"]


@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_a_prediction_that_is_no_number_is_refused(value):
    class Odd(Mean):
        def predict(self, users, items, unknown="error"):
            return [3.0] * (len(users) - 1) + [value]

    ratings = random_ratings()
    last = splits.k_fold(ratings, 3)[0].validation.n_ratings - 1
    with pytest.raises(ValueError, match=f"predicts (nan|inf) for held-out rating {last}, expected a number"):
        cross_validate(Odd(), ratings, 3)


def test_a_prediction_too_few_is_refused():
    class Short(Mean):
        def predict(self, users, items, unknown="error"):
            return np.ones(len(users) - 1)

    with pytest.raises(ValueError, match="values and predicted must have one axis, one length"):
        cross_validate(Short(), random_ratings(), 3)


def test_a_leak_is_refused():
    ratings = random_ratings()
    with pytest.raises(ValueError, match=r"rating 0 of validation: user .* has rated item .* already"):
        evaluate(Mean(), ratings, ratings.split().validation)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": Mean}, TypeError, "model must be an estimator with fit, .*, got the class Mean"),
        ({"model": "mean"}, TypeError, "model must be an estimator with fit, .*, got str"),
        ({"ratings": [1]}, TypeError, "ratings must be Ratings, got list"),
        ({"folds": 1}, ValueError, "k must be at least 2, got 1"),
        ({"folds": True}, TypeError, "k must be a whole number, got True"),
        ({"folds": 0.2}, TypeError, r"folds must hold splits, got 0.2 \(float\)"),
        ({"folds": []}, ValueError, "folds holds no split: at least one is needed"),
        ({"folds": [1]}, TypeError, "folds must be a number or hold splits, .*, got int at 0"),
        (
            {"folds": random_ratings(9).split()},
            ValueError,
            r"split 0 \(random .*\) is of other ratings: their ",
        ),
        (
            {"folds": [random_ratings(0).split(), random_ratings(9).split()]},
            ValueError,
            r"split 1 \(random .*\) is of other ratings: their ",
        ),
        ({"folds": splits.k_fold(random_ratings(9), 3)}, ValueError, r"split 0 \(k-fold .*\) is of other"),
        ({"seeds": 3}, TypeError, r"seeds must hold whole numbers, got 3 \(int\)"),
        ({"seeds": []}, ValueError, r"seeds must hold at least one, and each once, got \(\)"),
        ({"seeds": [1, 1]}, ValueError, r"seeds must hold at least one, and each once, got \(1, 1\)"),
        ({"seeds": [0, -1]}, ValueError, r"seeds\[1\] must be at least 0, got -1"),
        ({"model": Mean(), "seeds": [0]}, ValueError, "Mean has no parameter seed: leave seeds out"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_fitted(change, error, message):
    class Never(BiasedMean):
        def fit(self, ratings):
            raise AssertionError("fitted")

    with pytest.raises(error, match=message):
        cross_validate(**{"model": Never(), "ratings": random_ratings(), "folds": 3, "seeds": None, **change})
