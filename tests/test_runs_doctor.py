"""What the doctor finds and mends, on real stores, kernels and processes."""

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mflib.runs import doctor, owner
from mflib.runs.doctor import FIXED, OK, PROBLEM
from mflib.runs.store import locate, open_store


@pytest.fixture(scope="module")
def with_runs(shared_project):
    """A project with runs left RUNNING by a dead process, by this one, and by another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFLIB_ROOT", str(shared_project.root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = open_store()
        with subprocess.Popen(["sleep", "600"]) as process:
            tags = {"dead": owner.tags(process.pid), "alive": owner.tags(), "foreign": {}}
            process.kill()
        client, experiment = store.client(), store.experiment("left")
        for name, of_run in tags.items():
            client.create_run(experiment, run_name=name, tags=of_run)
        client.set_terminated(client.create_run(experiment, run_name="done", tags=tags["dead"]).info.run_id)
    return shared_project


@pytest.fixture
def patient(with_runs, tmp_path, monkeypatch):
    """A copy of it, which is the root: its store has therefore moved."""
    before, with_runs.root = with_runs.root, Path(shutil.copytree(with_runs.root, tmp_path / "root"))
    monkeypatch.setenv("MFLIB_ROOT", str(with_runs.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield with_runs
    with_runs.root = before


def states(output):
    return dict(re.findall(r"^(\w+) +(ok|problem|fixed) ", output, re.MULTILINE))


def test_it_says_what_is_wrong_mends_it_and_is_content(patient):
    told = patient.mflib("doctor")
    assert (told.returncode, told.stderr) == (1, "")
    assert states(told.stdout) == {
        **dict.fromkeys(["python", "versions", "threads", "data", "kernel"], "ok"),
        **dict.fromkeys(["store", "unsent", "runs"], "problem"),
    }
    assert "mlruns/mlflow.db: its artifacts were in " in told.stdout
    fixed = patient.mflib("doctor", "--fix")
    assert (fixed.returncode, fixed.stderr) == (0, "")
    assert {name for name, state in states(fixed.stdout).items() if state == "fixed"} == {"store", "runs"}
    assert doctor.store(fix=False)[0] == OK
    assert doctor.runs(locate(), fix=False)[0] == OK


def test_only_a_run_whose_process_is_dead_is_killed(patient):
    state, text = doctor.runs(locate(), fix=False)
    runs = patient.runs()
    assert state == PROBLEM
    assert f"1 left RUNNING by a dead process: {runs['dead'].info.run_id[:8]} (dead); --fix" in text
    assert text.endswith(f"of another machine, or unknown: {runs['foreign'].info.run_id[:8]} (foreign)")
    assert doctor.runs(locate(), fix=True)[0] == FIXED
    after = patient.runs()
    assert {name: run.info.status for name, run in after.items()} == {
        "dead": "KILLED",
        "alive": "RUNNING",
        "foreign": "RUNNING",
        "done": "FINISHED",
    }
    assert after["dead"].data.tags["error"] == "its process died"
    assert after["dead"].info.end_time


@pytest.mark.parametrize(
    ("revision", "what"), [("fedcba987654", "a newer MLflow"), ("6953534de441", "an older MLflow")]
)
def test_a_store_of_another_mlflow_is_a_problem(patient, revision, what):
    open_store()
    with closing(sqlite3.connect(locate().database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    state, text = doctor.store(fix=False)
    assert state == PROBLEM
    assert f"is from {what} (schema {revision})" in text


def test_a_store_that_is_no_database_is_a_problem(patient):
    locate().database.write_text("not a database, " * 100)
    for fix in (False, True):
        state, text = doctor.store(fix)
        assert state == PROBLEM
        assert text.startswith(f"{locate().database}: cannot be read: file is not a database; put it aside")


def test_runs_of_the_retired_file_store_are_told(patient):
    open_store()
    (patient.root / "mlruns" / "1").mkdir()
    (patient.root / "mlruns" / "1" / "meta.yaml").write_text("experiment_id: '1'\n")
    state, text = doctor.store(fix=False)
    assert state == PROBLEM
    assert f"{patient.root}/mlruns/1 holds runs of MLflow's retired file store" in text


def test_without_a_store_there_is_nothing_to_mend_and_none_is_made(project):
    assert doctor.store(fix=False) == (
        OK,
        f"{project.root}/mlruns/mlflow.db does not exist yet: the first run makes it",
    )
    assert doctor.store(fix=True)[0] == OK
    assert doctor.runs(locate(), fix=True) == (OK, "none yet")
    assert not (project.root / "mlruns").exists()


def test_a_server_that_is_not_there_is_a_problem(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = list(doctor.examine(fix=False))
    assert found[-3].text.startswith("MLFLOW_TRACKING_URI=http://127.0.0.1:9: cannot be reached: ")
    assert found[-1] == ("runs", PROBLEM, "not looked at, because of the store")


def test_versions_that_are_not_those_of_the_lock_are_named(project):
    lock = project.root / "requirements.txt"
    lock.write_text(
        "# a remark\n"
        f"numpy=={doctor.importlib.metadata.version('numpy')}\n"
        "nbval==0.0.1\n"
        "mflib-has-no-such-part==1.0\n"
        "nobody-has-this==1.0 ; python_version < '3.0'\n"
    )
    state, text = doctor.versions()
    assert state == PROBLEM
    assert text.startswith("2 not as in requirements.txt: nbval 0.11.0 (not ==0.0.1), mflib-has-no-such-part")
    assert f"{sys.executable} -m pip install -r requirements.txt" in text


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("OPENBLAS_NUM_THREADS", "1", OK),
        ("OPENBLAS_NUM_THREADS", "2", PROBLEM),
        ("NUMBA_NUM_THREADS", "1", OK),
        ("NUMBA_NUM_THREADS", "4096", PROBLEM),
        ("NUMBA_NUM_THREADS", "many", PROBLEM),
    ],
)
def test_threads_that_change_bits_or_outnumber_the_cores_are_told(monkeypatch, name, value, state):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv(name, value)
    found, text = doctor.threads()
    assert found == state
    assert name in text


def test_where_ratings_are_looked_for_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MFLIB_DATA", str(tmp_path / "missing"))
    assert doctor.data() == (
        PROBLEM,
        f"MFLIB_DATA={tmp_path}/missing is no folder: set it to the one that holds ml-latest-small",
    )
    monkeypatch.setenv("MFLIB_DATA", str(tmp_path))
    assert doctor.data()[0] == PROBLEM
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,1,1\n")
    assert doctor.data() == (OK, f"MovieLens is {tmp_path}/ratings.csv")
    monkeypatch.delenv("MFLIB_DATA")
    state, text = doctor.data()
    assert state == OK
    assert "no MovieLens ratings found" in text


def test_a_kernel_of_the_user_that_jupyterlab_would_take_is_told(tmp_path, monkeypatch):
    (spec := tmp_path / "kernels" / "python3").mkdir(parents=True)
    spec = spec / "kernel.json"
    spec.write_text('{"argv": ["/usr/bin/env", "x"], "display_name": "", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    state, text = doctor.kernel()
    assert state == PROBLEM
    assert f"but JupyterLab the one of {tmp_path}/kernels/python3" in text
    spec.write_text('{"argv": ["python3", "x"], "display_name": "", "language": "python"}')
    assert doctor.kernel() == (OK, "notebooks run with this interpreter, in JupyterLab too")


def test_a_kernel_that_does_not_start_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    state, text = doctor.kernel()
    assert state == PROBLEM
    assert text.startswith("no kernel starts (Kernel died")
