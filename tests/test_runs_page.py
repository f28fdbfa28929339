import json
import re
import signal
import socket
import time
import urllib.request

import psutil
import pytest

from mflib.runs.page import serve
from mflib.runs.project import InputError
from mflib.runs.store import locate, open_store


def listeners(pid):
    """The addresses on which a process or its children listen."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    sockets = [one for process in family for one in process.net_connections("inet")]
    return {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}


def test_the_page_shows_the_runs_on_this_machine_only(project):
    store = open_store()
    run = store.client().create_run(store.experiment("shown"), run_name="a run")
    process = project.start("ui", "--port", "0", cwd=project.root.parent)
    address, experiment = re.fullmatch(
        r"The runs: (http://127\.0\.0\.1:\d+)/#/experiments/(\d+)/runs\n", process.stdout.readline()
    ).groups()
    assert experiment == run.info.experiment_id
    with urllib.request.urlopen(f"{address}/api/2.0/mlflow/runs/get?run_id={run.info.run_id}") as answer:
        assert json.load(answer)["run"]["info"]["run_name"] == "a run"
    with urllib.request.urlopen(address) as answer:
        assert b"MLflow" in answer.read()
    assert listeners(process.pid) == {"127.0.0.1"}

    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert (process.wait(timeout=30), process.stdout.read(), process.stderr.read()) == (
        0,
        "Ctrl-C ends it.\n",
        "",
    )
    time.sleep(0.2)
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert sorted(path.name for path in project.root.parent.iterdir()) == ["root"]


def test_a_port_that_is_taken_is_refused(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: address already in use; choose another"):
            serve(locate(), port)


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_what_is_no_port_is_refused(project, port):
    assert project.mflib("ui", "--port", port).returncode == 2
