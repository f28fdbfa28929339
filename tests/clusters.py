"""Small Dask clusters of real processes, and a descent on them."""

import contextlib
import os
import subprocess
import sys
import time

import dask
import numpy as np
import psutil
from distributed import Client

from mflib import cluster, datasets, local_cluster, random_factors

# every rule, scaling and kind of step once
RULES = {
    "plain": {"learning_rate": 1.0, "scaling": "count"},
    "exact": {"rule": "plain", "reg_weighting": "sqrt"},
    "momentum": {"rule": "momentum", "learning_rate": 20.0},
    "nesterov": {"rule": "nesterov", "learning_rate": 10.0},
    "conjugate": {"rule": "conjugate", "reg_weighting": "plain"},
    "block": {"rule": "conjugate", "scaling": "block"},
    "alternating": {"rule": "alternating"},
}
BLOCKS = 5


@contextlib.contextmanager
def local(config=(), **options):
    """A client of a scheduler and one worker; `scale` starts more. Nothing listens beyond loopback."""
    with dask.config.set(dict(config)), contextlib.ExitStack() as stack:
        started = stack.enter_context(local_cluster.started(**{"n_workers": 1} | options))
        try:
            with Client(started) as client:
                yield client
        finally:
            with contextlib.suppress(KeyError):  # Dask's own, where a worker leaves while it closes
                stack.close()


def scale(client, n):
    """Have n workers, all of which answer: one that a test before has killed may not be missed yet."""
    client.cluster.scale(n)
    client.wait_for_workers(n)
    while True:
        with contextlib.suppress(OSError):
            if len(client.run(os.getpid)) == n == len(client.scheduler_info(n_workers=-1)["workers"]):
                return
        time.sleep(0.01)


@contextlib.contextmanager
def lone_worker(client):
    """The process of one worker more, which nobody starts anew."""
    before = len(client.scheduler_info(n_workers=-1)["workers"])
    command = [sys.executable, "-m", "distributed.cli.dask_worker", client.scheduler.address]
    more = "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", "--no-dashboard"
    process = subprocess.Popen([*command, *more], stderr=subprocess.DEVNULL)
    try:
        client.wait_for_workers(before + 1, timeout=60)
        yield process
    finally:
        process.kill()
        process.wait(30)


def crowd(dask_worker):
    """For `client.run`: hold 88 % of the memory limit of a worker, in its process."""
    held = psutil.Process().memory_info().rss
    dask_worker.ballast = np.ones((int(0.88 * dask_worker.memory_manager.memory_limit) - held) // 8)


def relieve(dask_worker):
    """For `client.run`: give the memory back."""
    dask_worker.ballast = None


def wait_until(client, status, *workers):
    """Wait until Dask says so of these workers."""
    while {client.scheduler_info(n_workers=-1)["workers"][worker]["status"] for worker in workers} != {
        status
    }:
        time.sleep(0.02)


def problem(dtype=np.float64):
    """(train, validation, U, V), with users and items without ratings, and one user with many."""
    ratings = datasets.planted(60, 40, 1000, n_factors=2, noise=0.5, skew=1.0, seed=1).ratings
    ratings = ratings.subset((ratings.users != 30) & (ratings.users != 59) & (ratings.items != 4))
    train, validation, _ = ratings.split(0.3)
    start = random_factors(ratings.shape, 4, seed=2, scale=0.3, biases=True, dtype=dtype)
    return train.astype(dtype), validation.astype(dtype), *start


def options(name, **more):
    rule = {"rule": "plain", **RULES[name]}
    return {"iterations": 6, "reg": 0.05, "reg_weighting": "count", "biases": True, **rule, **more}


def distributed(client, name, dtype=np.float64, **more):
    train, _, U, V = problem(dtype)
    return cluster.descend(train, U, V, client=client, **{"n_blocks": BLOCKS, **options(name, **more)})
