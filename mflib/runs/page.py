"""`mflib ui`: MLflow's own page on the store, served to this machine only."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from mflib.runs.project import InputError
from mflib.runs.stop import Stop
from mflib.runs.store import Store

_HOST = "127.0.0.1"
_START_SECONDS = 90


def serve(store: Store, port: int) -> int:
    """Serve the store's page until Ctrl-C.

    Parameters
    ----------
    store : Store
        Where it is a server already, its address is printed and nothing is started.
    port : int
        Of 127.0.0.1; 0 takes a free one.

    Returns
    -------
    int
        0 after Ctrl-C, 1 if the server does not come up or ends by itself.

    Raises
    ------
    InputError
        If the port is taken.
    """
    if store.uri.startswith(("http://", "https://")):
        print(f"The runs: {runs_table(store.uri.rstrip('/'))}")
        return 0
    port = free_port(port)
    address = f"http://{_HOST}:{port}"
    with Stop() as stop, tempfile.TemporaryFile() as log:
        server = _start(store, port, log)
        try:
            if _answers(server, address, stop):
                print(f"The runs: {runs_table(address)}\nCtrl-C ends it.", flush=True)
            while server.poll() is None and not stop.asked:
                time.sleep(0.1)
        finally:
            _end(server)
        if stop.asked:
            return 0
        log.seek(0)
        tail = log.read().decode(errors="replace")[-2000:]
        print(f"MLflow's server ended by itself:\n{tail}", file=sys.stderr)
        return 1


def runs_table(address: str) -> str:
    """The address of the runs table of the experiment that ran last, where there is one.

    MLflow's page would open at another place.
    """
    experiments = _ask(address, "experiments/search", max_results=1000).get("experiments", [])
    latest = {
        "experiment_ids": [one["experiment_id"] for one in experiments],
        "order_by": ["attributes.start_time DESC"],
        "max_results": 1,
    }
    runs = _ask(address, "runs/search", **latest).get("runs")
    return f"{address}/#/experiments" + (f"/{runs[0]['info']['experiment_id']}/runs" if runs else "")


def free_port(port: int) -> int:
    """The port, seen to be free; for 0, one that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InputError(f"--port {port}: {error.strerror.lower()}; choose another") from None
        return probe.getsockname()[1]


def _start(store: Store, port: int, log) -> subprocess.Popen:
    """MLflow's server with one worker and without its job queue: a third of the time, half of the memory."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--workers", "1"]
    if store.artifacts:
        command += ["--default-artifact-root", store.artifacts.as_uri()]
    return subprocess.Popen(
        [*command, "--host", _HOST, "--port", str(port)],
        cwd=store.artifacts,  # where it stands, it would make folders of its own
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C comes to us alone, we end the whole group
    )


def _answers(server: subprocess.Popen, address: str, stop: Stop) -> bool:
    """Whether the server came up."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and not stop.asked and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def _end(server: subprocess.Popen) -> None:
    """End the server and its worker."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _ask(address: str, what: str, **question) -> dict:
    """One question to MLflow's REST interface."""
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/{what}",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
