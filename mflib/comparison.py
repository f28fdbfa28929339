"""Whether one setting of a model is better than another: paired differences, with their uncertainty."""

from dataclasses import dataclass

import numpy as np

from mflib import checks, text
from mflib.scores import METRICS, Evaluation, spread


@dataclass(frozen=True, repr=False, eq=False)  # arrays do not compare as one
class Difference:
    """What `compare` returns: a number of one setting minus that of another, on the same folds and seeds.

    Attributes
    ----------
    metric : str
    a, b : str
        The models, with the settings in which they differ.
    differences : ndarray of float64, shape (n,)
        Of each fold, a minus b, means over seeds; or of each seed.
    over : str
        "folds" or "seeds": what the differences are of.
    mean, standard_error : float
        Below 0, a has the smaller error.
    low, high : float
        Ends of the confidence interval.
    confidence : float
    corrected : bool
        For training sets that overlap.
    """

    metric: str
    a: str
    b: str
    differences: np.ndarray
    over: str
    mean: float
    standard_error: float
    low: float
    high: float
    confidence: float
    corrected: bool

    def __repr__(self):
        how = "corrected for training sets that overlap" if self.corrected else "not corrected"
        return (
            f"{self.metric} of {self.a} − that of {self.b}: {self.mean:+.4f}, "
            f"standard error {self.standard_error:.4f}, {100 * self.confidence:g}% interval "
            f"{self.low:+.4f} to {self.high:+.4f} ({len(self.differences)} {self.over}, {how})"
        )


def compare(a, b, metric="rmse", *, confidence=0.95, corrected=True):
    """The difference of two settings that were evaluated on the same folds and seeds, with its uncertainty.

    Pairing takes out what is common to both, such as folds that are hard for every model. With d the J
    differences of the folds (means over seeds), their mean has the standard error

        √((1/J + n_validation / n_train) · s²),   s² = Σ (d − mean)² / (J − 1)

    and the interval is mean ± t · standard error, with J − 1 degrees of freedom. The second term of the sum
    is the correction of Nadeau and Bengio: training sets share most of their ratings, so the folds say less
    than J independent samples would, and without it the interval is too narrow.

    On a single split the differences are those of the seeds, and the interval, which then has no second term,
    speaks of this split alone.

    Parameters
    ----------
    a, b : Evaluation
        A model without a seed is paired with each seed of the other.
    metric : {"rmse", "mae"}
    confidence : float
        In (0, 1).
    corrected : bool
        False leaves the second term out: the paired t-test as in textbooks.

    Returns
    -------
    Difference

    Raises
    ------
    TypeError, ValueError
        Where the two have other ratings, splits or seeds, and the message names the field; or there are
        neither two folds nor two seeds.

    Notes
    -----
    Nadeau and Bengio, Inference for the generalization error, Machine Learning 52 (2003) 239–281, derive it
    for random splits; Bouckaert and Frank, Evaluating the replicability of significance tests for comparing
    learning algorithms, PAKDD 2004, use it for folds. For folds no estimate of that variance is unbiased
    (Bengio and Grandvalet, JMLR 5 (2004) 1089–1105).
    """
    for name, one in (("a", a), ("b", b)):
        if not isinstance(one, Evaluation):
            raise TypeError(
                f"{name} must be an Evaluation, as evaluate and cross_validate make it, "
                f"got {type(one).__name__}"
            )
    checks.choice("metric", metric, METRICS)
    confidence = checks.real_number("confidence", confidence, 0, 1, low_open=True, high_open=True)
    _same_protocol(a, b)
    differences = a.values(metric) - b.values(metric)  # of one without seeds: the same in each
    over = "folds" if len(differences) > 1 else "seeds"
    differences = differences.mean(axis=1) if over == "folds" else differences[0]
    if len(differences) < 2:
        raise ValueError(
            "one fold and one seed give one difference: evaluate on more folds, or with more seeds"
        )

    corrected = bool(corrected) and over == "folds"
    overlap = np.mean([one.n_validation / one.n_train for one in a.protocols]) if corrected else 0.0
    mean = float(differences.mean())
    error = float(spread(differences) * np.sqrt(1 / len(differences) + overlap))
    from scipy.stats import t  # half a second, so not at import

    half = float(t.ppf((1 + confidence) / 2, len(differences) - 1)) * error
    names = _told_apart(a, b)
    interval = (mean - half, mean + half)
    return Difference(metric, *names, differences, over, mean, error, *interval, confidence, corrected)


def _same_protocol(a, b):
    """Refuse what was not evaluated alike, and name the field."""
    found = [("number of folds", len(a.protocols), len(b.protocols))]
    for fold, (one, other) in enumerate(zip(a.protocols, b.protocols, strict=False)):
        fields = ("digest", "rule", "parameters", "seed", "n_train", "n_validation", "n_unknown")
        found += [(f"{field} of fold {fold}", getattr(one, field), getattr(other, field)) for field in fields]
    if (None,) not in (a.seeds, b.seeds):
        found.append(("seeds", a.seeds, b.seeds))
    for field, one, other in found:
        if one != other:
            raise ValueError(
                f"a and b cannot be compared: {field}: {one} and {other}: evaluate both on the same folds, "
                "with the same seeds"
            )


def _told_apart(a, b):
    """Both models by name, with the settings in which they differ."""
    if a.model != b.model:
        return a.model, b.model
    both = [{name: text.literal(value) for name, value in one.settings.items()} for one in (a, b)]
    differing = [name for name in sorted(both[0]) if both[0][name] != both[1].get(name)]
    return tuple(f"{a.model}({', '.join(f'{name}={one[name]}' for name in differing)})" for one in both)
