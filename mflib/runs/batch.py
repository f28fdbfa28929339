"""Several executions: one after the other here, or shared among spawned processes.

Never forked, because a process that has run a compiled parallel loop must not be; never threads, because
each execution has an event loop and a store connection of its own.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait

from mflib.runs.outcome import FAILED, Outcome
from mflib.runs.params import Execution
from mflib.runs.startup import quicken
from mflib.runs.stop import Stop
from mflib.runs.store import Store

Show = Callable[[int, int, int], None]  # position in the list, cell, number of cells
Done = Callable[[int, Outcome], None]


def execute_all(
    executions: list[Execution], store: Store, stop: Stop, jobs: int, show: Show, done: Done
) -> list[Outcome | None]:
    """Execute every notebook, those that compare runs last; a failing one does not keep others from running.

    Parameters
    ----------
    executions : list of Execution
    store : Store
    stop : Stop
        An active one: when it is asked, what runs is ended and nothing more is started.
    jobs : int
        How many run at the same time.
    show, done : callable
        Called as `show(i, cell, n_cells)` when a cell of the i-th begins, as `done(i, outcome)` when it ends.

    Returns
    -------
    list of Outcome
        In the order of `executions`; None for what a stop kept from running.
    """
    outcomes: list[Outcome | None] = [None] * len(executions)
    for compares in (False, True):
        places = [i for i, one in enumerate(executions) if one.compares is compares]
        made = [outcome.run_id for outcome in outcomes if outcome and outcome.run_id]
        part = [_on(executions[i], made) if compares else executions[i] for i in places]
        shows, ends = _placed(show, places), _placed(done, places)
        for i, outcome in zip(places, _execute_part(part, store, stop, jobs, shows, ends), strict=True):
            outcomes[i] = outcome
    return outcomes


def _on(execution: Execution, runs: list[str]) -> Execution:
    """An execution that compares these runs."""
    return replace(execution, parameters={**execution.parameters, "runs": runs}, compares=False)


def _placed(call: Callable, places: list[int]) -> Callable:
    """The call, with the place in the whole list instead of that in a part."""
    return lambda i, *what: call(places[i], *what)


def _execute_part(executions, store: Store, stop: Stop, jobs: int, show: Show, done: Done):
    """Execute what may be executed in any order; the outcomes."""
    if jobs > 1 and len(executions) > 1:
        jobs = min(jobs, len(executions))
        with _cores_divided(jobs):
            return _Processes(executions, store, stop, jobs, show, done).run()
    outcomes: list[Outcome | None] = [None] * len(executions)
    for i, execution in enumerate(executions):
        if not stop.asked:
            outcomes[i] = _execute(execution, store, stop, lambda cell, n, i=i: show(i, cell, n))
            done(i, outcomes[i])
    return outcomes


@contextmanager
def _cores_divided(jobs: int) -> Iterator[None]:
    """Within, processes that are started take their share of the cores, unless the user says otherwise.

    OpenBLAS is left alone: a kernel gives it one thread, because its bits depend on them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = str(max(1, cores // jobs))
    unset = [name for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, share))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def _execute(execution: Execution, store: Store, stop: Stop, progress) -> Outcome:
    """Execute; where not even the run could be created or completed, the outcome says so."""
    try:
        from mflib.runs.execute import execute  # seconds, which the process that only hands out need not pay

        return execute(execution, store, stop, progress)
    except Exception as problem:
        line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        return Outcome(execution.name, FAILED, error=f"the store failed: {line}"[:500])


class _Processes:
    """Hands the executions to processes, one at a time each, and listens to them."""

    def __init__(self, executions, store, stop, jobs, show, done):
        self._executions, self._store, self._stop = executions, store, stop
        self._show, self._done = show, done
        self._waiting = list(range(len(executions)))[::-1]
        self._outcomes: list[Outcome | None] = [None] * len(executions)
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        self._busy: dict[Connection, int] = {}
        self._jobs = jobs

    def run(self) -> list[Outcome | None]:
        """Everything, until nothing waits or a stop is asked."""
        with self._stop.by(self._terminate):
            for _ in range(self._jobs):
                self._start()
            while self._busy:
                for connection in wait(list(self._busy), timeout=1):
                    self._hear(connection)
        for connection, process in self._processes.items():
            connection.close()  # an idle process ends when nobody talks to it any more
            process.join()
        return self._outcomes

    def _start(self) -> None:
        """One more process, with its first execution."""
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe()
        process = spawn.Process(target=_work, args=(there, self._store))
        # inherited, for a terminal sends Ctrl-C to the children too
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.start()
        signal.signal(signal.SIGINT, before)
        there.close()
        self._processes[here] = process
        self._hand(here)

    def _hand(self, connection: Connection) -> None:
        """The next execution for this process, if there is one."""
        if self._waiting and not self._stop.asked:
            self._busy[connection] = i = self._waiting.pop()
            connection.send(self._executions[i])
        else:
            self._busy.pop(connection, None)

    def _hear(self, connection: Connection) -> None:
        """One message of a process: progress, an outcome, or that it is no more."""
        i = self._busy[connection]
        try:
            message = connection.recv()
        except (EOFError, ConnectionResetError):
            self._busy.pop(connection)
            if not self._stop.asked:
                self._end(i, Outcome(self._executions[i].name, FAILED, error="its process died"))
                if self._waiting:
                    self._start()
            return
        if isinstance(message, Outcome):
            self._end(i, message)
            self._hand(connection)
        else:
            self._show(i, *message)

    def _end(self, i: int, outcome: Outcome) -> None:
        self._outcomes[i] = outcome
        self._done(i, outcome)

    def _terminate(self) -> None:
        for process in self._processes.values():
            process.terminate()


def _work(connection: Connection, store: Store) -> None:
    """The life of a process: execute what comes until the other end is closed or a stop is asked."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quicken()
    with Stop((signal.SIGTERM,)) as stop:
        while not stop.asked:
            try:
                execution = connection.recv()
            except (EOFError, OSError):
                return
            connection.send(_execute(execution, store, stop, lambda cell, n: connection.send((cell, n))))


def _end_with_parent() -> None:
    """End this process as soon as the one that hands out is no more: nobody would know what it finishes."""
    multiprocessing.parent_process().join()
    os._exit(1)
