"""Waiting for what workers compute, though not for ever where there are none, or Dask has paused them."""

import asyncio
import time

# Seconds to wait for workers where there are none, or none that may go on.
PATIENCE = 60
# How often is looked, in that time, whether there are.
LOOKS = 10
# What a paused worker still brings to an end: the states of its tasks.
GOES_ON = "executing", "long-running", "flight"


class NoWorkers(ConnectionError):
    """None has come within PATIENCE."""

    def __init__(self):
        super().__init__(f"no worker has come within {PATIENCE} s: start one")


class Paused(MemoryError):
    """Workers that are needed have stayed paused for PATIENCE."""

    def __init__(self, workers):
        which = f"worker {workers[0]} is" if len(workers) == 1 else f"workers {', '.join(workers)} are"
        super().__init__(
            f"{which} paused by Dask, near the memory limit, and nothing has gone on for {PATIENCE} s"
        )


def running(workers):
    """Those to which Dask gives tasks, of the "workers" of its scheduler_info."""
    return sorted(worker for worker, about in workers.items() if about["status"] == "running")


def for_a_worker(client):
    """Wait until there is a worker that is not paused.

    Raises
    ------
    NoWorkers, Paused
        Where there is none within PATIENCE.
    """
    deadline = time.monotonic() + PATIENCE
    while not running(workers := client.scheduler_info(n_workers=-1)["workers"]):
        if time.monotonic() > deadline:
            raise _reason(workers) or NoWorkers()
        time.sleep(0.1)


def gathered(client, futures):
    """The results of a list of futures, as `client.gather`, and at its cost.

    Raises
    ------
    NoWorkers, Paused
        Where nothing that this client has asked for goes on for PATIENCE seconds, because there is no worker,
        or because those that have its tasks are paused. Whoever is slow is waited for.
    """
    return client.sync(_watched, client, futures)


async def _watched(client, futures):
    results = asyncio.ensure_future(client.gather(futures, asynchronous=True))
    stands, n_done = None, 0
    try:
        while True:
            await asyncio.wait([results], timeout=PATIENCE / LOOKS)
            if results.done():
                return results.result()
            n_before, n_done = n_done, sum(future.done() for future in futures)
            reason = await _standstill(client) if n_before == n_done < len(futures) else None
            if reason is None:
                stands = None
            elif stands is None:
                stands = time.monotonic()
            elif time.monotonic() - stands >= PATIENCE:
                raise reason
    finally:
        results.cancel()


async def _standstill(client):
    """Why nothing goes on that this client waits for; None where something does."""

    def given(wanted_by, dask_scheduler):  # in a function, so that it is sent whole: Dask alone is there
        """Workers that have what this client wants to do, or what that depends on, which it need not want."""
        tasks, seen, workers = [*dask_scheduler.clients[wanted_by].wants_what], set(), set()
        while tasks:
            task = tasks.pop()
            if task not in seen and task.state not in ("memory", "erred"):
                seen.add(task)
                tasks += task.dependencies
                if task.processing_on is not None:
                    workers.add(task.processing_on.address)
        return list(workers)

    try:
        workers = (await client.scheduler.identity(n_workers=-1))["workers"]
        own = workers.keys() & set(await client.run_on_scheduler(given, client.id))
    except (OSError, RuntimeError, KeyError):  # of a scheduler that is gone: Dask says so to whoever waits
        return None
    for worker in own:
        counts = workers[worker]["metrics"].get("task_counts", {})
        if workers[worker]["status"] != "paused" or any(counts.get(state) for state in GOES_ON):
            return None
    return _reason({worker: workers[worker] for worker in own} or workers)


def _reason(workers):
    """What is wrong with workers of which none goes on; None where it is nothing that is known here."""
    if not workers:
        return NoWorkers()
    paused = [worker for worker, about in sorted(workers.items()) if about["status"] == "paused"]
    return Paused(paused) if len(paused) == len(workers) else None
