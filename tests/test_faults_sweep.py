"""Ctrl-C and kill -9 in a sweep: of its runner, outside of a notebook and within, and of a kernel."""

import signal
from collections import Counter

import psutil
import pytest
from faults import adopt_orphans, all_gone, stopped

POINT = "from mflib.runs import record_metrics\nrecord_metrics({'loss': k})"
PHASES = {
    "the parent just created": "mflib.runs.sweep_store:children",
    "attaching the points": "mflib.runs.sweep_store:attach",
}


@pytest.fixture
def swept(project):
    """A sweep of three points."""
    project.notebook("01_point", POINT, parameters="k: int = 1\nseed: int = 0")
    project.params("runs: [{notebook: 01_point}]\nsweep: {k: [1, 2, 3]}", "sweep")
    return project


def points(project):
    """How many runs there are of each point, and with which status; the status of the parent."""
    client = project.client()
    places = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(places)
    (parent,) = (run for run in runs if "mflib.sweep" in run.data.tags)
    children = Counter((run.info.run_name, run.info.status) for run in runs if run is not parent)
    return children, parent.info.status


ALL = {(f"k={k}", "FINISHED"): 1 for k in (1, 2, 3)}


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("phase", PHASES)
def test_a_runner_that_is_stopped_loses_no_point_and_does_none_twice(swept, phase, number):
    with stopped(swept, PHASES[phase], "sweep", "params/sweep.yaml") as process:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == ((130, "") if number == signal.SIGINT else (-number, ""))
    before, status = points(swept)
    assert before == ({} if "parent" in phase else ALL)
    if number == signal.SIGKILL:
        assert status == "RUNNING"
    elif "parent" in phase:
        assert status == "KILLED"
    again = swept.mflib("sweep", "params/sweep.yaml")
    assert (again.returncode, again.stderr) == (0, "")
    assert points(swept) == (ALL, "FINISHED")


@pytest.mark.parametrize(
    "where",
    ["mflib.runs.execute:_papermill", pytest.param("mflib.runs.clock:end_run", marks=pytest.mark.soak)],
)
def test_a_sweep_of_two_jobs_that_is_killed_is_completed_by_the_next(swept, where):
    """At the end of a run its results are there already, and are handed in."""
    adopt_orphans()
    with stopped(swept, where, "sweep", "params/sweep.yaml", "--jobs", "2") as process:
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert all_gone(kernels)
    again = swept.mflib("sweep", "params/sweep.yaml")
    assert (again.returncode, again.stderr) == (0, "")
    children, status = points(swept)
    assert status == "FINISHED"
    assert {point: number for point, number in children.items() if "KILLED" not in point} == ALL
    assert not list((swept.root / "mlruns" / "unsent").iterdir())


def test_a_point_whose_kernel_is_killed_fails_alone_and_the_next_sweep_does_it_again(swept):
    swept.notebook(
        "01_point",
        "import os, pathlib, signal\nonce = pathlib.Path('once')",
        "if k == 2 and not once.exists():\n    once.touch()\n    os.kill(os.getpid(), signal.SIGKILL)",
        POINT,
        parameters="k: int = 1\nseed: int = 0",
    )
    struck = swept.mflib("sweep", "params/sweep.yaml", "--jobs", "2")
    assert (struck.returncode, struck.stderr) == (1, "")
    assert "k=2" in struck.stdout
    others = {point: number for point, number in ALL.items() if point[0] != "k=2"}
    assert points(swept) == (others | {("k=2", "FAILED"): 1}, "FAILED")
    assert swept.mflib("sweep", "params/sweep.yaml").returncode == 0
    assert points(swept) == (ALL | {("k=2", "FAILED"): 1}, "FINISHED")
