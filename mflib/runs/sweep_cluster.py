"""The points of a sweep on a Dask cluster: `mflib sweep --cluster ADDRESS`.

Each point is a task (mflib.runs.sweep_task). As many are handed out as the workers have threads; what a
dead worker had Dask gives to another. What became of a point is read from the store where no task can tell.
"""

import dataclasses
import logging
import tempfile
import time
import uuid
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue

from mflib import versions
from mflib.runs import owner
from mflib.runs.batch import Done, Show, comparing
from mflib.runs.outcome import FAILED, Outcome
from mflib.runs.params import Execution
from mflib.runs.project import InputError
from mflib.runs.stop import Stop
from mflib.runs.store import Store
from mflib.text import first_line, shown

try:
    from distributed import Client, KilledWorker
except ImportError:
    raise InputError("--cluster needs Dask: pip install 'mflib[cluster]'") from None
from mflib.runs import scheduler, sweep_task
from mflib.runs.scheduler import ANSWER, PRINTED

PATIENCE = 60  # s for a worker to come where there is none
_ENDING = 30  # s for points that were stopped to be recorded by their workers
_LOOK = 0.5  # s between two looks at the scheduler
_MORE = ("MLflow",)  # beside mflib, NumPy and Numba, the same everywhere
_AGAIN = "the same command goes on where it stopped"


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at an address.

    Parameters
    ----------
    address : str
        As `mflib cluster` prints it.

    Raises
    ------
    InputError
        If it is no address, or no scheduler of Dask answers there.
    """
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":  # an error is said by us in a line
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that versions differ: they are checked
            scheduler.look(address)
            client = _connected(address)
    except InputError as error:
        raise InputError(f"--cluster {address}: {error}") from None
    except Exception as error:  # it has gone since
        raise InputError(f"--cluster {address}: {first_line(error)}; {PRINTED}") from None
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=ANSWER)


def _connected(address: str) -> Client:
    """A client; asked for again where Dask stumbles over a worker's message that comes with the greeting."""
    for _ in range(2):
        with suppress(AssertionError):
            return Client(address, timeout=ANSWER, set_as_default=False)
    return Client(address, timeout=ANSWER, set_as_default=False)


def check(client: Client, store: Store) -> None:
    """See that there is a worker, that all have our versions, and that each can reach the store.

    Raises
    ------
    InputError
        If not; of the workers it names each, and what to do.
    """
    address = client.scheduler.address
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
        versions.check(client, *_MORE)
        with _marker(store) as marker:
            artifacts = store.artifacts and str(store.artifacts)
            found = client.run(sweep_task.obstacle, store.uri, artifacts, marker, on_error="return")
    except TimeoutError:
        raise InputError(f"--cluster {address}: no worker has come within {PATIENCE} s") from None
    except OSError as error:
        raise InputError(f"--cluster {address}: it went away: {first_line(error)}") from None
    except RuntimeError as error:
        raise InputError(f"--cluster {address}: {error}") from None
    problems = {worker: store.hide(str(problem)) for worker, problem in sorted(found.items()) if problem}
    if problems:
        named = "; ".join(f"worker {worker} {problem}" for worker, problem in problems.items())
        raise InputError(
            f"--cluster {address}: {named}. All workers must reach the store: start `mlflow server` "
            "where they do, and set MLFLOW_TRACKING_URI to its address"
        )


def _marker(store: Store):
    """A file in the folder of artifacts as long as the context, by which a worker knows the folder."""
    if store.artifacts is None:
        return nullcontext()
    return _named(tempfile.NamedTemporaryFile(dir=store.artifacts, prefix=".mflib-"))


@contextmanager
def _named(file) -> Iterator[str]:
    with file:
        yield file.name


def execute_all(
    client: Client, executions: list[Execution], store: Store, stop: Stop, show: Show, done: Done
) -> list[Outcome | None]:
    """Execute the points of a sweep on a cluster; a failing one does not keep others from running.

    Parameters
    ----------
    client : distributed.Client
    executions : list of Execution
        With the tags of their points.
    store, stop, show, done
        As for `batch.execute_all`.

    Returns
    -------
    list of Outcome or None
        As of `batch.execute_all`.

    Raises
    ------
    ConnectionError
        Where the scheduler is gone, or no worker has been there for a minute.
    InputError
        Where a worker has come that does not satisfy `check`. In each case the runs of the points that were
        running are ended.
    """
    points = _Points(client, executions, store, done)
    told, topic = points.told, f"mflib-{uuid.uuid4().hex}"
    places = {one.tags["mflib.point"]: i for i, one in enumerate(executions)}

    def _show(point: str, cell: int, n_cells: int) -> None:
        if places[point] in points.running:
            show(places[point], cell, n_cells)

    client.subscribe_topic(topic, lambda event: told.put((_show, *event[1])))
    with stop.by(lambda: told.put(None)):
        try:
            while (points.waiting or points.running) and not stop.asked:
                points.hand_out(topic)
                _carry_out(told)
        finally:
            points.end()
    return points.outcomes


def _carry_out(told: SimpleQueue) -> None:
    """Make the calls that are asked for meanwhile."""
    with suppress(Empty):
        message = told.get(timeout=_LOOK)
        while message is not None:
            call, *what = message
            call(*what)
            message = told.get_nowait()


class _Points:
    """Those that wait, those that run, with the future of each, and what became of the others."""

    def __init__(self, client: Client, executions: list[Execution], store: Store, done: Done):
        self._client, self._executions, self._store, self._done = client, executions, store, done
        self.outcomes: list[Outcome | None] = [None] * len(executions)
        self.waiting, self.running = deque(range(len(executions))), {}
        self.told: SimpleQueue = SimpleQueue()
        self._own = versions.installed(*_MORE)
        self._last_worker = time.monotonic()  # when one was there

    def hand_out(self, topic: str) -> None:
        """Submit as many points as there are threads without one."""
        threads = self._threads()
        while self.waiting and len(self.running) < threads:
            i = self.waiting.popleft()
            key = f"mflib-point-{uuid.uuid4().hex}"
            self.running[i] = self._client.submit(
                sweep_task.run_point,
                _plain(self._executions[i]),
                self._store.uri,
                self._store.artifacts and str(self._store.artifacts),
                self._own,
                key,
                topic,
                key=key,
                pure=False,
            )
            self.running[i].add_done_callback(
                lambda future, i=i: self.told.put((self._ended, i, *_result(future)))
            )

    def _threads(self) -> int:
        """Of all workers."""
        address = self._client.scheduler.address
        try:
            if self._client.status != "running":
                raise OSError
            threads = sum(
                self._client.sync(self._client.scheduler.ncores, callback_timeout=PATIENCE).values()
            )
        except OSError:
            raise ConnectionError(f"the scheduler {address} is gone; {_AGAIN}") from None
        now = time.monotonic()
        if threads:
            self._last_worker = now
        elif now - self._last_worker > PATIENCE:
            raise ConnectionError(f"no worker has come to {address} within {PATIENCE} s; {_AGAIN}")
        return threads

    def _ended(self, i: int, outcome: dict | None, error: Exception | None) -> None:
        """The task of the i-th has ended, with an outcome or an error of Dask's."""
        if self._client.status != "running":
            return  # all are lost, which is said for all
        if outcome is not None and "refused" in outcome:  # by a worker that has come since the check
            raise InputError(f"--cluster {self._client.scheduler.address}: {outcome['refused']}; {_AGAIN}")
        if outcome is not None:
            self._note(i, Outcome(**outcome))
        elif isinstance(error, KilledWorker):
            one = self._executions[i]
            sweep_task.take_over(self._store, one)
            died = self._failed(i, "every worker that ran it died, so it is not tried again")
            self._note(i, sweep_task.finished(self._store, one) or died)
        else:
            self._note(i, self._failed(i, f"Dask gave it up: {shown(first_line(error), 400)}"))

    def _failed(self, i: int, error: str) -> Outcome:
        return Outcome(self._executions[i].name, FAILED, error=error)

    def _note(self, i: int, outcome: Outcome) -> None:
        del self.running[i]
        self.outcomes[i] = outcome
        self._done(i, outcome)

    def end(self) -> None:
        """Release what runs, wait until the workers have recorded it, end the runs of those that cannot."""
        if not self.running:
            return
        for future in self.running.values():
            future.release()
        from mflib.runs.unsent import take_over  # imported long before: a store is open

        deadline, seen = time.monotonic() + _ENDING, {}
        while runs := self._recording():
            seen |= {i: run.info.run_id for i, run in runs}  # of two of a point the later one
            for _, run in runs:
                if time.monotonic() > deadline or owner.judge(run.data.tags) == owner.DEAD:
                    take_over(self._store, run)
            time.sleep(_LOOK)
        client = self._store.client()
        for i, run_id in seen.items():
            self._note(i, sweep_task.outcome_of(client.get_run(run_id), self._executions[i]))

    def _recording(self) -> list[tuple[int, object]]:
        """The runs that are RUNNING, of the points that were cancelled, with their places."""
        places = {self._executions[i].tags["mflib.point"]: i for i in self.running}
        one = self._executions[0]
        parent = one.tags["mlflow.parentRunId"]
        running = f"attributes.status = 'RUNNING' and tags.`mlflow.parentRunId` = '{parent}'"
        found = self._store.client().search_runs([self._store.experiment(one.experiment)], running)
        of_point = [(places.get(run.data.tags.get("mflib.point")), run) for run in found]
        return [(i, run) for i, run in of_point if i is not None]


def _plain(execution: Execution) -> dict:
    """An execution as plain values; its notebook by name, for the folder is another on each machine."""
    alone = comparing(execution, []) if execution.compares else execution
    return {**dataclasses.asdict(alone), "notebook": execution.name}


def _result(future) -> tuple[dict | None, Exception | None]:
    """What a task gave, or why it gave nothing."""
    try:
        return future.result(), None
    except Exception as error:
        return None, error
