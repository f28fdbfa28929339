"""Sweeps on real schedulers and workers: killed, stopped, cut off, each point is recorded once."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import psutil
import pytest
from faults import TAMPERING, adopt_orphans, all_gone, wait_for

pytest.importorskip("distributed")

from mflib import cli
from mflib.runs import sweep_cluster, sweep_task
from mflib.runs.project import InputError
from mflib.runs.store import Store, open_store

HERE = """
import os, pathlib, signal, time
here = pathlib.Path("..")
(here / f"started {k}").touch()
while (here / f"wait {k}").exists():
    time.sleep(0.05)
if (here / f"deadly {k}").exists():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
assert not (here / f"failing {k}").exists(), "as it was told to"
"""
RECORD = "from mflib.runs import record_metrics\nrecord_metrics({'loss': k})"
DECLARED = "k: int = 1"


class Cluster:
    """`mflib cluster` of a project."""

    def __init__(self, project, workers, **env):
        self.project, self._arguments, self._env = project, ("--workers", str(workers)), env
        self.start("0")

    def start(self, port):
        self.process = self.project.start("cluster", *self._arguments, "--port", port, **self._env)
        self.address = re.match(r"scheduler  (\S+)", self.process.stdout.readline())[1]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def cluster(shared_project):
    """Two workers, with a sweep of points that can be made to wait."""
    adopt_orphans()
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    started = Cluster(shared_project, 2)
    yield started
    started.end()


def sweep(cluster, experiment, points, waiting=()):
    """The arguments of a sweep of so many points, of which some wait."""
    root = cluster.project.root
    for file in root.glob("* [0-9]*"):
        file.unlink()
    for k in waiting:
        (root / f"wait {k}").touch()
    values = list(range(1, points + 1))
    cluster.project.params(
        f"experiment: {experiment}\nruns: [{{notebook: 01_point}}]\nsweep: {{k: {values}}}", experiment
    )
    return "sweep", f"params/{experiment}.yaml", "--cluster", cluster.address


def started(cluster, *ks):
    return [cluster.project.root / f"started {k}" for k in ks]


def go_on(cluster):
    for file in cluster.project.root.glob("wait *"):
        file.unlink()


def family(cluster, experiment, uri=None):
    """The parent, and its children by name."""
    client = cluster.project.client(uri)
    found = client.search_runs(
        [client.get_experiment_by_name(experiment).experiment_id], order_by=["attributes.start_time ASC"]
    )
    (parent,) = (run for run in found if "mflib.sweep" in run.data.tags)
    return parent, [run for run in found if run is not parent]


def statuses(runs):
    return Counter((run.info.run_name, run.info.status) for run in runs)


def once_each(points):
    return {(f"k={k}", "FINISHED"): 1 for k in range(1, points + 1)}


def finished_runs(cluster, experiment, number):
    """The statuses of the finished runs, when there are so many."""
    deadline = time.monotonic() + 60
    while True:
        _, children = family(cluster, experiment)
        found = statuses(run for run in children if run.info.status == "FINISHED")
        if found.total() >= number:
            return found
        assert time.monotonic() < deadline, statuses(children)
        time.sleep(0.1)


def worker_of(cluster, experiment, k, uri=None):
    """The process that runs a point."""
    _, children = family(cluster, experiment, uri)
    (run,) = (run for run in children if (run.info.run_name, run.info.status) == (f"k={k}", "RUNNING"))
    return psutil.Process(int(run.data.tags["mflib.pid"]))


def kernels_of(worker):
    found = [
        child for child in worker.children() if any("kernel_start.py" in part for part in child.cmdline())
    ]
    assert found
    return found


@pytest.mark.soak
def test_what_a_killed_worker_ran_is_run_again_and_each_point_finishes_once(cluster):
    process = cluster.project.start(*sweep(cluster, "killed", 4, waiting=[2]))
    wait_for(process, *started(cluster, 2))
    worker = worker_of(cluster, "killed", 2)
    kernels = kernels_of(worker)
    worker.kill()
    assert all_gone(kernels)
    go_on(cluster)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("0 of 4 points finished before, 4 to run;")
    assert "\n4 of 4 points finished." in out
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["[1", "[2", "[3", "[4"]
    parent, children = family(cluster, "killed")
    assert statuses(children) == once_each(4) | {("k=2", "KILLED"): 1}
    (lost,) = (run for run in children if run.info.status == "KILLED")
    assert lost.data.tags["error"] == "its process died"
    workers = {run.data.tags["mflib.pid"] for run in children}
    assert str(worker.pid) in workers
    assert len(workers) > 1
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["mflib.pid"] == str(process.pid) not in workers


def test_a_point_that_fails_keeps_no_other_from_running_and_is_run_again(cluster):
    """Also without the cluster."""
    arguments = sweep(cluster, "failing", 2)
    (cluster.project.root / "failing 1").touch()
    failed = cluster.project.mflib(*arguments)
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "FAILED: k=1: AssertionError: as it was told to" in failed.stdout
    (cluster.project.root / "failing 1").unlink()
    again = cluster.project.mflib(*arguments[:2])
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("1 of 2 points finished before, 1 to run;")
    assert statuses(family(cluster, "failing")[1]) == once_each(2) | {("k=1", "FAILED"): 1}


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_the_points_end_on_the_workers_too_and_the_same_command_goes_on(cluster, number):
    experiment = number.name.lower()
    arguments = sweep(cluster, experiment, 3, waiting=[1, 2])
    process = cluster.project.start(*arguments)
    wait_for(process, *started(cluster, 1, 2))
    kernels = [kernel for k in (1, 2) for kernel in kernels_of(worker_of(cluster, experiment, k))]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == ((130, "") if number == signal.SIGINT else (-number, ""))
    assert all_gone(kernels)
    if number == signal.SIGINT:
        parent, children = family(cluster, experiment)
        assert statuses(children) == {("k=1", "KILLED"): 1, ("k=2", "KILLED"): 1}
        assert parent.info.status == "KILLED"
    go_on(cluster)
    again = cluster.project.mflib(*arguments)
    assert (again.returncode, again.stderr) == (0, "")
    _, children = family(cluster, experiment)
    assert statuses(children) == once_each(3) | {("k=1", "KILLED"): 1, ("k=2", "KILLED"): 1}


def test_what_cannot_be_is_refused_with_2_and_a_line(cluster, monkeypatch, capsys):
    monkeypatch.setenv("MFLIB_ROOT", str(cluster.project.root))
    *arguments, address = sweep(cluster, "refused", 1)
    assert cli.main([*arguments, address, "--jobs", "2"]) == 2
    assert cli.main([*arguments, "tcp://127.0.0.1:1"]) == 2
    assert cli.main([*arguments, "nonsense"]) == 2
    with monkeypatch.context() as patch:
        patch.setattr("mflib.__version__", "9.9.9")
        assert cli.main([*arguments, address]) == 2
    both, nobody, nonsense, versions = capsys.readouterr().err.splitlines()
    assert both.startswith("mflib: --jobs and --cluster: leave one out")
    assert nobody.startswith(
        "mflib: --cluster tcp://127.0.0.1:1: no scheduler of Dask answers there within 5 s;"
    )
    assert nonsense.startswith("mflib: --cluster nonsense: expected tcp://HOST:PORT or tls://HOST:PORT;")
    assert versions.count("instead of 9.9.9") == 2
    assert re.match(rf"mflib: --cluster {address}: .*worker tcp://127\.0\.0\.1:\d+ has mflib 0\.", versions)
    assert cluster.project.client().get_experiment_by_name("refused") is None


def test_the_address_of_a_worker_is_told_from_that_of_its_scheduler(cluster):
    with sweep_cluster.connected(cluster.address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    for address in [*workers, *(worker["nanny"] for worker in workers.values())]:
        with (
            pytest.raises(InputError, match="of Dask, not its scheduler, answers there; give the address"),
            sweep_cluster.connected(address),
        ):
            pass


def test_a_worker_with_other_versions_that_comes_after_the_check_ends_the_sweep(cluster, monkeypatch, capsys):
    monkeypatch.setenv("MFLIB_ROOT", str(cluster.project.root))
    monkeypatch.setattr("mflib.__version__", "9.9.9")
    monkeypatch.setattr(sweep_cluster, "check", lambda client, store: None)
    assert cli.main(list(sweep(cluster, "late", 3))) == 2
    said = rf"mflib: --cluster {cluster.address}: worker tcp://\S+ has mflib \S+ instead of 9\.9\.9; the same"
    assert re.match(said, capsys.readouterr().err)
    parent, children = family(cluster, "late")
    assert (parent.info.status, children) == ("FAILED", [])


def test_without_dask_it_says_what_to_install(cluster, monkeypatch, capsys):
    monkeypatch.setenv("MFLIB_ROOT", str(cluster.project.root))
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "mflib.runs.sweep_cluster")
    monkeypatch.delattr("mflib.runs.sweep_cluster")
    assert cli.main(list(sweep(cluster, "refused", 1))) == 2
    assert capsys.readouterr().err == "mflib: --cluster needs Dask: pip install 'mflib[cluster]'\n"


def test_a_store_that_a_worker_cannot_reach_is_named_with_the_worker_and_no_password(cluster):
    with sweep_cluster.connected(cluster.address) as client, pytest.raises(InputError) as refused:
        sweep_cluster.check(client, Store("http://me:secret@127.0.0.1:1", None))
    said = str(refused.value)
    worker = r"worker tcp://127\.0\.0\.1:\d+ cannot reach http://127\.0\.0\.1:1: .*[Rr]efused"
    assert re.search(f"{worker}; {worker}", said)
    assert "start `mlflow server`" in said
    assert "MLFLOW_TRACKING_URI" in said
    assert "secret" not in said


def test_a_worker_that_does_not_share_the_folders_says_so(project, monkeypatch):
    store = open_store()
    artifacts = str(store.artifacts)
    with sweep_cluster._marker(store) as marker:
        assert sweep_task.obstacle(store.uri, artifacts, marker) == ""
    shared = f"does not share the folder {artifacts} with this machine"
    assert sweep_task.obstacle(store.uri, artifacts, marker) == shared
    assert not list(store.artifacts.iterdir())
    monkeypatch.setenv("MFLIB_ROOT", artifacts)
    assert "has no notebooks/" in sweep_task.obstacle(store.uri, artifacts, artifacts)


def test_the_check_of_a_worker_does_not_import_mlflow():
    """What the check at the start does, in a process of its own."""
    code = (
        "import sys; from mflib import versions; from mflib.runs import sweep_task; "
        "versions.installed('MLflow'); sweep_task.obstacle('', None, None); print('mlflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.soak
def test_the_scheduler_killed_is_said_the_runs_are_ended_and_the_same_command_goes_on(cluster):
    """The last on this cluster, which comes back at the same address."""
    arguments = sweep(cluster, "headless", 3, waiting=[2, 3])
    process = cluster.project.start(*arguments)
    wait_for(process, *started(cluster, 2, 3))
    kernels = [kernel for k in (2, 3) for kernel in kernels_of(worker_of(cluster, "headless", k))]
    cluster.end(signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    gone = f"mflib: the scheduler {cluster.address} is gone; the same command goes on where it stopped\n"
    assert (process.returncode, err) == (1, gone)
    assert all_gone(kernels)
    parent, children = family(cluster, "headless")
    assert statuses(children) == {("k=1", "FINISHED"): 1, ("k=2", "KILLED"): 1, ("k=3", "KILLED"): 1}
    assert parent.info.status == "FAILED"
    go_on(cluster)
    cluster.start(cluster.address.rpartition(":")[2])
    again = cluster.project.mflib(*arguments)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("1 of 3 points finished before, 2 to run;")
    _, children = family(cluster, "headless")
    assert statuses(children) == once_each(3) | {("k=2", "KILLED"): 1, ("k=3", "KILLED"): 1}


@contextmanager
def dask_alone(project, workers, **env):
    """A scheduler and workers that nobody starts again, each a process; the address and the processes."""
    place = project.root / "scheduler.json"
    place.unlink(missing_ok=True)
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(place)]
    begin = lambda *arguments: subprocess.Popen(  # noqa: E731
        [sys.executable, "-m", "dask", *arguments, *common],
        env=project.environment(**env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    processes = [begin("scheduler", "--port", "0")]
    try:
        wait_for(processes[0], place)
        processes += [begin("worker", "--no-nanny", "--nthreads", "1") for _ in range(workers)]
        address = re.search(r'"address": "([^"]+)"', place.read_text())[1]
        yield address, processes
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@contextmanager
def given_up_soon(project, workers=2, **env):
    """Workers that Dask gives up after 8 s without a sign of life."""
    cluster = Cluster.__new__(Cluster)
    cluster.project = project
    env["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = "8s"
    with dask_alone(project, workers, **env) as (address, processes):
        cluster.address, cluster.processes = address, processes
        yield cluster


def comes_back(cluster, worker):
    """A worker that was stopped goes on: it finds itself cut off, and ends."""
    worker.send_signal(signal.SIGCONT)
    (back,) = (one for one in cluster.processes if one.pid == worker.pid)
    back.wait(timeout=60)


@pytest.mark.soak
def test_a_worker_that_is_given_up_and_comes_back_records_nothing_twice(shared_project):
    adopt_orphans()
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    with given_up_soon(shared_project) as cluster:
        process = shared_project.start(*sweep(cluster, "back", 3, waiting=[1]))
        (first,) = started(cluster, 1)
        wait_for(process, first)
        worker = worker_of(cluster, "back", 1)
        first.unlink()
        worker.send_signal(signal.SIGSTOP)
        wait_for(process, first)  # on the other worker
        go_on(cluster)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, ""), out
        comes_back(cluster, worker)
    parent, children = family(cluster, "back")
    assert statuses(children) == once_each(3) | {("k=1", "KILLED"): 1}
    assert parent.info.status == "FINISHED"
    assert not list((shared_project.root / "mlruns" / "unsent").iterdir())


RECORDING = {"PYTHONPATH": TAMPERING, "MFLIB_STOP_AT": "mflib.runs.clock:end_run"}


@pytest.mark.soak
def test_a_worker_that_was_about_to_record_its_point_when_it_was_given_up_does_not_keep_it(
    shared_project, tmp_path
):
    """It has looked whether the point is its own already: behind the record it looks again."""
    adopt_orphans()
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    with given_up_soon(shared_project, MFLIB_STOP_IN=str(tmp_path), **RECORDING) as cluster:
        process = shared_project.start(*sweep(cluster, "late record", 3))
        wait_for(process, tmp_path / "here")
        worker = psutil.Process(int((tmp_path / "here").read_text()))
        worker.send_signal(signal.SIGSTOP)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, ""), out
        before = statuses(family(cluster, "late record")[1])
        (tmp_path / "go").touch()
        comes_back(cluster, worker)
    _, children = family(cluster, "late record")
    assert statuses(children) == before
    assert Counter(run.info.status for run in children) == {"FINISHED": 3, "KILLED": 1}
    assert len({run.info.run_name for run in children if run.info.status == "FINISHED"}) == 3


@pytest.mark.soak
def test_a_worker_that_comes_back_and_dies_behind_its_record_leaves_one_finished_run_of_its_point(
    shared_project, tmp_path
):
    """Nobody looks again for it but the sweep."""
    adopt_orphans()
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    dies = {"MFLIB_STOP_IN": str(tmp_path), "MFLIB_DIE_AT": "mflib.runs.once:settle", **RECORDING}
    with given_up_soon(shared_project, 3, **dies) as cluster:
        process = shared_project.start(*sweep(cluster, "dies", 3, waiting=[3]))
        wait_for(process, tmp_path / "here", *started(cluster, 1, 2, 3))
        worker = psutil.Process(int((tmp_path / "here").read_text()))
        worker.send_signal(signal.SIGSTOP)
        finished_runs(cluster, "dies", 2)  # of the points 1 and 2
        (tmp_path / "go").touch()
        comes_back(cluster, worker)
        assert finished_runs(cluster, "dies", 3) != once_each(3)
        go_on(cluster)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), out
    _, children = family(cluster, "dies")
    finished = [run for run in children if run.info.status == "FINISHED"]
    assert statuses(finished) == once_each(3)
    assert str(worker.pid) not in {run.data.tags["mflib.pid"] for run in finished}


@pytest.mark.soak
def test_a_worker_that_is_retired_in_a_point_leaves_one_finished_run_of_it_and_none_that_runs(shared_project):
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    cluster = Cluster(shared_project, 2)
    process = shared_project.start(*sweep(cluster, "retired", 3, waiting=[1]))
    (first,) = started(cluster, 1)
    wait_for(process, first)
    worker = worker_of(cluster, "retired", 1)
    kernels = kernels_of(worker)
    first.unlink()
    with sweep_cluster.connected(cluster.address) as client:
        (address,) = (at for at, pid in client.run(os.getpid).items() if pid == worker.pid)
        assert [*client.retire_workers([address])] == [address]
    wait_for(process, first)  # on the other worker
    assert all_gone([worker, *kernels])
    go_on(cluster)
    out, err = process.communicate(timeout=300)
    cluster.end()
    assert (process.returncode, err) == (0, ""), out
    parent, children = family(cluster, "retired")
    assert statuses(children) == once_each(3) | {("k=1", "KILLED"): 1}
    (lost,) = (run for run in children if run.info.status == "KILLED")
    assert lost.data.tags["error"].startswith("stopped: its sweep was ended, or its worker cut off (cell ")
    assert parent.info.status == "FINISHED"


@pytest.mark.soak
def test_what_a_worker_had_complete_when_it_was_killed_is_handed_in_by_another(shared_project, tmp_path):
    adopt_orphans()
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    cluster = Cluster(shared_project, 2, MFLIB_STOP_IN=str(tmp_path), **RECORDING)
    process = shared_project.start(*sweep(cluster, "complete", 3))
    wait_for(process, tmp_path / "here")
    worker = psutil.Process(int((tmp_path / "here").read_text()))
    worker.kill()
    out, err = process.communicate(timeout=300)
    cluster.end()
    assert (process.returncode, err) == (0, ""), out
    _, children = family(cluster, "complete")
    assert statuses(children) == once_each(3)
    assert str(worker.pid) in {run.data.tags["mflib.pid"] for run in children}


@pytest.mark.soak
def test_a_point_that_kills_its_worker_again_and_again_fails_alone(shared_project):
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    cluster = Cluster(shared_project, 2, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
    arguments = sweep(cluster, "deadly", 3)
    (shared_project.root / "deadly 2").touch()
    struck = shared_project.mflib(*arguments)
    cluster.end()
    assert (struck.returncode, struck.stderr) == (1, "")
    assert "FAILED: k=2: every worker that ran it died, so it is not tried again" in struck.stdout
    expected = {("k=1", "FINISHED"): 1, ("k=3", "FINISHED"): 1, ("k=2", "KILLED"): 2}
    assert statuses(family(cluster, "deadly")[1]) == expected


@pytest.mark.soak
def test_twelve_points_on_three_workers_one_of_them_killed_are_twelve_finished_runs(shared_project, tmp_path):
    """On a tracking server, which the workers share."""
    from test_runs_server import Server

    adopt_orphans()
    shared_project.notebook("01_point", HERE, RECORD, parameters=DECLARED)
    server = Server(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    server.start()
    cluster = Cluster(shared_project, 3)
    arguments = sweep(cluster, "twelve", 12, waiting=[5])
    process = shared_project.start(*arguments, MLFLOW_TRACKING_URI=server.uri)
    try:
        wait_for(process, *started(cluster, 5))
        worker = worker_of(cluster, "twelve", 5, server.uri)
        kernels = kernels_of(worker)
        worker.kill()
        assert all_gone(kernels)
        go_on(cluster)
        out, err = process.communicate(timeout=500)
        assert (process.returncode, err) == (0, ""), out
        assert "\n12 of 12 points finished." in out
        _, children = family(cluster, "twelve", server.uri)
        assert statuses(children) == once_each(12) | {("k=5", "KILLED"): 1}
    finally:
        cluster.end()
        server.stop()
