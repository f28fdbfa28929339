"""A team's MLflow server: real ones on loopback, which keep their runs in SQLite and in PostgreSQL."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from mflib.runs import doctor
from mflib.runs.store import locate

RECORD = """
import numpy as np
from matplotlib.figure import Figure
from mflib.runs import record_figure, record_history, record_metrics, record_result
fields = [("iteration", int), ("loss", float), ("validation_rmse", float), ("seconds", float)]
history = np.zeros(2500, fields)
history["iteration"] = np.arange(2500)
history["loss"] = 1 / (1 + np.arange(2500) + seed)
record_history(history)
record_metrics({"rmse.validation": 0.5})
record_figure("curve", Figure())
record_result(U=np.arange(6.0).reshape(3, 2))
"""


class Server:
    """An MLflow server that can be stopped and started again."""

    def __init__(self, backend: str, folder: Path):
        self._folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
        self._command += ["--port", str(self.port), "--backend-store-uri", backend]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with open(self._folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def postgresql():
    """A cluster of its own, in a temporary folder, under a user that is not root."""
    found = [Path(path) for path in (shutil.which("initdb"),) if path]
    found = [path.resolve() for path in (*found, *Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    if not found or not (found[-1].parent / "postgres").exists():
        pytest.skip("PostgreSQL is not installed: no initdb on the path or in /usr/lib/postgresql")
    programs, user = found[-1].parent, "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="mflib-", ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)
        cluster, port = f"{folder}/cluster", free_port()
        own = {"cwd": folder, "user": user, "extra_groups": [] if user else None}
        make = [
            programs / "initdb",
            "-D",
            cluster,
            "-U",
            "mflib",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
        ]
        subprocess.run(make, check=True, capture_output=True, **own)
        serve = [programs / "postgres", "-D", cluster, "-p", str(port), "-k", folder, "-c", "fsync=off"]
        with open(f"{folder}/postgres.log", "wb") as log:
            process = subprocess.Popen(
                [*serve, "-c", "listen_addresses=127.0.0.1"], stdout=log, stderr=log, **own
            )
        try:
            wait_for_port(port, process)
            yield f"postgresql+psycopg2://mflib@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def wait_for_port(port, process):
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
def server(request, tmp_path_factory):
    """A server that runs."""
    folder = tmp_path_factory.mktemp("server")
    with postgresql() if request.param == "postgresql" else sqlite(folder) as backend:
        server = Server(backend, folder)
        server.start()
        yield server
        server.stop()


@contextmanager
def sqlite(folder):
    yield f"sqlite:///{folder}/runs.db"


@pytest.fixture(scope="module")
def recorded(server, shared_project):
    """What `mflib run` says of two notebooks at once, and the project."""
    project = shared_project
    for name in ("01_first", "02_second"):
        project.notebook(name, RECORD, parameters="seed: int = 0")
    project.params("experiment: team\nruns: [{notebook: 01_first}, {notebook: 02_second}]")
    result = project.mflib("run", "--jobs", "2", MLFLOW_TRACKING_URI=server.uri)
    return project, result


def test_runs_go_to_the_server_whole(server, recorded):
    project, result = recorded
    assert (result.returncode, result.stderr) == (0, "")
    assert f"the store is {server.uri}" in result.stdout
    found = project.runs(server.uri)
    assert {name: run.info.status for name, run in found.items()} == dict.fromkeys(
        ["01_first", "02_second"], "FINISHED"
    )
    client, run = project.client(server.uri), found["01_first"]
    assert run.data.params == {"seed": "0"}
    assert run.data.metrics["rmse.validation"] == 0.5
    assert client.get_experiment(run.info.experiment_id).name == "team"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(i, 1 / (1 + i)) for i in range(2500)]
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    notebook = client.download_artifacts(run.info.run_id, "notebook/01_first.ipynb")
    assert json.loads(Path(notebook).read_text())["nbformat"] == 4
    assert [path.name for path in (project.root / "mlruns").rglob("*")] == ["unsent"]


def test_the_doctor_is_content_with_a_server(server, recorded, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert doctor.store(fix=True) == (doctor.OK, f"{server.uri} can be written")
    assert doctor.runs(locate(), fix=True) == (doctor.OK, "none left RUNNING by a dead process")


@pytest.mark.soak
def test_a_run_of_a_server_is_reproduced(server, recorded):
    project, _ = recorded
    again = project.mflib("reproduce", "latest", MLFLOW_TRACKING_URI=server.uri)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.endswith(": identical\n")


def test_the_page_of_a_server_is_its_own(server, recorded):
    project, _ = recorded
    shown = project.mflib("ui", MLFLOW_TRACKING_URI=server.uri)
    experiment = project.client(server.uri).get_experiment_by_name("team").experiment_id
    assert shown.stdout == f"The runs: {server.uri}/#/experiments/{experiment}/runs\n"


@pytest.mark.soak
def test_a_server_that_stops_while_a_notebook_runs_and_comes_back_loses_nothing(server, recorded):
    project, _ = recorded
    begun = project.root / "begun"
    begun.unlink(missing_ok=True)  # of the server before
    wait = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(5)"
    project.notebook("03_goes_on", RECORD, wait, parameters="seed: int = 0")
    process = project.start("run", "--notebook", "03_goes_on", MLFLOW_TRACKING_URI=server.uri)
    while not begun.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    server.stop()
    time.sleep(10)  # the notebook has ended, and the run cannot be completed
    server.start()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    run = project.runs(server.uri)["03_goes_on"]
    assert (run.info.status, run.data.metrics["rmse.validation"]) == ("FINISHED", 0.5)
    history = project.client(server.uri).get_metric_history(run.info.run_id, "loss")
    assert len(history) == 2500


@pytest.mark.soak
def test_a_server_that_does_not_come_back_leaves_the_results_to_be_handed_in(server, recorded):
    """What it had said of finished runs is there again too, and the next command works."""
    project, _ = recorded
    begun, before = project.root / "begun", project.runs(server.uri)["01_first"].to_dictionary()
    begun.unlink(missing_ok=True)  # of the test before
    wait = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(3)"
    project.notebook("04_stays_away", RECORD, wait, parameters="seed: int = 0")
    process = project.start("run", "--notebook", "04_stays_away", MLFLOW_TRACKING_URI=server.uri)
    while not begun.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    server.stop()
    out, err = process.communicate(timeout=150)  # by itself MLflow tries for four minutes, at each call
    assert (process.returncode, err) == (1, "")
    assert "04_stays_away: FAILED in " in out
    assert "not recorded: " in out
    (kept,) = (project.root / "mlruns" / "unsent").iterdir()
    assert f"what it left is in mlruns/unsent/{kept.name}: `mflib doctor --fix` hands it in" in out
    refused = project.mflib("run", "--notebook", "01_first", MLFLOW_TRACKING_URI=server.uri)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "cannot be reached" in refused.stderr

    server.start()
    told = project.mflib("doctor", MLFLOW_TRACKING_URI=server.uri)
    assert (told.returncode, f"mlruns/unsent/{kept.name}; --fix hands them in" in told.stdout) == (1, True)
    fixed = project.mflib("doctor", "--fix", MLFLOW_TRACKING_URI=server.uri)
    assert (fixed.returncode, fixed.stderr) == (0, "")
    assert not kept.exists()
    run, client = project.runs(server.uri)["04_stays_away"], project.client(server.uri)
    assert (run.info.run_id, run.info.status, run.data.tags.get("error")) == (kept.name, "FINISHED", None)
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 2500
    names = [item.path for item in client.list_artifacts(run.info.run_id)]
    assert names == ["figures", "notebook", "protocol.json", "results"]
    assert project.runs(server.uri)["01_first"].to_dictionary() == before
    again = project.mflib("reproduce", kept.name, MLFLOW_TRACKING_URI=server.uri)
    assert (again.returncode, again.stderr) == (0, "")
