"""What `mflib sweep` prints: how far it is and for how long yet; at the end the points, the best first."""

import shutil
import time

from mflib import text
from mflib.runs.outcome import FINISHED, Outcome
from mflib.runs.params import Execution
from mflib.runs.project import InputError, nearest
from mflib.runs.ranking import key_metric, lower_is_better
from mflib.runs.report import Progress
from mflib.runs.sweep import point_text, value_text
from mflib.runs.sweep_store import Result

_ROWS = 20


class SweepProgress(Progress):
    """A line for each point that has ended, with the time left; on a terminal, a live one on those that run.

    Parameters
    ----------
    points : list of Execution
        Those that are to run.
    """

    def __init__(self, points: list[Execution]):
        super().__init__(points)
        self._points, self._ended, self._began = points, 0, None

    def show(self, i: int, cell: int, n_cells: int) -> None:
        """A cell of the i-th point begins."""
        self._began = self._began or time.monotonic()  # imports, which come before, do not come again
        self._running[i] = f"{self._points[i].label}: cell {cell} of {n_cells}"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._line(" | ".join((self._state(), *self._running.values()))[:width], end="")

    def done(self, i: int, outcome: Outcome) -> None:
        """The i-th point has ended."""
        self._running.pop(i, None)
        self._ended += 1
        error = f": {outcome.error}" if outcome.error else ""
        status = f"{outcome.status} in {outcome.seconds:.1f} s{error}"
        self._line(f"[{self._state()}] {self._points[i].label}: {status}")

    def _state(self) -> str:
        """How many have ended, and how long the others will take if they are as long."""
        total = len(self._points)
        state = f"{self._ended} of {total}"
        if not self._began or not 0 < self._ended < total:
            return state
        each = (time.monotonic() - self._began) / self._ended
        return f"{state}, {span(each * (total - self._ended))} left"


def span(seconds: float) -> str:
    """A time for a reader.

    Examples
    --------
    >>> span(7.4), span(150), span(9000)
    ('7 s', '2.5 min', '2.5 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def ranking_metric(results: list[Result], given: str | None) -> str | None:
    """The metric that ranks the points: the one asked for, else the key metric of the notebook.

    Parameters
    ----------
    results : list of Result
    given : str or None

    Returns
    -------
    str or None
        None where no point has recorded anything.

    Raises
    ------
    InputError
        If no finished point has recorded the metric asked for, with the nearest name.
    """
    finished = [result.metrics for result in results if result.status == FINISHED]
    names = sorted({name for metrics in finished for name in metrics})
    if given and finished and given not in names:
        raise InputError(f"--metric {given}: no point has recorded it{nearest(given, names)}")
    plain = [name for name in names if not name.startswith("seconds.")]
    return (given if finished else None) or key_metric(plain or names)


def ranked(results: list[Result], metric: str | None) -> list[Result]:
    """The finished points that have recorded the metric, the best first; equals in their order."""
    there = [result for result in results if result.status == FINISHED and metric in result.metrics]
    sign = 1 if metric and lower_is_better(metric) else -1
    return sorted(there, key=lambda result: sign * result.metrics[metric])


def points_table(results: list[Result], metric: str) -> str:
    """A row for each of the best points: its values, the metric, seconds, run."""
    rows = [(*results[0].values, metric, "seconds", "run")]
    for result in results[:_ROWS]:
        values = (text.shown(value_text(value)) for value in result.values.values())
        seconds = result.metrics.get("seconds.total", float("nan"))
        rows.append((*values, f"{result.metrics[metric]:.6g}", f"{seconds:.1f}", result.run_id))
    width = len(rows[0])
    table = text.table(rows, right={width - 3, width - 2})
    more = len(results) - _ROWS
    return f"{table}\n… and {more} more in points.csv of the parent run" if more > 0 else table


def best_line(best: Result, metric: str) -> str:
    """The best point, and what best means."""
    rule = "lower" if lower_is_better(metric) else "higher"
    value = f"{best.metrics[metric]:.6g}"
    point = text.shown(point_text(best.values), 200)
    return f"Best by {text.shown(metric)} ({rule} is better): {point} with {value}, run {best.run_id}"


def failures(results: list[Result]) -> list[str]:
    """A line for each point that was executed and did not finish."""
    return [
        f"{result.status}: {text.shown(point_text(result.values), 200)}: {text.shown(result.error, 500)}"
        + (f" (run {result.run_id})" if result.run_id else "")
        for result in results
        if result.status not in (FINISHED, "not run")
    ]
