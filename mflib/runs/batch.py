"""Several executions: one after the other, or some at the same time, each in a thread.

What works is the kernels, processes of their own. The thread of an execution only waits for its kernel and
records: 0.08 s of CPU for a notebook that does nothing, where one more process of the workflow would take
1.5 s to import MLflow and papermill.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from queue import SimpleQueue
from threading import Semaphore, Thread

from mflib.runs.outcome import FAILED, Outcome
from mflib.runs.params import Execution
from mflib.runs.stop import Stop
from mflib.runs.store import Store
from mflib.text import first_line, shown

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
        part = [comparing(executions[i], made) if compares else executions[i] for i in places]
        shows, ends = _placed(show, places), _placed(done, places)
        for i, outcome in zip(places, _execute_part(part, store, stop, jobs, shows, ends), strict=True):
            outcomes[i] = outcome
    return outcomes


def comparing(execution: Execution, runs: list[str]) -> Execution:
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
            return _at_once(executions, store, stop, jobs, show, done)
    outcomes: list[Outcome | None] = [None] * len(executions)
    for i, execution in enumerate(executions):
        if not stop.asked:
            outcomes[i] = attempt(execution, store, stop, lambda cell, n, i=i: show(i, cell, n))
            done(i, outcomes[i])
    return outcomes


@contextmanager
def _cores_divided(jobs: int) -> Iterator[None]:
    """Within, kernels that are started take their share of the cores, unless the user says otherwise.

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


def attempt(execution: Execution, store: Store, stop: Stop, progress, ended=lambda: None) -> Outcome:
    """As `execute.execute`; where not even the run could be created or completed, the outcome says so."""
    try:
        from mflib.runs.execute import execute  # seconds, which the process that only hands out need not pay

        return execute(execution, store, stop, progress, ended)
    except Exception as problem:
        error = shown(store.hide(first_line(problem)), 480)
        return Outcome(execution.name, FAILED, error=f"the store failed: {error}")


def _at_once(executions, store: Store, stop: Stop, jobs: int, show: Show, done: Done):
    """Execute in threads until none is left or a stop is asked; the outcomes.

    The cells of `jobs` notebooks run at the same time. There are twice as many threads: while one shuts its
    kernel down and records, another takes the next. This one only listens: it alone prints and gets signals.
    """
    _prepare(store)
    outcomes: list[Outcome | None] = [None] * len(executions)
    waiting, told = iter(range(len(executions))), SimpleQueue()
    turns = Semaphore(jobs)
    stops = [Stop(()) for _ in range(2 * jobs)]  # each ends the kernel of its thread

    def work(own: Stop) -> None:
        while True:
            turn = _Turn(turns)
            with turn:
                i = None if own.asked else next(waiting, None)  # which all share: each is given out once
                if i is None:
                    break
                outcomes[i] = attempt(
                    executions[i], store, own, lambda cell, n, i=i: told.put((show, i, cell, n)), turn.end
                )
            told.put((done, i, outcomes[i]))

    def end_all() -> None:
        for own in stops:
            own.ask()

    threads = [Thread(target=_to_the_end, args=(work, own, told)) for own in stops]
    with stop.by(end_all):
        for thread in threads:
            thread.start()
        try:
            _listen(told, len(threads))
        finally:
            end_all()
            for thread in threads:
                thread.join()
    return outcomes


class _Turn:
    """One of the places that a semaphore gives, given back once: early, or at the end of the context."""

    def __init__(self, turns: Semaphore):
        self._turns, self._held = turns, False

    def __enter__(self) -> None:
        self._held = self._turns.acquire()

    def __exit__(self, *error) -> None:
        self.end()

    def end(self) -> None:
        """Give it back."""
        if self._held:
            self._held = False
            self._turns.release()


def _to_the_end(work: Callable, own: Stop, told: SimpleQueue) -> None:
    """Work; tell when it is over, be it by an exception."""
    try:
        work(own)
    finally:
        told.put(None)


def _listen(told: SimpleQueue, threads: int) -> None:
    """Make the calls that the threads ask for, until each of them is over."""
    while threads:
        message = told.get()
        if message is None:
            threads -= 1
        else:
            call, *what = message
            call(*what)


def _prepare(store: Store) -> None:
    """Import what all need and open the store while there is one thread: neither is made for several."""
    with suppress(Exception):  # each execution would fail so, and its outcome say why
        import mflib.runs.execute  # noqa: F401

        store.client().search_experiments(max_results=1)
