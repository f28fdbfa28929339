"""What came out of a run: its digest, and how two runs differ in it.

The results of a run are its metrics, each with the steps of its series, and the arrays handed to
`record_result`. Seconds never belong to them.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

IDENTICAL, WITHIN, DIFFERENT = "identical", "equal within tolerance", "different"
_NOISE = 1e-12  # what rounding leaves of a zero among numbers of order one
Results = dict[str, np.ndarray]


class Difference(NamedTuple):
    """Where two results differ: the place, and the value on each side."""

    where: str
    before: str
    now: str


def from_folder(folder: Path, metrics: Iterable) -> Results:
    """The results by name, `metric …` in the order recorded, then `array …`.

    Parameters
    ----------
    folder : Path
        That of the .npy files; it may be missing.
    metrics : iterable of mlflow.entities.Metric
        Every point of every metric.

    Returns
    -------
    dict of str to ndarray
        A metric is an array of shape (number of points, 2): step and value.
    """
    points: dict[str, list] = {}
    for point in sorted(metrics, key=lambda point: (point.timestamp, point.step)):
        if "seconds" not in point.key.split("."):
            points.setdefault(f"metric {point.key}", []).append((point.step, point.value))
    results = {name: np.array(series, dtype="<f8") for name, series in points.items()}
    for path in sorted(folder.glob("*.npy")):
        results[f"array {path.name.removesuffix('.npy')}"] = np.load(path, allow_pickle=False)
    return results


def of_run(client, run_id: str, names: Iterable[str]) -> Results:
    """The results of a recorded run.

    Parameters
    ----------
    client : mlflow.MlflowClient
    run_id : str
    names : iterable of str
        Its metrics.
    """
    points = [point for name in names for point in client.get_metric_history(run_id, name)]
    with tempfile.TemporaryDirectory(prefix="mflib-") as scratch:
        if any(item.path == "results" for item in client.list_artifacts(run_id)):
            client.download_artifacts(run_id, "results", scratch)
        return from_folder(Path(scratch) / "results", points)


def digest(results: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, kinds, shapes and bytes; empty where there are no results.

    Examples
    --------
    >>> digest({"metric loss": np.array([[0, 0.5]])})[:16]
    'b64bc52ab05bcb3a'
    """
    sha = hashlib.sha256()
    for name in sorted(results):
        array = results[name]
        little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        sha.update(json.dumps([name, little.dtype.str, little.shape]).encode() + b"\n")
        sha.update(little.tobytes())
    return sha.hexdigest() if results else ""


def dtypes(results: Mapping[str, np.ndarray]) -> str:
    """The kinds of real and complex numbers that the arrays hold, such as `float32`.

    Examples
    --------
    >>> dtypes({"array U": np.ones((2, 1), "f4"), "array n": np.ones(1, int), "metric loss": np.ones((1, 2))})
    'float32'
    """
    arrays = [array for name, array in results.items() if name.startswith("array ") and array.ndim]
    return ", ".join(sorted({array.dtype.name for array in arrays if array.dtype.kind in "fc"}))


def compare(before: Results, now: Results) -> tuple[str, Difference | None]:
    """Whether two results are the same.

    Parameters
    ----------
    before, now : dict of str to ndarray

    Returns
    -------
    verdict : str
        `identical`: the same bits. `equal within tolerance`: a metric differs by no more than √ε of its
        size, a number of an array by no more than √ε of the largest of them, where ε belongs to the
        coarsest kind of number that is compared (√ε = 1.5e-8 in float64, 3.5e-4 in float32). Else
        `different`.
    first : Difference or None
        The first that is different, else the first that is not identical.

    Examples
    --------
    >>> compare({"array U": np.array([1.0, 2.0])}, {"array U": np.array([1.0, 2.5])})
    ('different', Difference(where='array U[1]', before='2.0', now='2.5'))
    """
    floats = [array.dtype for array in (*before.values(), *now.values()) if array.dtype.kind in "fc"]
    tolerance = float(np.sqrt(max((np.finfo(dtype).eps for dtype in floats), default=0)))
    first = None
    for name in dict.fromkeys((*before, *now)):
        verdict, difference = _compare(name, before.get(name), now.get(name), tolerance)
        if verdict == DIFFERENT:
            return DIFFERENT, difference
        first = first or difference
    return (WITHIN if first else IDENTICAL), first


def _compare(name: str, before, now, tolerance: float) -> tuple[str, Difference | None]:
    """One array or metric."""
    if before is None or now is None:
        return DIFFERENT, Difference(name, *("absent" if one is None else "there" for one in (before, now)))
    if name.startswith("metric "):
        return _compare_metric(name, before, now, tolerance)
    if (before.shape, before.dtype) != (now.shape, now.dtype):
        shapes = (f"{one.dtype.name} of shape {one.shape}" for one in (before, now))
        return DIFFERENT, Difference(name, *shapes)
    verdict, place = _compare_values(before, now, tolerance)
    where = f"{name}[{', '.join(map(str, place))}]" if place else name
    same = verdict == IDENTICAL
    return verdict, None if same else Difference(where, str(before[place]), str(now[place]))


def _compare_metric(name: str, before, now, tolerance: float) -> tuple[str, Difference | None]:
    """One metric: first the values that both have, then how many there are."""
    n = min(len(before), len(now))
    verdict, place = _compare_values(before[:n, 1], now[:n, 1], tolerance, each=True)
    if verdict != DIFFERENT and before[:, 0].tobytes() != now[:, 0].tobytes():
        steps = (f"{len(one)} points up to step {one[-1, 0]:.0f}" for one in (before, now))
        return DIFFERENT, Difference(name, *steps)
    if verdict == IDENTICAL:
        return IDENTICAL, None
    where = f"{name} at step {before[place][0]:.0f}" if len(before) > 1 else name
    return verdict, Difference(where, *(repr(float(one[place][1])) for one in (before, now)))


def _compare_values(before, now, tolerance: float, each: bool = False) -> tuple[str, tuple]:
    """Two arrays of one shape and kind, and the place of the first difference."""
    if before.tobytes() == now.tobytes():
        return IDENTICAL, ()
    far = _far(before, now, tolerance, each)
    differ = far if far.any() else _other_bits(before, now)
    place = tuple(map(int, np.unravel_index(np.argmax(differ), before.shape)))
    return (DIFFERENT if far.any() else WITHIN), place


def _far(before: np.ndarray, now: np.ndarray, tolerance: float, each: bool) -> np.ndarray:
    """Where two arrays differ by more than rounding explains; what is no float must be equal."""
    if before.dtype.kind not in "fc":
        return before != now
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = np.maximum(np.abs(before), np.abs(now))
        size = sizes if each else float(sizes[np.isfinite(sizes)].max(initial=0))
        near = np.abs(before - now) <= tolerance * size + _NOISE
    return ~(np.isfinite(sizes) & near | (before == now) | (np.isnan(before) & np.isnan(now)))


def _other_bits(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Where the bytes of two arrays differ, be it in the sign of a zero."""
    raw = [np.ascontiguousarray(one).reshape(-1).view(np.uint8) for one in (before, now)]
    return (raw[0] != raw[1]).reshape(*before.shape, -1).any(axis=-1)
