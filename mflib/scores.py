"""The errors of a model on each fold and with each seed, their mean and spread, and how they came about."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mflib import checks, text

METRICS = ("rmse", "mae")


class Score(NamedTuple):
    """One fit on one fold.

    Attributes
    ----------
    fold : int
    seed : int or None
        Of the model; None where it has none.
    rmse, mae : float
        √((1/N) Σ (y − ŷ)²) and (1/N) Σ |y − ŷ| over all N held-out ratings, in rating points; those unknown
        to training are among them, with what the model predicts for them.
    coverage : float
        Share of the held-out ratings whose user and item both have a rating in training.
    seconds_fit, seconds_predict : float
    """

    fold: int
    seed: int | None
    rmse: float
    mae: float
    coverage: float
    seconds_fit: float
    seconds_predict: float


class Summary(NamedTuple):
    """Mean and spread of one number over fits; a spread is a sample standard deviation, NaN of a single one.

    Attributes
    ----------
    mean : float
    spread : float
        Over all fits.
    over_folds : float
        Of the folds' means over seeds: how much it matters which ratings are held out.
    over_seeds : float
        Of the seeds' means over folds: how much it matters where the model starts.
    """

    mean: float
    spread: float
    over_folds: float
    over_seeds: float


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What `evaluate` and `cross_validate` return.

    Attributes
    ----------
    model : str
        Name of its class.
    settings : dict
        Its parameters, without the seed.
    seeds : tuple of int or None
    protocols : tuple of Protocol
        How each fold was made.
    scores : tuple of Score
        Fold by fold, and in a fold seed by seed.
    """

    model: str
    settings: dict[str, Any]
    seeds: tuple
    protocols: tuple
    scores: tuple

    @property
    def rmse(self):
        """Mean RMSE over all fits: of the roots, not the root of the mean."""
        return self.summary("rmse").mean

    @property
    def mae(self):
        """Mean MAE over all fits."""
        return self.summary("mae").mean

    @property
    def coverage(self):
        """Mean coverage over all fits."""
        return self.summary("coverage").mean

    def values(self, name):
        """One number of each fit.

        Parameters
        ----------
        name : str
            A field of `Score`, such as "rmse" or "seconds_fit".

        Returns
        -------
        ndarray of float64, shape (n_folds, n_seeds)
        """
        checks.choice("name", name, Score._fields[2:])
        column = [getattr(score, name) for score in self.scores]
        return np.array(column, dtype=np.float64).reshape(len(self.protocols), len(self.seeds))

    def summary(self, name="rmse"):
        """Mean and spread of one number over folds and seeds.

        Parameters
        ----------
        name : str
            As for `values`.

        Returns
        -------
        Summary
        """
        values = self.values(name)
        spreads = map(spread, (values.ravel(), values.mean(axis=1), values.mean(axis=0)))
        return Summary(float(values.mean()), *spreads)

    def to_frame(self):
        """The scores as a pandas DataFrame, one row a fit, with the sizes of the parts."""
        import pandas as pd

        sizes = ("n_train", "n_validation", "n_unknown")
        rows = [
            score._asdict() | {name: getattr(self.protocols[score.fold], name) for name in sizes}
            for score in self.scores
        ]
        return pd.DataFrame(rows)

    def __repr__(self):
        # no seconds, which would make every printed result another one
        rows = [("", "mean", "spread", "over folds", "over seeds")]
        for name in (*METRICS, "coverage"):
            numbers_of = ("" if np.isnan(one) else f"{one:.4f}" for one in self.summary(name))
            rows.append((name, *numbers_of))
        whole = (
            one._replace(parameters={x: y for x, y in one.parameters.items() if x != "fold"})
            for one in self.protocols
        )
        made = ", ".join(dict.fromkeys(map(str, whole)))
        head = f"{self.model}: {made}; folds × seeds: {len(self.protocols)} × {len(self.seeds)}"
        return f"{head}\n{text.table(rows, right=range(1, 5))}"


def spread(values):
    """Sample standard deviation; NaN of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
