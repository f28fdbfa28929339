"""`mflib cluster`, and what a descent says when its scheduler dies."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("distributed")

from distributed import Client

from mflib import cluster, datasets, descend, random_factors


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


def test_a_scheduler_that_is_killed_is_named_with_the_checkpoint_from_which_the_same_call_continues(tmp_path):
    path = tmp_path / "descent.npz"
    options = {"iterations": 12, "checkpoint": path, "checkpoint_every": 4, "n_blocks": 3}
    seen = []
    with started("--workers", "2") as (process, address, line):
        assert "(2 workers with " in line

        def kill(row, U, V):
            if row["iteration"] == 6:
                process.kill()
                process.wait()

        with Client(address) as client:
            environment = client.run(lambda: (os.environ["NUMBA_NUM_THREADS"], os.getpid()))
            kept = f"{re.escape(str(path))} holds iteration 4: the same call continues"
            with pytest.raises(ConnectionError, match=f"the scheduler is gone.* {kept}"):
                cluster.descend(*problem(), "conjugate", client=client, callback=kill, **options)
        assert len({pid for _, pid in environment.values()}) == 2
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


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "mflib.cli", "cluster", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"--port {port}: address already in use; choose another" in ended.stderr
