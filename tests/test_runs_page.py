import json
import re
import signal
import socket
import urllib.request

import psutil
import pytest

from mflib.runs.collect import keep
from mflib.runs.page import serve
from mflib.runs.project import InputError
from mflib.runs.store import Store, locate, open_store


def listeners(pid):
    """The addresses on which a process or its children listen."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    sockets = [one for process in family for one in process.net_connections("inet")]
    return {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def served(shared_project):
    """A run of a fresh store, the process of `mflib ui`, and the address it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFLIB_ROOT", str(shared_project.root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = open_store()
    run = store.client().create_run(store.experiment("shown"), run_name="a run")
    process = shared_project.start("ui", "--port", "0", cwd=shared_project.root.parent)
    printed = re.fullmatch(r"The runs: (http://[\d.:]+)/(#.*)\n", process.stdout.readline())
    assert printed[2] == f"#/experiments/{run.info.experiment_id}/runs"
    yield run.info.run_id, process, printed[1]
    process.terminate()
    process.wait(timeout=30)


def test_the_page_shows_the_runs_on_this_machine_only(served):
    run_id, process, address = served
    with urllib.request.urlopen(f"{address}/api/2.0/mlflow/runs/get?run_id={run_id}") as answer:
        assert json.load(answer)["run"]["info"]["run_name"] == "a run"
    with urllib.request.urlopen(address) as answer:
        assert b"MLflow" in answer.read()
    assert listeners(process.pid) == {"127.0.0.1"}


def test_a_server_takes_a_history_longer_than_its_limit(served, tmp_path):
    run_id, _, address = served
    (tmp_path / "artifacts").mkdir()
    line = {"name": "loss", "steps": list(range(2500)), "values": [1.0] * 2500, "time": 1}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    store = Store(address, None)
    keep(store, run_id, tmp_path, {}, 1.0)
    assert len(store.client().get_metric_history(run_id, "loss")) == 2500


def test_ctrl_c_ends_the_server_and_all_its_processes(served, shared_project):
    _, process, _ = served
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert (process.stdout.read(), process.stderr.read()) == ("Ctrl-C ends it.\n", "")
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert [path.name for path in shared_project.root.parent.iterdir()] == [shared_project.root.name]


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
