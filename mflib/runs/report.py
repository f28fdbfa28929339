"""What `mflib run` prints: a line for each notebook while it runs, a table at the end."""

import shutil
import sys

from mflib import text
from mflib.runs.outcome import FINISHED, Outcome
from mflib.runs.params import Execution
from mflib.runs.store import Store


class Progress:
    """A line for each notebook; on a terminal, also a live one with the cells that run now.

    Parameters
    ----------
    executions : list of Execution
    """

    def __init__(self, executions: list[Execution]):
        self._names = [execution.name for execution in executions]
        self._live = sys.stdout.isatty()
        self._running: dict[int, str] = {}

    def show(self, i: int, cell: int, n_cells: int) -> None:
        """A cell of the i-th notebook begins."""
        begins = i not in self._running
        self._running[i] = f"{self._label(i)}: cell {cell} of {n_cells}"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._line(" | ".join(self._running.values())[:width], end="")
        elif begins:
            self._line(f"{self._label(i)}: {n_cells} cells")

    def done(self, i: int, outcome: Outcome) -> None:
        """The i-th notebook has ended."""
        self._running.pop(i, None)
        error = f": {outcome.error}" if outcome.error else ""
        self._line(f"{self._label(i)}: {outcome.status} in {outcome.seconds:.1f} s{error}")

    def _label(self, i: int) -> str:
        return f"[{i + 1}/{len(self._names)}] {self._names[i]}"

    def _line(self, text: str, end: str = "\n") -> None:
        erase = "\r\x1b[K" if self._live else ""
        print(f"{erase}{text}", end=end, flush=True)


def table(executions: list[Execution], outcomes: list[Outcome | None]) -> str:
    """A row for each notebook: status, key metric, seconds, run id; `not run` where a stop came before."""
    rows = [("notebook", "status", "metric", "seconds", "run")]
    for execution, outcome in zip(executions, outcomes, strict=True):
        if outcome is None:
            rows.append((execution.name, "not run", "", "", ""))
            continue
        metric = "{} = {:.6g}".format(*outcome.metric) if outcome.metric else ""
        rows.append((outcome.name, outcome.status, metric, f"{outcome.seconds:.1f}", outcome.run_id))
    return text.table(rows, right={3})


def closing(outcomes: list[Outcome | None], store: Store) -> str:
    """How many held, and where to look."""
    finished = sum(outcome is not None and outcome.status == FINISHED for outcome in outcomes)
    return f"{finished} of {len(outcomes)} finished. Look at them with `mflib ui`; the store is {store.place}"
