"""What an executed notebook left in its run folder goes into the MLflow run."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from mflib.runs import card, protocol, results
from mflib.runs.files import write_text
from mflib.runs.project import InputError
from mflib.runs.series import log_metrics
from mflib.runs.store import Store


def keep(store: Store, run_id: str, folder: Path, parameters: dict[str, Any], seconds: float | None) -> None:
    """Log parameters, metrics, series, figures, tables, the executed notebook and its HTML.

    Parameters
    ----------
    store : Store
    run_id : str
    folder : Path
        The run folder, as `mflib.runs.record` lays it out, with the executed notebook under
        artifacts/notebook/.
    parameters : dict
        All of them, defaults filled in.
    seconds : float or None
        The wall time, logged as `seconds.total` where it is known.
    """
    from mflib.runs.pages import notebook_page  # with nbconvert, which the first progress need not wait for

    client = store.client()
    params = [Param(name, str(value)) for name, value in parameters.items()]
    client.log_batch(run_id, params=params)
    metrics = [*points(folder)]
    if seconds is not None:
        last = max((metric.timestamp for metric in metrics), default=0)
        metrics.append(Metric("seconds.total", seconds, last, 0))
    log_metrics(store, run_id, metrics)
    client.log_artifacts(run_id, str(folder / "artifacts"))
    for notebook in (folder / "artifacts" / "notebook").glob("*.ipynb"):
        page = notebook.with_suffix(".html")
        page.write_text(notebook_page(notebook), encoding="utf-8")
        client.log_artifact(run_id, str(page), "notebook")


def complete(folder: Path, run_id: str, about: dict[str, Any], finished: bool) -> dict[str, str]:
    """Complete the protocol by what the notebook told, and attach it: protocol.json, and the card.

    Models that it left become MLflow models.

    Parameters
    ----------
    folder : Path
        The run folder, with the executed notebook.
    run_id : str
    about : dict
        The protocol as gathered before the execution, which is completed.
    finished : bool
        Whether every cell ran: else there is no result, hence no digest of one.

    Returns
    -------
    dict of str to str
        The protocol and the result digest as tags of the run.
    """
    artifacts = folder / "artifacts"
    artifacts.mkdir(exist_ok=True)  # a process may have died before it made it
    for file in (artifacts / "models").glob("*.npz"):
        _as_mlflow_model(file)
    found = results.from_folder(artifacts / "results", points(folder))
    about |= protocol.told_data([*lines(folder / "data.jsonl")])
    about |= {"dtype": results.dtypes(found), "result_digest": results.digest(found) if finished else ""}
    write_text(artifacts / "protocol.json", json.dumps(about, indent=1) + "\n")
    for notebook in (artifacts / "notebook").glob("*.ipynb"):
        card.put_on(notebook, run_id, about)
    return {**protocol.tags(about), protocol.RESULT_TAG: about["result_digest"]}


def _as_mlflow_model(file: Path) -> None:
    """Put an MLflow model in the place of a file of `Factorization.save`, unless it cannot be one."""
    from mflib.runs import models  # MLflow's part for models takes seconds to import

    with suppress(InputError, ValueError):  # of labels, or of a file that is none
        models.write(file, file.with_suffix(""))
        file.unlink()


def log_tags(client, run_id: str, tags: dict[str, str]) -> None:
    """Set tags of a run at once."""
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def metrics_of(folder: Path) -> dict[str, float]:
    """The last value of each metric, in the order of their first appearance."""
    return {metric.key: metric.value for metric in points(folder)}


def points(folder: Path) -> Iterator[Metric]:
    """Each recorded value of each metric.

    MLflow calls the value of the largest step, then of the largest time, the last. So a single number is
    put at the last step of the series of its name, and times grow from line to line.
    """
    last_step, time = {}, 0
    for line in lines(folder / "metrics.jsonl"):
        name, values = line["name"], line["values"]
        steps = line.get("steps") or [last_step.get(name, 0)] * len(values)
        last_step[name] = max(last_step.get(name, 0), *steps) if steps else 0
        time = max(time + 1, line["time"])
        for step, value in zip(steps, values, strict=True):
            yield Metric(name, value, time, step)


def lines(path: Path) -> Iterator[dict]:
    """The whole lines; the last may be cut where the kernel was killed while writing."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)
