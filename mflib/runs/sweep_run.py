"""Carry out a sweep: what is missing of it, under its lock, below its parent run."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from mflib.runs.clock import end_run
from mflib.runs.outcome import FAILED, FINISHED, KILLED
from mflib.runs.project import InputError
from mflib.runs.stop import Stop
from mflib.runs.store import Store
from mflib.runs.sweep import Sweep, value_text
from mflib.runs.sweep_report import (
    SweepProgress,
    best_line,
    failures,
    points_table,
    ranked,
    ranking_metric,
)
from mflib.runs.sweep_store import (
    Result,
    attach,
    attach_picture,
    children,
    claim,
    open_parent,
    results,
    settled,
)
from mflib.runs.unsent import take_over
from mflib.text import shown


def run_sweep(sweep: Sweep, store: Store, stop: Stop, execute_all: Callable, metric: str | None) -> bool:
    """Execute the points of a sweep that have not finished yet, and print what came of all of them.

    Parameters
    ----------
    sweep : Sweep
    store : Store
    stop : Stop
        An active one: when it is asked, what runs is ended and nothing more is started.
    execute_all : callable
        Called as `execute_all(executions, store, stop, show=, done=)`: `batch.execute_all` with its `jobs`,
        or `sweep_cluster.execute_all` with its client.
    metric : str or None
        What ranks the points; the key metric of the notebook by default.

    Returns
    -------
    bool
        Whether every point has finished.

    Raises
    ------
    InputError
        If the sweep is being run already, or no point has recorded the metric.
    """
    with claim(sweep, store):
        parent, status = open_parent(sweep, store), FAILED
        try:
            found = _execute(sweep, store, stop, execute_all, parent)
            attach(sweep, store, parent, found)
            if all(result.status == FINISHED for result in found):
                status = FINISHED
            elif stop.asked:
                status = KILLED
        finally:
            end_run(store.client(), parent, status)
        _conclude(sweep, store, parent, found, metric)
    return status == FINISHED


def _execute(sweep: Sweep, store: Store, stop: Stop, execute_all: Callable, parent: str) -> list[Result]:
    """Execute what is missing; what became of every point."""
    for run in chain.from_iterable(children(store, parent).values()):
        if run.info.status != FINISHED:
            take_over(store, run)  # nobody else's, for the lock of the sweep is ours
    done = {point for point, run in settled(store, parent).items() if run.info.status == FINISHED}
    below = {"mlflow.parentRunId": parent}
    missing = [
        replace(point, tags={**point.tags, **below})
        for point in sweep.points
        if point.tags["mflib.point"] not in done
    ]
    finished = f"{len(sweep.points) - len(missing)} of {len(sweep.points)} points finished before"
    print(f"{finished}, {len(missing)} to run; the parent run is {parent}", flush=True)
    progress = SweepProgress(missing)
    outcomes = execute_all(missing, store, stop, show=progress.show, done=progress.done)
    ended = {one.tags["mflib.point"]: outcome for one, outcome in zip(missing, outcomes, strict=True)}
    return results(sweep, settled(store, parent), ended)


def _conclude(sweep: Sweep, store: Store, parent: str, found: list[Result], given: str | None) -> None:
    """Print the points, the best first; attach their picture; then those that failed."""
    metric, problem = None, None
    try:
        metric = ranking_metric(found, given)
    except InputError as error:
        problem = error  # said at the end: what has run is shown all the same
    if best := ranked(found, metric):
        print(f"\n{points_table(best, metric)}\n\n{best_line(best[0], metric)}")
        if len({result.data for result in best}) > 1:
            print("The points had different data: `mflib compare` says which, and does not rank them.")
        store.client().set_tag(parent, "mflib.best", best[0].run_id)
        if len(sweep.names) == 2:
            print(f"Heat map: {attach_picture(store, parent, _heat_map(sweep, best, metric), metric)}")
    if failed := failures(found):
        print("\nNot finished; the same command runs them again:\n  " + "\n  ".join(failed))
    finished = sum(result.status == FINISHED for result in found)
    print(f"\n{finished} of {len(found)} points finished. Look at them with `mflib ui`; ", end="")
    print(f"the store is {store.place}")
    if problem:
        raise problem


def _heat_map(sweep: Sweep, best: list[Result], metric: str):
    """The metric over the two swept parameters."""
    import matplotlib as mpl

    mpl.use("agg")  # no window, whatever the machine has
    from mflib.plots import heat_map
    from mflib.plots.style import use_style

    use_style()
    down, across = sweep.names
    places = {tuple(map(repr, result.values.values())): result.metrics[metric] for result in best}
    numbers = [
        [places.get((repr(row), repr(column)), float("nan")) for column in sweep.values(across)]
        for row in sweep.values(down)
    ]
    names = [[shown(value_text(value)) for value in sweep.values(name)] for name in sweep.names]
    return heat_map(numbers, *names, ylabel=down, xlabel=across, label=metric)
