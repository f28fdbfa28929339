"""One execution of one notebook = one MLflow run, whatever happens to the notebook."""

import logging
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from mflib.runs import engine, owner, protocol
from mflib.runs.collect import complete, keep, log_tags, metrics_of
from mflib.runs.kernel import cause_of_death, environment, kernel, kill
from mflib.runs.outcome import FAILED, FINISHED, KILLED, Outcome
from mflib.runs.params import Execution
from mflib.runs.stop import Stop
from mflib.runs.store import Store

# papermill's log would say in the middle of the progress line what the outcome says
logging.getLogger("papermill").setLevel(logging.CRITICAL)
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
        up, or the results could not be stored; KILLED where a stop was asked. In each case the notebook as
        far as it came is attached, and what it had recorded is kept.
    """
    client, started = store.client(), time.monotonic()
    run = client.create_run(
        store.experiment(execution.experiment),
        run_name=execution.label or execution.name,
        tags={
            "mflib.notebook": execution.name,
            "mflib.params_file": execution.source,
            "mlflow.source.name": execution.notebook.name,
            "mlflow.source.type": "NOTEBOOK",
            **owner.tags(),
            **execution.tags,
        },
    )
    run_id, status, error, metric = run.info.run_id, FAILED, "", None
    try:
        with tempfile.TemporaryDirectory(prefix="mflib-", ignore_cleanup_errors=True) as scratch:
            folder = Path(scratch)
            notebook, cells = _copy(execution, folder)
            about = protocol.gather(cells, execution.parameters, environment())
            about["timeout"] = execution.timeout
            log_tags(client, run_id, protocol.tags(about))
            watch = Watch(execution, _number(cells, execution), progress, ended)
            threading.Thread(target=_prepare_page, daemon=True).start()
            status, error = _execute_in(folder, notebook, execution, stop, watch)
            seconds = time.monotonic() - started
            result = complete(folder, run_id, about, status == FINISHED)
            keep(store, run_id, folder, execution.parameters, seconds)
            log_tags(client, run_id, result)
            metric = _key_metric(metrics_of(folder))
    except Exception as problem:
        status, error = FAILED, f"not recorded: {_one_line(problem)}"
        seconds = time.monotonic() - started
    if error:
        client.set_tag(run_id, "error", error)
    client.set_terminated(run_id, status)
    return Outcome(execution.name, status, run_id, seconds, metric, error)


def _prepare_page() -> None:
    """Import nbconvert and more, for which the kernel, a process of its own, leaves us the time."""
    from mflib.runs.pages import prepare

    prepare()


def _execute_in(folder: Path, notebook: Path, execution: Execution, stop: Stop, watch: Watch):
    """Execute a notebook; its status, and the error in a line."""
    error, cut_short = _until_end(notebook, folder, execution, stop, watch)
    if stop.asked and error:
        error = "stopped by Ctrl-C or SIGTERM"
    about = _clean(notebook, watch.cell_index if cut_short else None, error)
    if about.get("exception") and not error:
        error = "SystemExit: the cells behind it did not run"  # papermill lets it pass
    if not error:
        return FINISHED, ""
    log = folder / "kernel.log"
    if log.exists() and log.stat().st_size:
        shutil.copy(log, notebook.parent)
    where = f" (cell {watch.cell_number} of {watch.n_cells})" if watch.cell_number else ""
    return KILLED if stop.asked else FAILED, _one_line(error) + where


def _copy(execution: Execution, folder: Path) -> tuple[Path, list]:
    """Copy the notebook into the run folder, without outputs and what an execution adds; its cells."""
    text = execution.content
    if text is None:
        text = execution.notebook.read_text(encoding="utf-8")
    content = protocol.without_traces(nbformat.reads(text, as_version=4))
    target = folder / "artifacts" / "notebook" / execution.notebook.name
    target.parent.mkdir(parents=True)
    nbformat.write(content, target)
    return target, content.cells


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
                    _papermill(notebook, execution, manager, watch)
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


def _papermill(notebook: Path, execution: Execution, manager, watch: Watch) -> None:
    """Execute the notebook in place."""
    path = re.sub(r"[{}]", r"\g<0>\g<0>", str(notebook))  # papermill formats paths
    papermill.execute_notebook(
        path,
        path,
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


def _clean(notebook: Path, cut_at: int | None, error: str) -> dict:
    """Make the saved notebook honest: papermill marks each cell "completed" after a dead kernel.

    The cell that was cut short gets the error as its output, those behind it become pending. Paths of this
    machine go. Returns papermill's own metadata.
    """
    content = nbformat.read(notebook, as_version=4)
    about = content.metadata.get("papermill", {})
    for path in ("input_path", "output_path"):
        about.pop(path, None)
    if cut_at is not None:
        about["exception"] = True
        for index, cell in enumerate(content.cells):
            if index >= cut_at:
                cell.metadata["papermill"] = {"status": "failed" if index == cut_at else "pending"}
        message = {"ename": "Stopped", "evalue": error, "traceback": [error]}
        content.cells[cut_at].outputs.append(nbformat.v4.new_output("error", **message))
    nbformat.write(content, notebook)
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
    text = lines[0] if isinstance(problem, str) else f"{type(problem).__name__}: {lines[0]}"
    return "".join(sign if sign.isprintable() else " " for sign in text)[:500]
