"""What a worker of a Dask cluster does for a sweep. MLflow is imported when the first point comes.

A point is a task that waits for a kernel of its own, as a thread of `mflib sweep --jobs` does. Dask cannot
interrupt a task. So a thread beside it looks whether the scheduler still wants it, and ends the kernel if
not: when the sweep is stopped, or its process dies, when the scheduler dies, or has given up this worker.
"""

import dataclasses
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from distributed import get_worker
from distributed.core import Status

from mflib import versions
from mflib.runs.batch import attempt
from mflib.runs.outcome import FAILED, FINISHED, KILLED, Outcome
from mflib.runs.params import Execution
from mflib.runs.project import root
from mflib.runs.stop import Stop
from mflib.runs.store import Store
from mflib.text import first_line, shown

_LOOK = 0.5  # s between two looks whether a point is still wanted
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_IMPORTING = threading.Lock()


def obstacle(uri: str, artifacts: str | None, marker: str | None) -> str:
    """What keeps this worker from executing points and recording them; empty for nothing.

    Parameters
    ----------
    uri : str
        Of the store.
    artifacts : str or None
        Its folder of artifacts; None where a server has them.
    marker : str or None
        A file that the client has just made in that folder.
    """
    store = Store(uri, artifacts and Path(artifacts))
    if not (root() / "notebooks").is_dir():
        return f"has no notebooks/ in {root()}: set MFLIB_ROOT there to a checkout of this project"
    if marker and not Path(marker).exists():
        return f"does not share the folder {artifacts} with this machine"
    if store.database and not os.access(store.database, os.W_OK):
        return f"cannot write {store.database}"
    parts = urlsplit(uri)
    if parts.hostname and not store.database:
        kind = parts.scheme.partition("+")[0]
        try:
            socket.create_connection(
                (parts.hostname, parts.port or _PORTS.get(kind, 443)), timeout=10
            ).close()
        except (OSError, ValueError) as error:
            return f"cannot reach {store.place}: {first_line(error)}"
    return ""


def run_point(
    point: dict, uri: str, artifacts: str | None, own: dict[str, str], key: str, topic: str
) -> dict:
    """Execute a point of a sweep, unless it has finished, and record it.

    Parameters
    ----------
    point : dict
        The fields of an `Execution`, its notebook by name, the content beside it.
    uri, artifacts
        As for `obstacle`.
    own : dict of str to str
        The versions of the client.
    key : str
        That of the task.
    topic : str
        Under which the cells that begin are told.

    Returns
    -------
    dict
        The fields of an `Outcome`, or `refused`, why this worker cannot be used. What is wrong is told so,
        for Dask would log an exception with the arguments, and in them the password of a server.
    """
    store, name = Store(uri, artifacts and Path(artifacts)), point["notebook"]
    try:
        wrong = versions.differences(versions.installed(*(own.keys() - {"mflib"})), own)
        if problem := f"has {wrong}" if wrong else obstacle(uri, artifacts, None):
            return {"refused": f"worker {get_worker().address} {problem}"}
        execution = Execution(**{**point, "notebook": root() / "notebooks" / f"{name}.ipynb"})
        outcome = _run(execution, store, key, topic)
    except Exception as error:
        outcome = Outcome(name, FAILED, error=shown(store.hide(first_line(error)), 480))
    return dataclasses.asdict(outcome)


def finished(store: Store, execution: Execution) -> Outcome | None:
    """The outcome of the run that a point has finished as; None where there is none."""
    from mflib.runs.once import finished

    runs = finished(store.client(), store.experiment(execution.experiment), execution.tags)
    return outcome_of(runs[0], execution) if runs else None


def outcome_of(run, execution: Execution) -> Outcome:
    """The outcome of an execution as a run of the store tells it."""
    seconds = ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000
    error = run.data.tags.get("error", "")
    return Outcome(execution.name, run.info.status, run.info.run_id, seconds, error=error)


def take_over(store: Store, execution: Execution) -> None:
    """Hand in what the dead have left of a point, and revoke what others may go on with."""
    from mflib.runs import once, unsent

    for run in once.attempts(store.client(), store.experiment(execution.experiment), execution.tags):
        if run.info.status != FINISHED:
            unsent.take_over(store, run)


def _run(execution: Execution, store: Store, key: str, topic: str) -> Outcome:
    worker, point = get_worker(), execution.tags["mflib.point"]
    with _IMPORTING:  # one thread of a worker at a time: what this imports is not made for several
        import mflib.runs.execute  # noqa: F401
    with _while_wanted(worker, key) as stop:
        take_over(store, execution)
        if before := finished(store, execution):
            return before
        if stop.asked:
            return Outcome(execution.name, KILLED, error=stop.words)
        outcome = attempt(execution, store, stop, lambda cell, n: worker.log_event(topic, [point, cell, n]))
        if outcome.status == FINISHED or stop.asked:
            return outcome
        return finished(store, execution) or outcome  # as which another worker has recorded it


@contextmanager
def _while_wanted(worker, key: str) -> Iterator[Stop]:
    """A stop that is asked when the scheduler does not want a task of this worker any more."""
    stop = Stop((), "stopped: its sweep was ended, or its worker cut off")
    over = threading.Event()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        working = worker.status in (Status.running, Status.paused, Status.closing_gracefully)
        return working and task is not None and task.state == "executing"

    def look() -> None:
        while wanted():
            if over.wait(_LOOK):
                return
        stop.ask()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        over.set()
        thread.join()
