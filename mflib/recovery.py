"""How a descent on a cluster goes on where workers come and go, and what it says where it cannot."""

import time
import traceback
from concurrent.futures import CancelledError

import numpy as np
from dask.utils import format_bytes
from distributed import Client, KilledWorker

from mflib import versions, waiting
from mflib.blocked import Blocked
from mflib.descent import HISTORY, Descent

# What `client` raises where a worker has taken with it what was asked for, or is gone itself.
LOST = (CancelledError, OSError, KilledWorker, MemoryError)
# What a task raises on a worker of other versions, from which it cannot even be read.
STRANGE = (RuntimeError, ImportError, AttributeError)
# Losses without a new state in between before it is no accident any more.
LOSSES = 10
# Of a worker's memory limit: above it Dask gives a worker no more to do, so a descent would stand still.
USABLE = 0.8
# Bytes of a worker's process, with kernels and the readers of files, before it has any data.
PROCESS = 300_000_000


class Grown(Exception):
    """There are workers without a block while others have several."""


class Ours(Exception):
    """Around an error of this process, which is no loss of a worker."""


def ours(function, *arguments):
    """function(*arguments), whose errors come as `Ours`, except where it finds a worker lost."""
    try:
        return function(*arguments)
    except (CancelledError, KilledWorker, waiting.NoWorkers, waiting.Paused):
        raise
    except Exception as error:
        raise Ours from error


def told_once(callback):
    """The callback, not called again for iterations that are computed again: its answer is remembered."""
    answers = {}

    def told(row, U, V):
        iteration = int(row["iteration"])
        if iteration not in answers:
            answers[iteration] = ours(callback, row, U, V)
        return answers[iteration]

    return told


class Kept:
    """The last state that was fetched, from which a descent goes on where workers took arrays with them.

    Parameters
    ----------
    state : State
        Of arrays of this process.
    every : int
        After so many iterations the state is fetched; workers that have come since are then given blocks.
    workers : Workers
    """

    def __init__(self, state, every, workers):
        self.state, self.every, self.workers = state, every, workers
        self.place = None
        self.losses = 0

    def __call__(self, state, last=False):
        if last and self.place is None:
            return
        self.state = state.mapped(Blocked.gather, np.copy)
        self.losses = 0
        if self.place is not None:
            ours(self.place, self.state)
        if not last and self.workers.grown():
            raise Grown

    def interrupted(self):
        """What a Ctrl-C leaves while nothing is on the workers: this state."""
        U, V = (self.state.U, self.state.V) if self.state.best is None else self.state.best
        U = U.gather() if isinstance(U, Blocked) else U
        return Descent(U, V, np.array(list(self.state.rows), dtype=HISTORY), "interrupted")

    def where(self):
        """Where the work is that has been done."""
        if self.place is None:
            return "no checkpoint was given, so its work is lost"
        if self.state.iteration == 0:
            return f"the checkpoint {self.place.path} holds nothing yet: the same call begins anew"
        return (
            f"the checkpoint {self.place.path} holds iteration {self.state.iteration}: "
            "the same call continues"
        )


def check_client(client):
    """That it is one to which tasks can be given, and that waits for their results."""
    if not isinstance(client, Client):
        raise TypeError(
            f"client must be a distributed.Client, got {type(client).__name__}: "
            "client = Client(address) connects to a cluster"
        )
    if client.asynchronous:
        raise TypeError(
            "client must be a Client that waits for its results, got one that is asynchronous, or a call "
            "from its own event loop: use Client(address) from another thread"
        )
    if client.status != "running":
        raise ConnectionError(f"client is not connected (it is {client.status}): give a new Client(address)")


def ready(client, *packages):
    """Wait until there is a worker, and see that all have our versions, of these packages too.

    Raises
    ------
    ConnectionError, MemoryError
        As by `waiting.for_a_worker`.
    RuntimeError
        As by `versions.check`.
    """
    check_client(client)
    waiting.for_a_worker(client)
    versions.check(client, *packages)


def scheduler_gone(client):
    """Whether the scheduler does not answer."""
    try:
        return client.status != "running" or not client.scheduler_info(n_workers=-1)
    except (OSError, RuntimeError):
        return True


class Room:
    """Whether the workers have memory for their blocks.

    Parameters
    ----------
    workers : Workers
    sizes : list of int
        Bytes that each block needs on its worker.
    use : str
        What to do to have another n_blocks: "use", or more.
    """

    def __init__(self, workers, sizes, use="use"):
        self.workers, self.sizes, self.use = workers, sizes, use
        self.limits = {}
        self.restarts = self._restarts()

    def check(self):
        """That each worker has memory for its blocks, before anything is sent.

        Raises
        ------
        Ours
            Around a MemoryError with the number of blocks and of workers that would do.
        """
        for worker, limit in self._limits().items():
            spans = zip(self.workers.homes, self.workers.spans, strict=True)
            own = [self.sizes[block] for home, span in spans if home == worker for block in span]
            if limit and own and sum(own) > _free(limit):
                raise Ours from MemoryError(
                    f"{len(own)} of {len(self.sizes)} blocks are for worker {worker} and need "
                    f"{format_bytes(sum(own))}; with a memory limit of {format_bytes(limit)} it has "
                    f"{format_bytes(_free(limit))} for data: {self._advice()}"
                )

    def see_restarts(self, error):
        """Raise MemoryError where Dask has ended a worker since the start for using too much."""
        if self._restarts() > self.restarts:
            limits = ", ".join(sorted({format_bytes(limit) for limit in self._limits().values() if limit}))
            raise MemoryError(
                f"a worker used more than its memory limit and was started anew (the limits are {limits}): "
                f"{self._advice(more=True)}"
            ) from error

    def see_paused(self, error, where):
        """Raise MemoryError where the error says that Dask has paused workers."""
        if isinstance(error, waiting.Paused):
            raise MemoryError(f"{error}: {self._advice(more=True)}; {where}") from error

    def _advice(self, more=False):
        """How many blocks and workers would do; more than there are where the estimate was too low."""
        limits, n_blocks = [limit for limit in self._limits().values() if limit], len(self.sizes)
        free = _free(min(limits)) if limits else 0
        if not free:
            return "use workers with more memory"
        n_workers = -(-sum(self.sizes) // free)  # if each had as much
        if more:
            n_workers = max(n_workers, min(2 * n_blocks, len(limits) + 1))
        n_blocks = max(n_workers, min(2 * n_blocks, len(limits)))
        return (
            f"{self.use} n_blocks={n_blocks} or more on {n_workers} such workers or more, "
            "or workers with more memory"
        )

    def _limits(self):
        """The memory limit of each worker, or of those there were last; 0 is no limit."""
        known = self.workers.client.scheduler_info(n_workers=-1)["workers"]
        self.limits = {worker: about["memory_limit"] for worker, about in known.items()} or self.limits
        return self.limits

    def _restarts(self):
        return len(self.workers.client.get_events("worker-restart-memory"))


def _free(limit):
    """Bytes of data that a worker can hold."""
    return max(0, int(USABLE * limit) - PROCESS)


def see_whether_to_go_on(error, client, kept, room):
    """Return where a descent can begin again from the state that was kept; else raise what a person needs."""
    traceback.clear_frames(error.__traceback__)  # or what they have stays on the workers with the error
    n_blocks = len(room.sizes)
    room.see_paused(error, kept.where())
    if isinstance(error, MemoryError | KilledWorker):
        raise MemoryError(
            f"a worker has no memory for what it was given ({type(error).__name__}: {error}): "
            f"{room.use} n_blocks={2 * n_blocks} or more, or workers with more memory"
        ) from error
    kept.losses += 1
    time.sleep(0.2)  # until the scheduler has noticed all that are gone, and heard why
    if scheduler_gone(client):
        raise ConnectionError(
            f"the scheduler is gone, and with it what the workers held; {kept.where()}"
        ) from error
    room.see_restarts(error)
    if isinstance(error, waiting.NoWorkers):
        raise ConnectionError(f"{error}; {kept.where()}") from error
    if kept.losses > LOSSES:
        raise ConnectionError(
            f"workers were lost {kept.losses} times since iteration {kept.state.iteration}; {kept.where()}"
        ) from error
