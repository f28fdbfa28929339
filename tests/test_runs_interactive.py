"""Notebooks opened by hand: real kernels, driven as JupyterLab drives them."""

import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from faults import fill, small_disk
from jupyter_client import KernelManager

from mflib.runs import doctor
from mflib.runs.record import record_metrics
from mflib.runs.store import locate

PARAMETERS = "seed: int = 0\nrecord: bool = {record}"
IMPORTS = """
import os, sys
import numpy as np
from matplotlib.figure import Figure
from mflib.runs import *
"""
BEGIN = "recording(record, '01_by_hand', globals())"
RESULTS = """
fields = [("iteration", int), ("loss", float), ("validation_rmse", float), ("seconds", float)]
history = np.array([(i, {start} / (1 + i), np.nan, np.random.rand()) for i in range({n})], fields)
record_history(history)
record_metrics({{"loss": {start} / 100, "seconds.fit": np.random.rand()}})
record_figure("curve", Figure())
"""
FIRST, OTHER = RESULTS.format(start=1, n=5), RESULTS.format(start=2, n=3)


@pytest.fixture(scope="module")
def made(shared_project):
    """A project with a notebook and a store."""
    shared_project.notebook("01_by_hand", IMPORTS, BEGIN, parameters=PARAMETERS.format(record=False))
    os.environ["MFLIB_ROOT"] = str(shared_project.root)
    from mflib.runs.store import open_store

    open_store()
    return shared_project


class Kernel:
    """A kernel that executes one cell after the other."""

    def __init__(self, project):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=project.environment(), cwd=str(project.root / "notebooks"))
        self.connect()

    def connect(self):
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, *cells):
        """Execute cells; what they print, or the error of one that raised."""
        printed = []

        def hear(message):
            content = message["content"]
            printed.append(content.get("text") or content.get("evalue") or "")

        for cell in cells:
            self.client.execute_interactive(cell, timeout=60, output_hook=hear)
        return "".join(printed)

    def restart(self, now):
        self.client.stop_channels()
        self.manager.restart_kernel(now=now)
        self.connect()


@pytest.fixture
def by_hand(made, tmp_path):
    """A copy of the project, and a kernel with the cells of its notebook executed."""
    made.root, before = Path(shutil.copytree(made.root, tmp_path / "root")), made.root
    with a_kernel(made) as kernel:
        kernel.run(PARAMETERS.format(record=True), IMPORTS)
        yield made, kernel
    made.root = before


@contextmanager
def a_kernel(project):
    kernel = Kernel(project)
    try:
        yield kernel
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


def runs(project):
    """The runs that are not deleted, the oldest first."""
    client = project.client()
    ids = [one.experiment_id for one in client.search_experiments()]
    return client.search_runs(ids, order_by=["attributes.start_time ASC"])


def wait_for(project, condition):
    """The runs, as soon as they are as wanted."""
    deadline = time.monotonic() + 40
    while not condition(found := runs(project)):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def losses(project, run):
    return [
        (point.step, point.value) for point in project.client().get_metric_history(run.info.run_id, "loss")
    ]


def files(project, run):
    client = project.client()
    folders = [item for item in client.list_artifacts(run.info.run_id) if item.is_dir]
    return {item.path for one in folders for item in client.list_artifacts(run.info.run_id, one.path)}


def recorded(found):
    return len(found) == 1 and {"loss", "seconds.fit"} <= set(found[0].data.metrics)


def test_without_record_nothing_is_recorded(by_hand):
    project, kernel = by_hand
    said = kernel.run("record = False", BEGIN, FIRST, "print('mlflow' in sys.modules)")
    assert said == "Opened by hand: nothing is recorded (record = True does, or mflib run).\nFalse\n"
    assert runs(project) == []


def test_cells_run_twice_make_one_run_which_the_end_of_the_kernel_completes(by_hand):
    project, kernel = by_hand
    said = kernel.run(BEGIN, FIRST)
    (before,) = wait_for(project, recorded)
    assert said == f"Recording into run {before.info.run_id[:8]}.\n"
    assert kernel.run(BEGIN, FIRST, "print('mlflow' in sys.modules)") == said + "False\n"
    time.sleep(2)
    folder = kernel.run("print(os.environ['MFLIB_RUN_DIR'])").strip()
    follower = next(one for one in psutil.process_iter(["cmdline"]) if folder in (one.info["cmdline"] or ()))
    kernel.restart(now=False)
    (run,) = wait_for(project, lambda found: found[0].info.status == "FINISHED")
    assert follower.wait(timeout=30) in (0, None)
    assert not Path(folder).exists()
    assert run.info.run_id == before.info.run_id
    assert losses(project, run) == [(0, 1), (1, 1 / 2), (2, 1 / 3), (3, 1 / 4), (4, 1 / 5), (4, 0.01)]
    assert run.data.metrics["loss"] == 0.01
    assert (run.data.params, files(project, run)) == ({"seed": "0", "record": "True"}, {"figures/curve.png"})
    assert run.data.tags["mflib.interactive"] == "true"
    assert run.data.tags["mflib.result_digest"] == ""


@pytest.mark.soak
def test_another_outcome_replaces_the_one_before_and_other_parameters_make_another_run(by_hand):
    project, kernel = by_hand
    kernel.run(BEGIN, FIRST)
    wait_for(project, recorded)
    kernel.run(OTHER)
    (run,) = wait_for(project, lambda found: len(found) == 1 and found[0].data.metrics.get("loss") == 0.02)
    assert losses(project, run) == [(0, 2), (1, 1), (2, 2 / 3), (2, 0.02)]
    assert files(project, run) == {"figures/curve.png"}
    assert run.info.run_id[:8] in kernel.run(BEGIN)
    kernel.run("seed = 1", BEGIN, FIRST)
    assert kernel.run("record = False", BEGIN) == ""
    old, new = runs(project)
    assert (old.info.run_id, old.info.status, new.info.status) == (run.info.run_id, "FINISHED", "FINISHED")
    assert [one.data.metrics["loss"] for one in (old, new)] == [0.02, 0.01]
    assert [one.data.params["seed"] for one in (old, new)] == ["0", "1"]
    assert "nothing is recorded" in kernel.run(OTHER)
    assert len(runs(project)) == 2


def test_a_killed_kernel_leaves_a_whole_run_and_the_next_one_records_anew(by_hand):
    project, kernel = by_hand
    kernel.run(BEGIN, FIRST)
    os.killpg(kernel.manager.provisioner.pid, signal.SIGKILL)
    (run,) = wait_for(project, lambda found: found[0].info.status == "KILLED")
    assert len(losses(project, run)) == 6
    assert (run.data.tags["error"], files(project, run)) == ("the kernel was killed", {"figures/curve.png"})
    kernel.restart(now=True)
    kernel.run(PARAMETERS.format(record=True), IMPORTS, BEGIN, OTHER, "recording(False, '', {})")
    old, new = runs(project)
    assert (old.info.status, new.info.status) == ("KILLED", "FINISHED")
    assert losses(project, old) == losses(project, run)


def test_a_store_that_cannot_be_written_and_a_wrong_parameter_are_said_in_the_notebook(by_hand):
    project, kernel = by_hand
    said = kernel.run("seed = 'x'", BEGIN)
    assert said == "seed: expected int, got 'x'"
    (project.root / "mlruns" / "mlflow.db").write_text("not a database, " * 100)
    kernel.run(f"import tempfile; tempfile.tempdir = {str(project.root.parent)!r}")
    said = kernel.run("seed = 0", BEGIN)
    assert said.startswith("nothing is recorded: ")
    assert said.endswith("mlflow.db: the store cannot be written: file is not a database")
    assert "Opened by hand" in kernel.run(FIRST)
    assert [path.name for path in project.root.parent.iterdir()] == ["root"]


def test_what_the_store_does_not_take_in_the_end_waits_to_be_handed_in(by_hand, monkeypatch):
    project, kernel = by_hand
    monkeypatch.setenv("MFLIB_ROOT", str(project.root))
    mlruns = project.root / "mlruns"
    with small_disk(mlruns, 16), small_disk(mlruns / "unsent", 4), small_disk(mlruns / "artifacts", 4):
        kernel.run(BEGIN, FIRST)
        (run,) = wait_for(project, recorded)
        fill(mlruns)
        said = kernel.run("recording(False, '', {})")
        assert said == "The store did not take this run: `mflib doctor --fix` hands it in.\n"
        assert runs(project)[0].info.status == "RUNNING"
        (mlruns / "ballast").unlink()
        assert doctor.unsent(locate(), fix=True)[0] == doctor.FIXED
        (run,) = runs(project)
        assert (run.info.status, run.data.metrics["loss"], run.data.params["seed"]) == ("FINISHED", 0.01, "0")
        assert len(losses(project, run)) == 6
        assert files(project, run) == {"figures/curve.png"}
        assert run.data.tags["mflib.result_digest"] == ""


def test_under_mflib_run_it_does_nothing(tmp_path, monkeypatch, capsys):
    from mflib.runs import recording

    monkeypatch.setenv("MFLIB_RUN_DIR", str(tmp_path))
    recording(True, "any", {})
    record_metrics({"loss": 1})
    assert capsys.readouterr().out == ""
    assert (tmp_path / "metrics.jsonl").exists()
