"""`mflib cluster`, and what a descent says when its scheduler dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

pytest.importorskip("distributed")

from distributed import Client

from mflib import cluster, datasets, descend, get_num_threads, random_factors


@contextmanager
def started(*arguments):
    """`mflib cluster`, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mflib.cli", "cluster", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        line = process.stdout.readline()
        yield process, re.match(r"scheduler  (tcp://127\.0\.0\.1:\d+)  ", line).group(1), line
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def problem():
    ratings = datasets.planted(60, 40, 1000, n_factors=2, noise=0.5, seed=1).ratings
    return ratings, *random_factors(ratings.shape, 3, seed=2, scale=0.3)


@pytest.mark.soak  # half a minute, for which Dask waits for it to come back
def test_a_scheduler_that_is_killed_is_named_with_the_checkpoint_from_which_the_same_call_continues(tmp_path):
    path = tmp_path / "descent.npz"
    options = {"iterations": 12, "checkpoint": path, "checkpoint_every": 4, "n_blocks": 3}
    seen = []
    with started("--workers", "2") as (process, address, line):
        assert "(2 workers with " in line
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

        def kill(row, U, V):
            if row["iteration"] == 6:
                process.kill()
                process.wait()

        with Client(address) as client:
            threads = client.run(lambda: (get_num_threads(), os.getpid()))
            kept = f"{re.escape(str(path))} holds iteration 4: the same call continues"
            with pytest.raises(ConnectionError, match=f"the scheduler is gone.* {kept}"):
                cluster.descend(*problem(), "conjugate", client=client, callback=kill, **options)
        assert len({pid for _, pid in threads.values()}) == 2
        assert {number for number, _ in threads.values()} == {max(1, cores // 2)}
    with started("--workers", "1") as (process, address, _):
        with Client(address) as client:
            note = lambda row, U, V: seen.append(row["iteration"])  # noqa: E731
            found = cluster.descend(*problem(), "conjugate", client=client, callback=note, **options)
            whole = cluster.descend(*problem(), "conjugate", client=client, iterations=12, n_blocks=3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert seen == list(range(4, 13))
    np.testing.assert_array_equal(found.U, whole.U)
    np.testing.assert_array_equal(found.history["objective"], whole.history["objective"])
    np.testing.assert_allclose(found.U, descend(*problem(), "conjugate", iterations=12).U, rtol=1e-9)


def test_it_listens_on_loopback_alone_starts_a_killed_worker_anew_and_ends_by_ctrl_c_in_silence():
    """Ctrl-C of a terminal reaches all its processes at once."""
    with started("--workers", "2") as (process, address, _):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        with Client(address) as client:
            before = client.run(os.getpid)
            assert len(before) == 2
            assert set(client.run(lambda: __import__("multiprocessing").get_start_method()).values()) == {
                "spawn"
            }
            os.kill(min(before.values()), signal.SIGKILL)
            end = time.monotonic() + 60
            while len(after := client.run(os.getpid, on_error="ignore")) < 2 or after == before:
                assert time.monotonic() < end
                time.sleep(0.1)
        listening = [
            connection.laddr.ip
            for member in family if member.is_running()
            for connection in member.net_connections("inet") if connection.status == "LISTEN"
        ]  # fmt: skip
        assert len(listening) >= 4
        assert set(listening) == {"127.0.0.1"}
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert errors.endswith("ended\n")
        assert not psutil.wait_procs(family, timeout=30)[1]


PROGRAM = """
import os
import mflib, numba
from distributed import Client
from mflib import local_cluster

if __name__ == "__main__":
    with local_cluster.started(2, 3) as cluster, Client(cluster) as client:
        there = lambda: (mflib.get_num_threads(), os.environ["NUMBA_NUM_THREADS"])
        print(sorted(client.run(there).values()), "NUMBA_NUM_THREADS" in os.environ)
"""


def test_workers_have_the_threads_asked_for_also_where_the_program_uses_numba_which_keeps_its_own(tmp_path):
    (program := tmp_path / "program.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_NUM_THREADS"}
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert ended.stdout == "[(3, '3'), (3, '3')] False\n", ended.stderr


def test_more_workers_than_the_machine_can_bear_are_refused():
    command = [sys.executable, "-m", "mflib.cli", "cluster", "--port", "0", "--workers", "100000"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert re.search(r"--workers 100000: this machine has \d+ cores?; at most \d+", ended.stderr)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "mflib.cli", "cluster", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"--port {port}: address already in use; choose another" in ended.stderr
