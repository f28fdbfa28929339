"""A sweep in the store: one parent run, a child for each execution of a point.

    parent: tags mflib.sweep (digest of the sweep), mflib.best (run id); sweep.yaml, points.csv, figures/
    child:  tags mlflow.parentRunId, mflib.point (digest of the point)

One runner at a time holds the lock of a sweep. So a run of this sweep which is still called RUNNING was left
by a process that is no more, or is of a worker of a cluster for which nobody waits, and is revoked (`once`).
"""

import csv
import fcntl
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mflib.runs import once, owner
from mflib.runs.clock import create_run
from mflib.runs.outcome import FINISHED, Outcome
from mflib.runs.project import InputError, root, shown
from mflib.runs.store import Store
from mflib.runs.sweep import Sweep, value_text
from mflib.runs.unsent import take_over

_PAGE = 1000  # runs that MLflow gives at once


@dataclass(frozen=True)
class Result:
    """What became of a point."""

    values: dict[str, Any]  # of the swept parameters
    status: str = "not run"
    run_id: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    data: str | None = None  # digest


@contextmanager
def claim(sweep: Sweep, store: Store) -> Iterator[None]:
    """Hold the lock of a sweep; the system gives it back however the process ends.

    Parameters
    ----------
    sweep : Sweep
    store : Store
        The lock lies beside an embedded one. For a server it lies in mlruns/ of this checkout: runners of
        other checkouts and machines are seen by the parent run (`open_parent`).

    Raises
    ------
    InputError
        If another process holds it, with its number.
    """
    folder = store.database.parent if store.database else root() / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"sweep-{sweep.digest[:16]}.lock", "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid, first = file.read().strip() or "unknown", sweep.points[0]
            raise InputError(f"{first.source}: this sweep is being run already, by process {pid}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def open_parent(sweep: Sweep, store: Store) -> str:
    """The id of the sweep's parent run: that of a start before, or a new one. It is RUNNING from now on.

    Raises
    ------
    InputError
        If another process, of another checkout or machine, runs this sweep in the same store.
    """
    client, first = store.client(), sweep.points[0]
    experiment = store.experiment(first.experiment)
    found = client.search_runs(
        [experiment], f"tags.`mflib.sweep` = '{sweep.digest}'", order_by=["attributes.start_time ASC"]
    )
    if found:
        parent = found[0].info.run_id
        _refuse_running(found[0], first.source)
        client.update_run(parent, status="RUNNING")
        for name, value in owner.tags().items():
            client.set_tag(parent, name, value)
        return parent
    tags = {
        "mflib.sweep": sweep.digest,
        "mflib.params_file": first.source,
        "mlflow.source.name": first.notebook.name,
        "mlflow.source.type": "NOTEBOOK",
        **owner.tags(),
    }
    parent = create_run(store, experiment, f"sweep of {first.name}", tags)
    for name, value in sweep.common.items():
        client.log_param(parent, name, str(value))
    for name in sweep.names:
        values = ", ".join(map(value_text, sweep.values(name)))
        client.log_param(parent, name, f"[{values}]"[:6000])
    client.log_text(parent, sweep.definition, "sweep.yaml")
    return parent


def _refuse_running(parent, source: str) -> None:
    """InputError if the parent run is that of a process which may still be there."""
    tags = parent.data.tags
    if parent.info.status != "RUNNING" or owner.tags().items() <= tags.items():
        return
    judged = owner.judge(tags)
    if judged == owner.ALIVE:
        raise InputError(f"{source}: this sweep is being run already, by process {tags['mflib.pid']}")
    if judged == owner.UNKNOWN and "mflib.host" in tags:
        raise InputError(
            f"{source}: this sweep is being run on {tags['mflib.host']}, or was cut short there: "
            "wait for it, or let `mflib doctor --fix` end it on that machine"
        )


def children(store: Store, parent: str) -> dict[str, list]:
    """The runs of each point.

    Returns
    -------
    dict of str to list of mlflow.entities.Run
        By `mflib.point`, in the order of their starts.
    """
    client, token, found = store.client(), None, {}
    experiment = client.get_run(parent).info.experiment_id
    while token != "":
        page = client.search_runs(
            [experiment],
            f"tags.`mlflow.parentRunId` = '{parent}'",
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        for run in page:
            found.setdefault(run.data.tags.get("mflib.point"), []).append(run)
        token = page.token or ""
    return found


def settled(store: Store, parent: str) -> dict[str, object]:
    """The run that counts for each point: the one that finished, else the latest.

    Of several that finished one is kept (`once.keep_one`), and what others have of a point that has finished
    is taken over. Their processes do so, but may have died before it.

    Returns
    -------
    dict of str to mlflow.entities.Run
        By `mflib.point`.
    """
    counts = {}
    for point, runs in children(store, parent).items():
        kept = once.keep_one(store.client(), [run for run in runs if run.info.status == FINISHED])
        for run in runs if kept else ():
            if run.info.status == "RUNNING":
                take_over(store, run)
        counts[point] = kept or runs[-1]
    return counts


def results(sweep: Sweep, runs: dict[str, object], outcomes: dict[str, Outcome | None]) -> list[Result]:
    """What is known about each point.

    Parameters
    ----------
    sweep : Sweep
    runs : dict
        As `settled` gives them.
    outcomes : dict of str to Outcome or None
        Of the points that were just executed, by `mflib.point`: of one whose run could not even be
        created, only the outcome tells.

    Returns
    -------
    list of Result
        In the order of the points.
    """
    found = []
    for point in sweep.points:
        run, outcome = (of.get(point.tags["mflib.point"]) for of in (runs, outcomes))
        values = {name: point.parameters[name] for name in sweep.names}
        if (
            outcome is not None
            and outcome.status != FINISHED
            and (run is None or run.info.status != FINISHED)
        ):
            found.append(Result(values, outcome.status, outcome.run_id, {}, outcome.error))
        elif run is not None:
            error = run.data.tags.get("error", "")
            data = run.data.tags.get("mflib.protocol.data_digest")
            found.append(Result(values, run.info.status, run.info.run_id, run.data.metrics, error, data))
        else:
            found.append(Result(values))
    return found


def attach(sweep: Sweep, store: Store, parent: str, found: list[Result]) -> None:
    """Attach points.csv: for each point its values, status, metrics, run and error."""
    metrics = sorted({name for result in found for name in result.metrics})
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*sweep.names, "status", *metrics, "run", "error"])
    for result in found:
        numbers = [result.metrics.get(name, "") for name in metrics]
        writer.writerow([*result.values.values(), result.status, *numbers, result.run_id, result.error])
    store.client().log_text(parent, table.getvalue(), "points.csv")


def attach_picture(store: Store, parent: str, figure, name: str) -> str:
    """Attach a figure; where it lies, for a reader."""
    with tempfile.TemporaryDirectory(prefix="mflib-") as scratch:
        path = Path(scratch) / f"{name}.png"
        figure.savefig(path, bbox_inches="tight")
        client = store.client()
        client.log_artifact(parent, str(path), "figures")
    place = urlsplit(client.get_run(parent).info.artifact_uri)
    if place.scheme == "file":
        return shown(Path(unquote(place.path)) / "figures" / path.name)
    return f"figures/{path.name} of run {parent}"
