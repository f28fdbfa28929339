"""What an executed notebook left in its run folder goes into the MLflow run."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param

_BATCH = 1000  # metrics that MLflow takes at once


def keep(client, run_id: str, folder: Path, parameters: dict[str, Any], seconds: float) -> None:
    """Log parameters, metrics, series, figures, tables, the executed notebook and its HTML.

    Parameters
    ----------
    client : mlflow.MlflowClient
    run_id : str
    folder : Path
        The run folder, as `mflib.runs.record` lays it out, with the executed notebook under
        artifacts/notebook/.
    parameters : dict
        All of them, defaults filled in.
    seconds : float
        The wall time, logged as `seconds.total`.
    """
    params = [Param(name, str(value)) for name, value in parameters.items()]
    client.log_batch(run_id, params=params)
    metrics = [*_metrics(folder)]
    last = max((metric.timestamp for metric in metrics), default=0)
    metrics.append(Metric("seconds.total", seconds, last, 0))
    for i in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[i : i + _BATCH])
    client.log_artifacts(run_id, str(folder / "artifacts"))
    for notebook in (folder / "artifacts" / "notebook").glob("*.ipynb"):
        page = notebook.with_suffix(".html")
        page.write_text(html(notebook), encoding="utf-8")
        client.log_artifact(run_id, str(page), "notebook")


def metrics_of(folder: Path) -> dict[str, float]:
    """The last value of each metric, in the order of their first appearance."""
    return {metric.key: metric.value for metric in _metrics(folder)}


def _metrics(folder: Path) -> Iterator[Metric]:
    """Each recorded value.

    MLflow calls the value of the largest step, then of the largest time, the last. So a single number is
    put at the last step of the series of its name, and times grow from line to line.
    """
    last_step, time = {}, 0
    for line in _lines(folder / "metrics.jsonl"):
        name, values = line["name"], line["values"]
        steps = line.get("steps") or [last_step.get(name, 0)] * len(values)
        last_step[name] = max(last_step.get(name, 0), *steps) if steps else 0
        time = max(time + 1, line["time"])
        for step, value in zip(steps, values, strict=True):
            yield Metric(name, value, time, step)


def _lines(path: Path) -> Iterator[dict]:
    """The whole lines; the last may be cut where the kernel was killed while writing."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def html(notebook: Path) -> str:
    """A notebook as a page."""
    from nbconvert import HTMLExporter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "alternative text is missing" on each figure
        return HTMLExporter().from_filename(str(notebook))[0]
