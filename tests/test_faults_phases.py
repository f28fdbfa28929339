"""Ctrl-C and kill -9 in each phase of a command: real processes, which stop where the signal is to strike."""

import signal

import pytest
from faults import DECLARED, RECORD, adopt_orphans, all_gone, below, recorded, stopped, wait_for

from mflib.runs import doctor
from mflib.runs.store import locate

# the function in front of which the process gets the signal; what the run is called after Ctrl-C; after a
# kill -9 and `mflib doctor --fix`; whether a run folder waits till then. None: there is no run.
PHASES = {
    "reading the params": ("mflib.runs.params:read_params", None, None, False),
    "opening the store": ("mflib.runs.store:open_store", None, None, False),
    "the run just created": ("mflib.runs.unsent:begin", "KILLED", "KILLED", False),
    "noting where it comes from": ("mflib.runs.execute:log_tags", "KILLED", "KILLED", True),
    "starting the kernel": ("mflib.runs.execute:_papermill", "KILLED", "KILLED", True),
    "executing": (None, "KILLED", "KILLED", True),
    "collecting results": ("mflib.runs.collect:complete", "FINISHED", "FINISHED", True),
    "writing artifacts": ("mflib.runs.pages:notebook_page", "FINISHED", "FINISHED", True),
    "ending the run": ("mflib.runs.clock:end_run", "FINISHED", "FINISHED", True),
}
WAIT = """
import pathlib, subprocess
child = subprocess.Popen(["sleep", "60" if waits else "0"])
here = pathlib.Path("..") / "executing"
here.touch()
while waits and here.exists():
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def finished(shared_project):
    """A project with a finished run, as nothing may change it."""
    shared_project.notebook("01_done", RECORD, parameters=DECLARED)
    shared_project.notebook("02_struck", RECORD, WAIT, parameters=f"{DECLARED}\nwaits: bool = False")
    shared_project.params("runs: [{notebook: 01_done}]", "done")
    result = shared_project.mflib("run", "params/done.yaml")
    assert (result.returncode, result.stderr) == (0, "")
    return shared_project, recorded(shared_project, "01_done")


@pytest.fixture(params=PHASES)
def struck(request, finished, monkeypatch):
    """A project, how to start a command that reaches the phase, and what is to come of it."""
    project, done = finished
    monkeypatch.setenv("MFLIB_ROOT", str(project.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where, *expected = PHASES[request.param]
    entry = f"notebook: 02_struck, parameters: {{waits: {str(where is None).lower()}}}"
    project.params(f"experiment: struck\nruns: [{{{entry}}}, {{notebook: 01_done}}]", "struck")
    yield project, where, *expected
    assert recorded(project, "01_done") == done


def strike(project, where, number):
    """Send the signal in the phase; the code, what was said, and whether all processes below have gone."""
    before = set(run_ids(project))
    command = ("run", "params/struck.yaml")
    adopt_orphans()
    if where:
        with stopped(project, where, *command) as process:
            children = below(process)
            process.send_signal(number)
    else:
        (project.root / "executing").unlink(missing_ok=True)
        process = project.start(*command)
        wait_for(process, project.root / "executing")
        children = below(process)
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert all_gone(children)
    new = set(run_ids(project)) - before
    assert len(new) <= 1  # the second notebook was not begun
    return process.returncode, out, err, new.pop() if new else None


def run_ids(project):
    client = project.client()
    places = [one.experiment_id for one in client.search_experiments()]
    return [run.info.run_id for run in client.search_runs(places)]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_ctrl_c_ends_with_130_and_a_run_that_says_so(struck, number):
    project, where, status, _, _ = struck
    code, out, err, run_id = strike(project, where, number)
    assert code == 130
    assert not list((project.root / "mlruns" / "unsent").iterdir())
    if status is None:
        assert (out, err, run_id) == ("", "mflib: stopped by Ctrl-C or SIGTERM\n", None)
        return
    run = project.client().get_run(run_id)
    assert err == ""
    assert f"[1/2] 02_struck: {status} in " in out
    assert "01_done    not run" in out
    assert run.info.status == status
    error = run.data.tags.get("error", "")
    assert error.startswith("stopped by Ctrl-C or SIGTERM") if status == "KILLED" else error == ""


def test_kill_9_loses_nothing_that_was_recorded_and_the_doctor_completes_the_run(struck):
    project, where, _, status, waits = struck
    code, _, err, run_id = strike(project, where, signal.SIGKILL)
    assert (code, err) == (-signal.SIGKILL, "")
    if status is None:
        assert run_id is None
        assert (doctor.runs(locate(), fix=False)[0], doctor.unsent(locate(), fix=False)[0]) == ("ok", "ok")
        return
    client, store = project.client(), locate()
    assert client.get_run(run_id).info.status == "RUNNING"
    assert doctor.unsent(store, fix=False)[0] == ("problem" if waits else "ok")
    assert doctor.runs(store, fix=False)[0] == ("ok" if waits else "problem")
    assert doctor.unsent(store, fix=True)[0] == ("fixed" if waits else "ok")
    assert doctor.runs(store, fix=True)[0] == ("ok" if waits else "fixed")
    run = client.get_run(run_id)
    assert run.info.status == status
    assert ("died" in run.data.tags.get("error", "")) == (status == "KILLED")
    if where is None or status == "FINISHED":
        assert run.data.metrics["loss"] == 0.5
        assert (status == "FINISHED") == bool(run.data.tags["mflib.result_digest"])
        assert client.list_artifacts(run_id, "tables")[0].path == "tables/rows.csv"
        assert len(client.list_artifacts(run_id, "notebook")) == 2
    assert not list((project.root / "mlruns" / "unsent").iterdir())
