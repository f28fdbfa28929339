"""One execution of one notebook = one MLflow run, whatever happens to the notebook."""

import logging
import re
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from mflib.runs import engine, once, owner, protocol, unsent
from mflib.runs.clock import create_run, end_run
from mflib.runs.collect import log_tags, metrics_of
from mflib.runs.files import write_text
from mflib.runs.kernel import cause_of_death, environment, kernel, kill
from mflib.runs.outcome import FAILED, FINISHED, KILLED, Outcome
from mflib.runs.params import Execution
from mflib.runs.project import InputError
from mflib.runs.stop import Stop
from mflib.runs.store import Store, reach
from mflib.text import printable

# papermill's log would say in the middle of the progress line what the outcome says
logging.getLogger("papermill").setLevel(logging.CRITICAL)
_EXECUTED = "executed.ipynb"  # in the run folder, as papermill writes it
_KEY_METRICS = ("rmse.validation", "loss")


class Watch:
    """Follows an execution: which cell runs, how long the cells may still take, what ended them.

    Parameters
    ----------
    execution : Execution
    progress : callable
        Called as `progress(cell, n_cells)` when a code cell begins.
    ended : callable
        Called when none runs any more.
    """

    def __init__(self, execution, n_cells, progress, ended):
        self.cell_index, self.cell_number = None, 0
        self.n_cells, self._progress, self.ended = n_cells, progress, ended
        self._timeout, self._deadline = execution.timeout, None

    def begins(self, cell, cell_index):
        """A code cell begins."""
        self.cell_index, self.cell_number = cell_index, self.cell_number + 1
        self._progress(self.cell_number, self.n_cells)

    def seconds_left(self, cell):
        """What is left of the time-out, which counts from the first cell; never 0, which means no limit."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._timeout
        return max(self._deadline - time.monotonic(), 0.01)


def execute(
    execution: Execution,
    store: Store,
    stop: Stop,
    progress=lambda cell, n_cells: None,
    ended=lambda: None,
) -> Outcome:
    """Execute a notebook and record it as a run.

    What it leaves lies in a run folder (mflib.runs.unsent) until the store has it.

    Parameters
    ----------
    execution : Execution
    store : Store
    stop : Stop
        An active one: when it is asked, the kernel is killed and the run completed as KILLED.
    progress : callable
        Called as `progress(cell, n_cells)` when a code cell begins.
    ended : callable
        Called when the cells have ended: the kernel has yet to shut down, the run to be recorded.

    Returns
    -------
    Outcome
        Its status is also the run's: FINISHED; FAILED where a cell raised, the kernel died, the time was
        up, or the results could not be stored, which then stay in the run folder; KILLED where a stop was
        asked, or where its point of a sweep is another run's by now. In each case the notebook as far as it
        came is attached, and what it had recorded is kept.
    """
    experiment, name = store.experiment(execution.experiment), execution.label or execution.name
    run_id = create_run(store, experiment, name, _tags(execution))
    started = time.monotonic()  # not before the start of the run, which ends so many seconds after that
    folder, began, metric = unsent.place(store) / run_id, False, None
    try:
        notebook, n_cells = _prepare(execution, store, folder)
        threading.Thread(target=_prepare_page, daemon=True).start()
        began = True
        watch = Watch(execution, n_cells, progress, ended)
        status, error = _execute_in(folder, notebook, execution, stop, watch)
        seconds = time.monotonic() - started
        unsent.note(folder, status=status, error=error, seconds=seconds)
        metric = _key_metric(metrics_of(folder))
        if (recorded := unsent.hand_in(store, folder)) != status:
            status, error = recorded, once.LOST
    except Exception as problem:
        why = store.hide(_one_line(problem))
        status, error, seconds = FAILED, f"not recorded: {why}", time.monotonic() - started
        if began:
            error += unsent.waits(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        _say_so(store, run_id, error)
    return Outcome(execution.name, status, run_id, seconds, metric, error)


def _tags(execution: Execution) -> dict[str, str]:
    """What tells where a run comes from."""
    return {
        "mflib.notebook": execution.name,
        "mflib.params_file": execution.source,
        "mlflow.source.name": execution.notebook.name,
        "mlflow.source.type": "NOTEBOOK",
        **owner.tags(),
        **execution.tags,
    }


def _prepare(execution: Execution, store: Store, folder: Path) -> tuple[Path, int]:
    """Make the run folder and begin the protocol; the copy of the notebook in it, and its number of cells."""
    content = _content(execution)
    about = protocol.gather(content.cells, execution.parameters, environment())
    about["timeout"] = execution.timeout
    unsent.begin(folder, store, parameters=execution.parameters, about=about)
    log_tags(store.client(), folder.name, protocol.tags(about))
    notebook = folder / "artifacts" / "notebook" / execution.notebook.name
    notebook.parent.mkdir(parents=True)
    write_text(notebook, nbformat.writes(content))
    return notebook, _number(content.cells, execution)


def _say_so(store: Store, run_id: str, error: str) -> None:
    """End a run that could not be recorded, unless it is the store that does not answer."""
    with suppress(Exception):
        reach(store)
        client = store.client()
        client.set_tag(run_id, "error", error)
        end_run(client, run_id, FAILED)


def _prepare_page() -> None:
    """Import nbconvert and more, for which the kernel, a process of its own, leaves us the time."""
    from mflib.runs.pages import prepare

    prepare()


def _execute_in(folder: Path, notebook: Path, execution: Execution, stop: Stop, watch: Watch):
    """Execute a notebook; its status, and the error in a line."""
    error, cut_short = _until_end(notebook, folder, execution, stop, watch)
    if stop.asked and error:
        error = stop.words
    about = _clean(folder / _EXECUTED, notebook, watch.cell_index if cut_short else None, error)
    if about.get("exception") and not error:
        error = "SystemExit: the cells behind it did not run"  # papermill lets it pass
    if not error:
        return FINISHED, ""
    log = folder / "kernel.log"
    if log.exists() and log.stat().st_size:
        shutil.copy(log, notebook.parent)
    where = f" (cell {watch.cell_number} of {watch.n_cells})" if watch.cell_number else ""
    return KILLED if stop.asked else FAILED, _one_line(error) + where


def _content(execution: Execution):
    """The notebook, read once, without outputs and what an execution adds."""
    text = execution.content
    if text is None:
        text = execution.notebook.read_text(encoding="utf-8")
    return protocol.without_traces(nbformat.reads(text, as_version=4))


def _number(cells: list, execution: Execution) -> int:
    """How many cells there are to execute; parameters become one."""
    full = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)
    return full + bool(execution.parameters)


def _until_end(notebook: Path, folder: Path, execution: Execution, stop: Stop, watch: Watch):
    """Execute; the error, empty for none, and whether a cell was cut short."""
    try:
        with kernel(execution.notebook.parent, folder, MFLIB_RUN_DIR=str(folder)) as manager:
            group = manager.provisioner.pid
            try:
                with stop.by(lambda: kill(group)):
                    _papermill(notebook, folder / _EXECUTED, execution, manager, watch)
            except DeadKernelError:
                return cause_of_death(manager), True
            finally:
                watch.ended()
    except PapermillExecutionError as problem:
        return f"{problem.ename}: {problem.evalue}", False
    except CellTimeoutError:
        return f"timed out after {execution.timeout:g} s", True
    except Exception as problem:
        return _one_line(problem), True
    return "", False


def _papermill(notebook: Path, executed: Path, execution: Execution, manager, watch: Watch) -> None:
    """Execute the notebook."""
    paths = (re.sub(r"[{}]", r"\g<0>\g<0>", str(path)) for path in (notebook, executed))
    papermill.execute_notebook(
        *paths,  # which papermill formats
        parameters=execution.parameters,
        engine_name=engine.NAME,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        start_timeout=120,
        km=manager,
        timeout_func=watch.seconds_left,
        on_cell_execute=watch.begins,
    )


def _clean(executed: Path, notebook: Path, cut_at: int | None, error: str) -> dict:
    """Make the executed notebook honest: papermill marks each cell "completed" after a dead kernel.

    The cell that was cut short gets the error as its output, those behind it become pending. Paths of this
    machine go. It takes the place of the notebook. Returns papermill's own metadata.
    """
    try:
        content = nbformat.read(executed, as_version=4)
    except (OSError, ValueError):  # papermill could not write it, to a full disk for instance
        content, cut_at = nbformat.read(notebook, as_version=4), None
    about = content.metadata.setdefault("papermill", {})
    for path in ("input_path", "output_path"):
        about.pop(path, None)
    about["exception"] = bool(about.get("exception") or error)
    if cut_at is not None:
        for index, cell in enumerate(content.cells):
            if index >= cut_at:
                cell.metadata["papermill"] = {"status": "failed" if index == cut_at else "pending"}
        message = {"ename": "Stopped", "evalue": error, "traceback": [error]}
        content.cells[cut_at].outputs.append(nbformat.v4.new_output("error", **message))
    write_text(notebook, nbformat.writes(content))
    return about


def _key_metric(metrics: dict[str, float]) -> tuple[str, float] | None:
    """The number by which one looks at a run first."""
    for name in (*_KEY_METRICS, *metrics):
        if name in metrics:
            return name, metrics[name]
    return None


def _one_line(problem: object) -> str:
    """The first line of a message, printable and short."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    text = lines[0] if isinstance(problem, str | InputError) else f"{type(problem).__name__}: {lines[0]}"
    return printable(text)[:500]
