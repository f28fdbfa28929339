"""Runs side by side: what differs, means over seeds, and whether they may be ranked at all."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mflib.runs.project import InputError, nearest
from mflib.runs.ranking import key_metric, lower_is_better
from mflib.runs.settings import SHARED, Recorded, Setting, settings_of
from mflib.text import shown

_SERIES = re.compile(r"(.+\.)?(loss|rmse\.validation)")
_PANELS = 4  # pictures side by side


@dataclass(frozen=True)
class Comparison:
    """Settings, best first where they are ranked, else in the order in which they were given."""

    settings: tuple[Setting, ...]
    metric: str | None  # by which they are ranked; None where they share none
    obstacles: tuple[str, ...]  # why they must not be ranked
    ranked: bool

    @property
    def differing(self) -> list[str]:
        """The parameters, then the protocol's fields, that are not the same in all settings.

        What a single notebook declares is no difference between it and the others.
        """
        each = [setting.properties for setting in self.settings]
        names = dict.fromkeys(name for properties in each for name in properties)
        held = {name: [one[name] for one in each if name in one] for name in names}
        found = [name for name, values in held.items() if len(set(values)) > 1]
        return [name for name in found if name != "notebook_digest" or "notebook" not in found]

    @property
    def metrics(self) -> list[str]:
        """Every metric: the one of the ranking, then what most have recorded, errors first; seconds last."""
        runs = [run for setting in self.settings for run in setting.runs]
        number = Counter(name for run in runs for name in run.metrics)
        order = {
            name: (name != self.metric, _is_time(name), -count, not lower_is_better(name))
            for name, count in number.items()
        }
        return sorted(order, key=order.get)


def compare(runs: Sequence[Recorded], metric: str | None = None, anyway: bool = False) -> Comparison:
    """Put runs side by side, and rank them where they are comparable.

    Parameters
    ----------
    runs : sequence of Recorded
        A run given twice counts once.
    metric : str, optional
        By which to rank; by default `rmse.validation` where all have it, else `loss`.
    anyway : bool
        Rank also what is not comparable.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If no run has the metric.
    """
    found = settings_of(list({run.run_id: run for run in runs}.values()))
    counted = [setting for setting in found if setting.finished]
    known = list(dict.fromkeys(name for one in counted for run in one.finished for name in run.metrics))
    if metric is not None and metric not in known:
        raise InputError(f"--metric {metric}: no finished run has recorded it{nearest(metric, known)}")
    metric = metric or _shared_metric(counted)
    reasons = tuple(obstacles(counted, metric))
    ranked = metric is not None and len(counted) > 1 and (anyway or not reasons)
    if ranked:
        sign = 1 if lower_is_better(metric) else -1
        means = {id(one): sign * one.mean(metric) for one in found}
        found.sort(key=lambda one: (math.isnan(means[id(one)]), means[id(one)]))
    return Comparison(tuple(found), metric, reasons, ranked)


def obstacles(settings: Sequence[Setting], metric: str | None) -> list[str]:
    """Why the means of these settings say nothing about which one is better.

    Parameters
    ----------
    settings : sequence of Setting
        With a finished run each.
    metric : str or None

    Returns
    -------
    list of str
        A sentence for each field that differs; empty where they are comparable, or where there is nothing
        to rank.
    """
    if len(settings) < 2:
        return []
    if metric is None:
        return ["metric: there is none that all of them have recorded"]
    runs = [run for setting in settings for run in setting.finished]
    without = [run.short for run in runs if metric not in run.metrics]
    found = [f"metric: {metric} is not recorded by {_listed(without)}"] if without else []
    unknown = [run.short for run in runs if not run.protocol]
    if unknown:
        return [*found, f"no protocol recorded by {_listed(unknown)}: their data and split are not known"]
    found += [reason for field, word in SHARED.items() for reason in _differs(settings, field, word)]
    if not any(run.protocol.get("data_digest") for run in runs):
        notebooks = dict.fromkeys(run.notebook for run in runs)
        if len(notebooks) > 1:  # each makes up its own
            found.append(f"data: none recorded, and the notebooks differ ({_listed(notebooks)})")
    return found


def _differs(settings: Sequence[Setting], field: str, word: str) -> list[str]:
    """A sentence, if the settings have not seen the same of this field."""
    seen = [frozenset(run.protocol.get(field, "") for run in setting.finished) for setting in settings]
    if len(set(seen)) == 1:
        return []
    holders: dict[str, list[str]] = {}
    for setting in settings:
        for run in setting.finished:
            holders.setdefault(run.protocol.get(field, ""), []).append(run.short)
    cut = 12 if field.endswith("digest") else 60
    sides = [f"{value[:cut] or 'none'} in {_listed(ids)}" for value, ids in holders.items()]
    return [f"{word}: {_listed(sides, '; ')}"]


def _listed(names: Iterable[str], between: str = ", ") -> str:
    """The first four, and how many more."""
    names = list(names)
    more = [f"{len(names) - 4} more"] if len(names) > 4 else []
    return between.join([*names[:4], *more])


def _shared_metric(settings: Sequence[Setting]) -> str | None:
    """The metric that every finished run has, by which one looks first; never the time it took."""
    runs = [run for setting in settings for run in setting.finished]
    names = [name for name in (runs[0].metrics if runs else ()) if not _is_time(name)]
    return key_metric(name for name in names if all(name in run.metrics for run in runs))


def _is_time(metric: str) -> bool:
    return metric.startswith("seconds.")


def within_spread(better: Setting, worse: Setting, metric: str) -> bool:
    """Whether two means are closer than their spreads: then the order is not to be relied upon."""
    spreads = [one.spread(metric) for one in (better, worse)]
    apart = abs(better.mean(metric) - worse.mean(metric))
    return not any(map(math.isnan, spreads)) and apart <= math.hypot(*spreads)


def labels(comparison: Comparison) -> list[str]:
    """What tells each setting from the others, in a few words: the notebook, or the values that differ."""
    found, differing = [], comparison.differing
    notebooks = [setting.first.notebook for setting in comparison.settings]
    for setting, notebook in zip(comparison.settings, notebooks, strict=True):
        words = [notebook] if "notebook" in differing else []
        if notebooks.count(notebook) > 1:
            held = {name: setting.properties.get(name) for name in differing if name != "notebook"}
            words += [f"{name} = {value}" for name, value in held.items() if value is not None]
        found.append(shown(", ".join(words) or setting.first.short, 60))
    each = zip(found, comparison.settings, strict=True)
    return [f"{one} ({setting.first.short})" if found.count(one) > 1 else one for one, setting in each]


def histories(client, comparison: Comparison) -> dict[str, dict[str, list[np.ndarray]]]:
    """The loss and the validation error of each finished run over its iterations.

    Parameters
    ----------
    client : mlflow.MlflowClient
    comparison : Comparison

    Returns
    -------
    dict
        Metric → label of the setting → an array for each seed, shape (n_steps, 2): step and value. The
        metrics `loss` and `rmse.validation`; where there is neither, the first that end in one of them.
    """
    names = [name for name in comparison.metrics if _SERIES.fullmatch(name)]
    names = [name for name in names if name in ("loss", "rmse.validation")] or names
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for name in names:
        for label, setting in zip(labels(comparison), comparison.settings, strict=True):
            series = [_series(client, run, name) for run in setting.finished if name in run.metrics]
            series = [one for one in series if len(one) > 1]
            if series:
                found.setdefault(name, {})[label] = series
    return dict(list(found.items())[:_PANELS])


def _series(client, run: Recorded, name: str) -> np.ndarray:
    """Steps and values; a single number recorded afterwards under the name of the series is none of it."""
    points = sorted(client.get_metric_history(run.run_id, name), key=lambda point: -point.timestamp)
    first = {point.step: point.value for point in points}
    return np.array(sorted(first.items()), dtype=np.float64).reshape(-1, 2)
