"""Paired comparison of two settings, against hand-computed numbers and SciPy's paired t-test."""

import numpy as np
import pytest
from estimators import BiasedMean, Mean
from scipy.stats import ttest_rel

from mflib import Ratings, splits
from mflib.evaluation import Evaluation, Score, compare, cross_validate


def evaluated(rmse, n_train=8, n_validation=4, seeds=None, model="Mean", mae=None, **settings):
    """An evaluation with these errors, shape (n_folds, n_seeds)."""
    rmse = np.array(rmse, dtype=float)
    rmse = rmse[:, None] if rmse.ndim == 1 else rmse
    mae = rmse if mae is None else np.array(mae, dtype=float)[:, None]
    seeds = tuple(range(rmse.shape[1])) if seeds is None else seeds
    protocols = tuple(
        splits.Protocol("k-fold", {"k": len(rmse), "fold": fold}, 0, "digest", n_train, n_validation, 0)
        for fold in range(len(rmse))
    )
    scores = tuple(
        Score(fold, seed, rmse[fold, place], mae[fold, place], 1.0, 0.0, 0.0)
        for fold in range(len(rmse))
        for place, seed in enumerate(seeds)
    )
    return Evaluation(model, settings, seeds, protocols, scores)


def test_the_corrected_interval_by_hand():
    """Differences 1, 2, 3: mean 2, variance 1; 1/3 + 4/8 = 5/6; t of 2 degrees at 97.5 % is 4.302653."""
    found = compare(evaluated([2, 4, 6]), evaluated([1, 2, 3]))
    np.testing.assert_allclose(found.differences, [1, 2, 3])
    assert (found.mean, found.over, found.corrected, found.confidence) == (2, "folds", True, 0.95)
    np.testing.assert_allclose(found.standard_error, (5 / 6) ** 0.5, rtol=1e-15)
    half = 4.302652729749464 * (5 / 6) ** 0.5
    np.testing.assert_allclose((found.low, found.high), (2 - half, 2 + half), rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_uncorrected_it_is_the_paired_t_test_of_scipy(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, rng.integers(2, 12)))
    confidence = rng.uniform(0.5, 0.99)
    found = compare(evaluated(x), evaluated(y), confidence=confidence, corrected=False)
    theirs = ttest_rel(x, y)
    np.testing.assert_allclose(found.mean / found.standard_error, theirs.statistic, rtol=1e-9)
    interval = theirs.confidence_interval(confidence)
    np.testing.assert_allclose((found.low, found.high), (interval.low, interval.high), rtol=1e-9)
    assert not found.corrected


@pytest.mark.parametrize("k", [2, 5, 10])
def test_of_k_folds_the_correction_is_that_of_nadeau_and_bengio(k):
    """n_validation / n_train is 1 / (k − 1), so the variance grows by the factor 1 + k / (k − 1)."""
    x, y = np.random.default_rng(k).normal(size=(2, k))
    sizes = {"n_train": (k - 1) * 10, "n_validation": 10}
    plain = compare(evaluated(x, **sizes), evaluated(y, **sizes), corrected=False)
    corrected = compare(evaluated(x, **sizes), evaluated(y, **sizes))
    factor = (corrected.standard_error / plain.standard_error) ** 2
    np.testing.assert_allclose(factor, 1 + k / (k - 1), rtol=1e-12)
    assert corrected.low < plain.low < corrected.mean < plain.high < corrected.high


def test_seeds_of_a_fold_count_as_one():
    """A hundred fits on one fold tell no more about other data than their mean."""
    a, b = [[1, 3], [5, 7], [6, 9]], [[0, 1], [2, 2], [3, 3]]
    found = compare(evaluated(a), evaluated(b))
    np.testing.assert_allclose(found.differences, [1.5, 4, 4.5])
    once = compare(evaluated([2, 6, 7.5]), evaluated([0.5, 2, 3]))
    assert (found.standard_error, found.low) == (once.standard_error, once.low)


def test_on_a_single_split_the_differences_are_those_of_seeds():
    found = compare(evaluated([[1, 2, 6]]), evaluated([[1, 1, 1]]))
    np.testing.assert_array_equal(found.differences, [0, 1, 5])
    assert (found.over, found.corrected) == ("seeds", False)
    interval = ttest_rel([1, 2, 6], [1, 1, 1]).confidence_interval()
    np.testing.assert_allclose((found.low, found.high), (interval.low, interval.high), rtol=1e-12)


def test_a_model_without_seed_is_paired_with_each_seed_of_the_other():
    seeded, none = evaluated([[1, 3], [5, 9]]), evaluated([1, 2], seeds=(None,))
    np.testing.assert_array_equal(compare(seeded, none).differences, [1, 5])
    np.testing.assert_array_equal(compare(none, seeded).differences, [-1, -5])


def test_the_metric_and_the_confidence_matter():
    a = evaluated([1, 2, 4], mae=[5, 5, 6])
    b = evaluated([1, 1, 1], mae=[1, 2, 3])
    assert (compare(a, b).mean, compare(a, b, "mae").mean) == (4 / 3, 10 / 3)
    assert compare(a, b, confidence=0.5).high < compare(a, b, confidence=0.9).high
    assert compare(a, a).low == compare(a, a).high == 0
    assert compare(a, a) not in (compare(a, b), compare(a, a))  # each is itself alone, as an array is


def test_it_prints_what_differs_and_by_how_much():
    a = evaluated([2, 4, 6], reg=0.1, n_factors=5)
    b = evaluated([1, 2, 3], reg=0.2, n_factors=5)
    assert repr(compare(a, b)) == (
        "rmse of Mean(reg=0.1) − that of Mean(reg=0.2): +2.0000, standard error 0.9129, "
        "95% interval -1.9278 to +5.9278 (3 folds, corrected for training sets that overlap)"
    )
    other = evaluated([1, 2, 3], model="Other", reg=0.1)
    assert repr(compare(a, other, corrected=False)).startswith("rmse of Mean − that of Other: +2.0000, ")
    assert repr(compare(a, other, corrected=False)).endswith("(3 folds, not corrected)")


def test_two_settings_on_ratings_of_both_kinds():
    """Where users and items differ, their means must win, and clearly."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 1)) + rng.normal(size=20) + 0.1 * rng.normal(size=(30, 20))
    ratings = Ratings.from_dense(values, np.ones((30, 20)))
    folds = splits.k_fold(ratings, 5)
    plain, biased = (cross_validate(model, ratings, folds) for model in (Mean(), BiasedMean(1.0, 0.0)))
    found = compare(biased, plain)
    assert found.high < 0
    np.testing.assert_allclose(found.mean, biased.rmse - plain.rmse, rtol=1e-12)


def with_protocol(fold, **fields):
    one = evaluated([1, 2, 3])
    protocols = list(one.protocols)
    protocols[fold] = protocols[fold]._replace(**fields)
    return Evaluation(one.model, one.settings, one.seeds, tuple(protocols), one.scores)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (evaluated([1, 2]), "number of folds: 3 and 2"),
        (with_protocol(0, digest="other"), "digest of fold 0: digest and other"),
        (with_protocol(1, rule="random"), "rule of fold 1: k-fold and random"),
        (with_protocol(2, parameters={"k": 3, "fold": 0}), "parameters of fold 2: .* and .*'fold': 0"),
        (with_protocol(0, seed=1), "seed of fold 0: 0 and 1"),
        (with_protocol(0, n_train=9), "n_train of fold 0: 8 and 9"),
        (with_protocol(0, n_validation=5), "n_validation of fold 0: 4 and 5"),
        (with_protocol(0, n_unknown=1), "n_unknown of fold 0: 0 and 1"),
        (evaluated([1, 2, 3], seeds=(7,)), r"seeds: \(0,\) and \(7,\)"),
        (evaluated([[1, 1], [2, 2], [3, 3]]), r"seeds: \(0,\) and \(0, 1\)"),
    ],
)
def test_what_was_not_evaluated_alike_is_refused_and_the_field_named(other, field):
    with pytest.raises(
        ValueError, match=f"^a and b cannot be compared: {field}.*: evaluate both on the same"
    ):
        compare(evaluated([1, 2, 3]), other)


def test_other_folds_of_the_same_ratings_are_refused():
    rng = np.random.default_rng(0)
    ratings = Ratings.from_dense(rng.normal(size=(6, 5)), np.ones((6, 5)))
    a, b = (cross_validate(Mean(), ratings, splits.k_fold(ratings, 3, seed)) for seed in (0, 1))
    with pytest.raises(ValueError, match="cannot be compared: seed of fold 0: 0 and 1"):
        compare(a, b)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metric": "r2"}, ValueError, "metric must be one of 'rmse', 'mae', got 'r2'"),
        ({"confidence": 1}, ValueError, r"confidence must lie in \(0, 1\), got 1"),
        ({"b": 0.85}, TypeError, "b must be an Evaluation, .*, got float"),
        ({"a": None}, TypeError, "a must be an Evaluation, .*, got NoneType"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        compare(**{"a": evaluated([1, 2]), "b": evaluated([1, 2]), **arguments})


def test_a_single_difference_has_no_interval():
    with pytest.raises(ValueError, match="one fold and one seed give one difference: evaluate on more folds"):
        compare(evaluated([1]), evaluated([2]))
