"""What a model is worth on ratings that it has not seen.

For any estimator with `fit(ratings)` and `predict(users, items, unknown="mean")` that follows scikit-learn's
conventions (`get_params`, `set_params`).
"""

import numbers
import time
import warnings

import numpy as np

from mflib import checks, metrics, splits
from mflib.comparison import Difference, compare
from mflib.scores import Evaluation, Score, Summary

__all__ = ["Difference", "Evaluation", "Score", "Summary", "compare", "cross_validate", "evaluate"]


def evaluate(model, train, validation):
    """Fit a fresh copy of the model to one part, and measure its errors on the other.

    Parameters
    ----------
    model : estimator
        Stays as it is.
    train, validation : Ratings
        Disjoint, of one shape and with the same labels: see `splits.given`.

    Returns
    -------
    Evaluation
        Of a single fold, with the model's own seed.

    Raises
    ------
    TypeError, ValueError
        As `splits.given` and `cross_validate` do.

    Notes
    -----
    The model never sees the validation ratings. One that stops early by watching some must be given others:
    the lowest of many values looks better than it is.
    """
    checks.ratings("train", train)
    checks.ratings("validation", validation)
    return _evaluation(model, [splits.given(train, validation)], None)


def cross_validate(model, ratings, folds=5, seeds=None):
    """Fit a fresh copy of the model to each training part, with each seed, and measure its errors.

    Parameters
    ----------
    model : estimator
        Stays as it is.
    ratings : Ratings
    folds : int, Split or iterable of Split
        Splits of these ratings, such as `splits.k_fold(ratings, 10, seed=3)`; a number k stands for
        `splits.k_fold(ratings, k)`. To compare settings, evaluate both on the same.
    seeds : iterable of int, optional
        Each fold is fitted with each of them as the model's parameter `seed`. By default with its own alone.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError, ValueError
        Where the model is no estimator or predicts no finite number, splits are of other ratings, or seeds
        are given to a model that has no parameter `seed`. An error of the model itself says in a note in
        which fold and with which seed it came.

    Notes
    -----
    One fit after the other, in one process: a fit may use all cores.

    Examples
    --------
    >>> from mflib import Ratings
    >>> from sklearn.base import BaseEstimator
    >>> class Mean(BaseEstimator):
    ...     def fit(self, ratings):
    ...         self.mean_ = ratings.values.mean()
    ...         return self
    ...
    ...     def predict(self, users, items, unknown="error"):
    ...         return np.full(len(users), self.mean_)
    >>> ratings = Ratings.from_dense(np.eye(4), np.ones((4, 4)))
    >>> cross_validate(Mean(), ratings, folds=4).coverage
    1.0
    """
    checks.ratings("ratings", ratings)
    return _evaluation(model, _folds(folds, ratings), seeds)


def _evaluation(model, folds, seeds):
    """All fits, fold by fold."""
    for name in ("fit", "predict", "get_params", "set_params"):
        if isinstance(model, type) or not callable(getattr(model, name, None)):
            got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
            raise TypeError(
                f"model must be an estimator with fit, predict, get_params and set_params, got {got}"
            )
    settings = model.get_params()
    seeds = _seeds(model, settings, seeds)
    scores, protocols = [], []
    for fold, split in enumerate(folds):
        protocols.append(split.protocol)
        for seed in seeds:
            try:
                scores.append(Score(fold, seed, *_fit_and_score(model, split, seed)))
            except Exception as error:
                error.add_note(f"in fold {fold} ({split.protocol}), with seed {seed}")
                raise
    kept = {name: value for name, value in settings.items() if name != "seed"}
    return Evaluation(type(model).__name__, kept, seeds, tuple(protocols), tuple(scores))


def _fit_and_score(model, split, seed):
    """(rmse, mae, coverage, seconds_fit, seconds_predict) of a fresh copy."""
    from sklearn.base import clone  # half a second, so not at import

    train, validation, _ = split
    fresh = clone(model)
    if seed is not None:
        fresh.set_params(seed=seed)
    begin = time.perf_counter()
    fresh.fit(train)
    fitted = time.perf_counter()
    pairs = (
        _named(validation.users, validation.user_labels),
        _named(validation.items, validation.item_labels),
    )
    asked = time.perf_counter()
    with warnings.catch_warnings():  # the score has the coverage
        warnings.filterwarnings("ignore", "[0-9]+ of [0-9]+ pairs are of a user", UserWarning)
        predicted = np.asarray(fresh.predict(*pairs, unknown="mean"), dtype=np.float64)
    seconds = fitted - begin, time.perf_counter() - asked
    if not np.isfinite(predicted).all():
        row = int(np.flatnonzero(~np.isfinite(predicted))[0])
        raise ValueError(
            f"the model predicts {predicted.flat[row]} for held-out rating {row}, expected a number"
        )
    errors = (metric(validation.values, predicted) for metric in (metrics.rmse, metrics.mae))
    return *errors, metrics.coverage(train, validation), *seconds


def _named(indices, labels):
    """Indices as an estimator asks for them: as labels where there are some."""
    return indices if labels is None else [labels[index] for index in indices.tolist()]


def _folds(folds, ratings):
    """The splits, all of these ratings."""
    if isinstance(folds, numbers.Integral):
        return splits.k_fold(ratings, folds)
    if isinstance(folds, splits.Split):  # which is a tuple
        folds = [folds]
    folds = folds if isinstance(folds, splits.Folds) else list(_iterable("folds", folds, "splits"))
    if len(folds) == 0:
        raise ValueError("folds holds no split: at least one is needed")
    for fold, split in enumerate(folds[:1] if isinstance(folds, splits.Folds) else folds):
        if not isinstance(split, splits.Split):
            raise TypeError(
                f"folds must be a number or hold splits, as mflib.splits and Ratings.split make them, "
                f"got {type(split).__name__} at {fold}"
            )
        if split.protocol.digest != ratings.digest:
            raise ValueError(
                f"split {fold} ({split.protocol}) is of other ratings: their digest begins with "
                f"{split.protocol.digest[:8]}, that of ratings with {ratings.digest[:8]}"
            )
    return folds


def _seeds(model, settings, seeds):
    """The seeds to fit with; (None,) for a model that has none."""
    if seeds is None:
        return (settings.get("seed"),)
    seeds = _iterable("seeds", seeds, "whole numbers")
    seeds = tuple(checks.whole_number(f"seeds[{place}]", seed, 0) for place, seed in enumerate(seeds))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must hold at least one, and each once, got {seeds}")
    if "seed" not in settings:
        raise ValueError(f"{type(model).__name__} has no parameter seed: leave seeds out")
    return seeds


def _iterable(name, value, of_what):
    if not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must hold {of_what}, got {value!r} ({type(value).__name__})")
    return value
