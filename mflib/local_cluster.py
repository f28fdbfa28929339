"""`mflib cluster`: a scheduler and workers on this machine, for trying `mflib.cluster` out."""

import importlib.util
import os
import sys
import time
from contextlib import contextmanager

from mflib.runs.page import free_port
from mflib.runs.project import InputError
from mflib.runs.stop import Stop

_HOST = "127.0.0.1"
# A worker that was killed is started anew, however long a busy machine takes for it.
CONFIG = {
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.deploy.lost-worker-timeout": "10 minutes",
    # Dask lets a worker give back to the system, at each iteration, the pages of all arrays above 128 kB, and
    # get them anew: a fifth of its time. Now those of 16 MB at once, and of the others what exceeds 64 MB.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 1 << 26,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 1 << 24,
}
# Processes for each core, to try out what many workers do; each takes 0.2 GB.
PER_CORE = 8
# What a worker does at its start. Ctrl-C reaches all processes of a terminal or a notebook, and what to do
# is for the first. Where the program that starts workers has imported Numba, they have as well, too early for
# the environment to tell it the number of threads.
_WORKER = """
import signal, mflib
signal.signal(signal.SIGINT, signal.SIG_IGN)
mflib.set_num_threads({threads})
"""


@contextmanager
def started(n_workers, threads=1, **options):
    """A scheduler and workers, reachable from this machine alone, until the context ends.

    Parameters
    ----------
    n_workers : int
        Processes, each of which does one task of Dask at a time.
    threads : int
        Of the compiled loops in each.
    **options
        Of `distributed.LocalCluster`, which is yielded.

    Raises
    ------
    ImportError
        If Dask is not installed.
    """
    import dask
    from distributed import LocalCluster

    # without bokeh the dashboard serves only what monitors ask for
    options = {"host": _HOST, "dashboard_address": f"{_HOST}:0"} | options
    # the environment is for what workers start, as the kernels of a sweep
    options |= {"env": {"NUMBA_NUM_THREADS": str(threads)}, "preload": _WORKER.format(threads=threads)}
    with (
        dask.config.set(CONFIG),
        LocalCluster(n_workers=n_workers, threads_per_worker=1, processes=True, **options) as cluster,
    ):
        yield cluster


def serve(workers: int | None, port: int) -> int:
    """Keep a scheduler and workers, reachable from this machine alone, until Ctrl-C.

    Parameters
    ----------
    workers : int or None
        Processes, each of which works on one block at a time; by default one for each two cores.
    port : int
        Of 127.0.0.1; 0 takes a free one.

    Returns
    -------
    int
        0 after Ctrl-C.

    Raises
    ------
    InputError
        If Dask is not installed, or its settings of TLS are wrong, the port is taken, or the workers are too
        many for this machine.
    """
    try:
        from mflib.runs.scheduler import see_tls
    except ImportError:
        raise InputError("mflib cluster needs Dask: pip install 'mflib[cluster]'") from None

    see_tls("scheduler", "worker", "client")
    port = free_port(port)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers, most = workers or max(1, cores // 2), PER_CORE * cores
    if workers > most:
        raise InputError(
            f"--workers {workers}: this machine has {cores} cores; at most {most}, or it is lost"
        )
    threads = max(1, cores // workers)
    dashboard = importlib.util.find_spec("bokeh") is not None
    # a thread of Dask for each worker: the compiled loops have threads of their own, so many that no core
    # is asked for twice
    with Stop() as stop, started(workers, threads, scheduler_port=port) as cluster:
        each = f"{threads} thread{'s' if threads > 1 else ''} each"
        print(f"scheduler  {cluster.scheduler_address}  ({workers} workers with {each})")
        print(f"dashboard  {cluster.dashboard_link if dashboard else 'none: pip install bokeh'}")
        print(f'in Python  client = distributed.Client("{cluster.scheduler_address}")')
        print("           mflib.cluster.descend(…, client=client)")
        print(f"sweeps     mflib sweep PARAMS.yaml --cluster {cluster.scheduler_address}")
        print("Ctrl-C ends it.", flush=True)
        while not stop.asked:
            time.sleep(0.1)
    print("ended", file=sys.stderr)
    return 0
