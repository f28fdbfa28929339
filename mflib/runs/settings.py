"""Recorded runs, and those of them that differ in the seed alone."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mflib.runs.lookup import find_run, runs_of
from mflib.runs.outcome import FINISHED
from mflib.runs.project import InputError
from mflib.runs.protocol import TAG
from mflib.runs.store import Store

SHARED = {"data_digest": "data", "split": "split"}  # what ranked runs must have in common, and its word
_PER_SEED = ("parameters", "seed", *SHARED)  # what another seed may change
_MACHINE = ("cpu", "threads")  # no part of a setting: results must not depend on them


@dataclass(frozen=True)
class Recorded:
    """One run, as far as a comparison needs it."""

    run_id: str
    notebook: str
    status: str
    parameters: dict[str, str]
    metrics: dict[str, float]  # the last value of each
    protocol: dict[str, str]  # empty where none was recorded

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.run_id[:8]

    @property
    def seed(self) -> str:
        """The parameter of this name; empty without."""
        return self.parameters.get("seed", "")


@dataclass(frozen=True)
class Setting:
    """Runs that differ in the seed alone, one for each seed."""

    runs: tuple[Recorded, ...]
    repeats: tuple[Recorded, ...] = ()  # runs of a seed that a later one has again

    @property
    def first(self) -> Recorded:
        """The one that stands for what they share."""
        return self.runs[0]

    @property
    def finished(self) -> list[Recorded]:
        """Those that count."""
        return [run for run in self.runs if run.status == FINISHED]

    @property
    def properties(self) -> dict[str, str]:
        """Whatever they share: the notebook, parameters, and the fields of the protocol."""
        parameters = {name: value for name, value in self.first.parameters.items() if name != "seed"}
        protocol = {
            f"recorded {name}" if name in parameters else name: value
            for name, value in self.first.protocol.items()
            if name not in _PER_SEED + _MACHINE
        }
        return {"notebook": self.first.notebook, **parameters, **protocol}

    def values(self, metric: str) -> list[float]:
        """A metric, of each finished run that recorded it."""
        return [run.metrics[metric] for run in self.finished if metric in run.metrics]

    def mean(self, metric: str) -> float:
        """The mean over seeds; NaN without a value."""
        values = self.values(metric)
        return statistics.fmean(values) if values else math.nan

    def spread(self, metric: str) -> float:
        """The standard deviation over seeds, √(Σ (x − mean)² / (n − 1)); NaN with fewer than two."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else math.nan


def recorded(run: Any) -> Recorded:
    """What a comparison needs of an `mlflow.entities.Run`.

    Parameters
    ----------
    run : mlflow.entities.Run
    """
    tags, name = run.data.tags, run.info.run_name or ""
    protocol = {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}
    parameters, metrics = dict(run.data.params), dict(run.data.metrics)
    notebook = tags.get("mflib.notebook", name)
    return Recorded(run.info.run_id, notebook, run.info.status, parameters, metrics, protocol)


def chosen(store: Store, runs: Sequence[str], experiment: str | None) -> list[Recorded]:
    """The runs that a user means.

    Parameters
    ----------
    store : Store
    runs : sequence of str
        As `find_run` takes them.
    experiment : str or None
        Where no run is named: all of this experiment, by default of the one that ran last. Left out are
        runs that only hold others together, and those that themselves compare runs.

    Returns
    -------
    list of Recorded

    Raises
    ------
    InputError
        If both are given, or one does not exist, or nothing is left to compare.
    """
    if runs and experiment is not None:
        raise InputError("--experiment: expected either runs or an experiment, got both")
    if runs:
        return [recorded(find_run(store, run)) for run in runs]
    if experiment is None:
        experiment = store.client().get_experiment(find_run(store, "latest").info.experiment_id).name
    found = runs_of(store, experiment)
    parents = {run.data.tags.get("mlflow.parentRunId") for run in found}
    found = [recorded(run) for run in found if run.info.run_id not in parents]
    found = [run for run in found if "runs" not in run.parameters]
    if not found:
        raise InputError(f"experiment {experiment!r}: has no run to compare")
    return found


def settings_of(runs: Sequence[Recorded]) -> list[Setting]:
    """Group runs that differ in the seed alone.

    Parameters
    ----------
    runs : sequence of Recorded
        Of several runs of one setting and one seed the last finished one counts.

    Returns
    -------
    list of Setting
        In the order of their first runs.
    """
    groups: dict[tuple, dict[tuple, list[Recorded]]] = {}
    for run in runs:
        shared = tuple(sorted(Setting((run,)).properties.items()))
        own = (run.seed, *(run.protocol.get(field, "") for field in SHARED))
        groups.setdefault(shared, {}).setdefault(own, []).append(run)
    return [setting for seeds in groups.values() for setting in _settings(seeds)]


def _settings(seeds: dict[tuple, list[Recorded]]) -> list[Setting]:
    """One setting; another for each further time that a seed comes, which is with other data."""
    found: list[dict[str, list[Recorded]]] = []
    for (seed, *_), runs in seeds.items():
        place = next((one for one in found if seed not in one), None)
        if place is None:
            found.append(place := {})
        place[seed] = sorted(runs, key=lambda run: run.status == FINISHED)  # stable: later ones stay behind
    return [
        Setting(
            tuple(same[-1] for same in one.values()),
            tuple(run for same in one.values() for run in same[:-1]),
        )
        for one in found
    ]
