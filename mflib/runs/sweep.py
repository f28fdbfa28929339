"""Sweeps: one notebook at many points, each a setting of some of its parameters.

    experiment: ranks-and-rates
    runs:
      - notebook: 05_ratings        # exactly one
        parameters: {iterations: 100}
    sweep:                          # a grid: every value of each with every value of the others
      n_factors: [2, 4, 8]
      learning_rate: [10.0, 20.0]

or under `sweep:` a list of the points themselves, `- {n_factors: 2, learning_rate: 10.0}`.
"""

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import yaml

from mflib.runs.declared import Parameter, convert, declared
from mflib.runs.params import Execution, executions, load
from mflib.runs.project import InputError, nearest, shown
from mflib.runs.protocol import notebook_digest, without_traces
from mflib.text import literal

LIMIT = 10_000  # points
_LABEL = 200  # signs: MLflow's column for the name of a run holds 250


@dataclass(frozen=True)
class Sweep:
    """A notebook and the points at which it is to be executed, all read once.

    Attributes
    ----------
    points : list of Execution
        In order. Each has the tag `mflib.point`: the digest of the notebook's sources and all its parameters.
    names : list of str
        The parameters that are swept.
    definition : str
        The content of the params file.
    digest : str
        Of the experiment and the points, in whatever order they stand: a sweep that is started again.
    """

    points: list[Execution]
    names: list[str]
    definition: str
    digest: str

    @property
    def common(self) -> dict[str, Any]:
        """The parameters that are the same at every point."""
        first = self.points[0].parameters
        return {name: value for name, value in first.items() if name not in self.names}

    def values(self, name: str) -> list[Any]:
        """The values that a swept parameter takes, each once, in their order."""
        return list({repr(point.parameters[name]): point.parameters[name] for point in self.points}.values())


def read_sweep(path: Path) -> Sweep:
    """The sweep that a params file describes.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        If the file cannot be read, lists more than one notebook, names something unknown, gives a value of
        the wrong type, or no point, a point twice, or more than 10,000.
    """
    place = shown(path)
    content = load(path, place)
    if not isinstance(content, dict) or "sweep" not in content:
        raise InputError(f"{place}: has no `sweep:`; expected one, as `sweep: {{seed: [0, 1, 2]}}`")
    settings = content["sweep"]
    listed = executions({key: held for key, held in content.items() if key != "sweep"}, place)
    if len(listed) != 1:
        raise InputError(f"{place}, runs: a sweep takes exactly one notebook, got {len(listed)}")
    base = replace(listed[0], content=listed[0].notebook.read_text(encoding="utf-8"))
    digest = notebook_digest(without_traces(nbformat.reads(base.content, as_version=4)).cells)
    fixed = content["runs"][0].get("parameters") or {}
    points = _points(settings, base, fixed, f"{place}, sweep")
    names = list(dict.fromkeys(name for point in points for name in point))
    found = [_execution(base, point, digest) for point in points]
    _refuse_twice(found, names, f"{place}, sweep")
    definition = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    digests = sorted(point.tags["mflib.point"] for point in found)
    return Sweep(found, names, definition, _digest([base.experiment, digests]))


def point_text(parameters: dict[str, Any]) -> str:
    """A point for a reader.

    Examples
    --------
    >>> point_text({"rule": "plain", "learning_rate": 0.5, "title": "a\\n"})
    "rule=plain, learning_rate=0.5, title='a\\\\n'"
    """
    return ", ".join(f"{name}={value_text(value)}" for name, value in parameters.items())


def value_text(value: Any) -> str:
    """A value of a parameter for a reader: a text without quotes where that is safe to show."""
    return value if isinstance(value, str) and value.isprintable() and value.strip() else repr(value)


def _points(settings: Any, base: Execution, fixed: dict, place: str) -> list[dict[str, Any]]:
    """What is set at each point, checked against the notebook."""
    known = declared(base.notebook)
    if isinstance(settings, dict):
        return _grid(settings, known, fixed, place)
    if not isinstance(settings, list) or not settings:
        expected = "a mapping of names to lists of values, or a list of points"
        raise InputError(f"{place}: expected {expected}, got {literal(settings)}")
    _refuse_many(len(settings), place)
    return [_point(one, known, fixed, f"{place}, point {i}") for i, one in enumerate(settings, 1)]


def _grid(settings: dict, known: dict[str, Parameter], fixed: dict, place: str) -> list[dict[str, Any]]:
    """Every value of each with every value of the others; the last name runs fastest."""
    if not settings:
        raise InputError(f"{place}: expected at least one name with a list of values, got none")
    for name, values in settings.items():
        _check_name(name, known, fixed, place)
        if not isinstance(values, list) or not values:
            raise InputError(f"{place}, {name}: expected a list of at least one value, got {literal(values)}")
    _refuse_many(math.prod(map(len, settings.values())), place)
    converted = [
        [convert(value, known[name].kind, f"{place}, {name}") for value in values]
        for name, values in settings.items()
    ]
    return [dict(zip(settings, values, strict=True)) for values in itertools.product(*converted)]


def _point(point: Any, known: dict[str, Parameter], fixed: dict, place: str) -> dict[str, Any]:
    """One point of a list."""
    if not isinstance(point, dict) or not point:
        raise InputError(f"{place}: expected a mapping of names to values, got {literal(point)}")
    for name in point:
        _check_name(name, known, fixed, place)
    return {name: convert(value, known[name].kind, f"{place}, {name}") for name, value in point.items()}


def _check_name(name: Any, known: dict[str, Parameter], fixed: dict, place: str) -> None:
    if name not in known:
        raise InputError(f"{place}: unknown parameter {literal(name)}{nearest(str(name), known)}")
    if name in fixed:
        raise InputError(f"{place}, {name}: is set under `runs:` too; keep one of the two")


def _refuse_many(number: int, place: str) -> None:
    if number > LIMIT:
        raise InputError(f"{place}: {number:,} points are more than the {LIMIT:,} that one sweep may have")


def _refuse_twice(points: list[Execution], names: list[str], place: str) -> None:
    seen: dict[str, int] = {}
    for i, point in enumerate(points, 1):
        first = seen.setdefault(point.tags["mflib.point"], i)
        if first != i:
            text = point_text({name: point.parameters[name] for name in names})
            raise InputError(f"{place}: points {first} and {i} are the same ({text}); leave one out")


def _execution(base: Execution, point: dict[str, Any], notebook: str) -> Execution:
    """The execution at a point; `notebook` is the digest of its sources."""
    parameters = {**base.parameters, **point}
    tags = {"mflib.point": _digest([notebook, parameters])}
    return replace(base, parameters=parameters, label=point_text(point)[:_LABEL], tags=tags)


def _digest(content: Any) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
