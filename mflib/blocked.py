"""An array in blocks of rows on Dask workers, and sums over blocks along a tree that the blocks alone decide.

Who computes a block is a wish, so that its arrays stay where they are; any other worker may do it, with the
same bits.
"""

import uuid
from concurrent.futures import CancelledError
from itertools import groupby

import numpy as np

from mflib import arrays, blocks, versions

# Sums that are added at a time: each level of the tree is a message to the scheduler and back.
BRANCHES = 4


class Workers:
    """Tasks on the blocks of one descent.

    Parameters
    ----------
    client : distributed.Client
    edges : list of int
        From `blocks.cut`.
    """

    def __init__(self, client, edges):
        self.client, self.edges = client, edges
        self.homes, self.versions, self.asked = [], versions.installed(), {}

    @property
    def n_blocks(self):
        return len(self.edges) - 1

    def settle(self):
        """Give each block a home among the workers that there are now: neighbours together."""
        known = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        if not known:
            raise CancelledError("all workers are gone")
        self.homes = [known[b * len(known) // self.n_blocks] for b in range(self.n_blocks)]

    def grown(self):
        """Whether workers have come since that have no block, where others have several, and are ready.

        They are asked for their versions when they are first seen: until they have answered, they import.
        """
        known = set(self.client.scheduler_info(n_workers=-1)["workers"])
        new = known - set(self.homes)
        if not new or len(known & set(self.homes)) >= self.n_blocks:
            return False
        self.asked = {
            worker: self.asked.get(worker)
            or self.client.submit(versions.installed, workers=[worker], pure=False)
            for worker in new
        }
        return all(future.done() for future in self.asked.values())

    def submit(self, block, function, *arguments):
        """One task on behalf of a block."""
        return self._map(function, {block: arguments})[block]

    def each(self, function, *arguments):
        """A task for each block: of `Blocked` arguments and lists its own, of others the whole.

        None for a block of which an argument is None.
        """
        columns = [_futures(argument, self.n_blocks) for argument in arguments]
        rows = dict(enumerate(zip(*columns, strict=True)))
        found = self._map(function, {b: row for b, row in rows.items() if not any(A is None for A in row)})
        return [found.get(b) for b in rows]

    def _map(self, function, rows, priority=0):
        """A task for each row of arguments, by block: one message for all that have a home in common."""
        futures, run = {}, uuid.uuid4().hex
        for home, group in groupby(rows, lambda block: self.homes[block]):
            own = list(group)
            done = self.client.map(
                versions.checked,
                [self.versions] * len(own),
                [function] * len(own),
                *zip(*(rows[b] for b in own), strict=True),
                key=[f"{function.__name__}-{run}-{b}" for b in own],
                pure=False,
                workers=[home],
                allow_other_workers=True,
                priority=priority,
            )
            futures.update(zip(own, done, strict=True))
        return futures

    def scatter(self, parts):
        """Send each block its part, which is read-only there."""
        try:
            return [
                None if part is None else self.client.scatter(part, workers=[home], hash=False)
                for part, home in zip(parts, self.homes, strict=True)
            ]
        except KeyError as error:  # of the scheduler, which has just seen that worker go
            raise CancelledError(f"worker {error} is gone") from error

    def total(self, sums):
        """The sum of the tuples of all blocks, of numbers or of little more, added here."""
        return _along_the_tree(self.client.gather([part for part in sums if part is not None]), _added)

    def sum(self, sums):
        """The sum of the tuples of all blocks, on a worker; None where a block has nothing to add."""
        nodes = [(b, node) for b, node in enumerate(sums) if node is not None]
        return _along_the_tree(nodes, self._added)[1]

    def _added(self, groups):
        homes = [group[0][0] for group in groups]
        rows = [([node for _, node in group],) for group in groups]
        found = self._map(blocks.add, dict(zip(homes, rows, strict=True)), priority=10)
        return list(found.items())

    def scattered(self, U):
        """Send an array with a row for each user; one in blocks is there."""
        if isinstance(U, Blocked):
            return self.like(U, U.futures)
        parts = [U[first:after] for first, after in zip(self.edges[:-1], self.edges[1:], strict=True)]
        return Blocked(self, self.scatter(parts), U.shape, U.dtype)

    def like(self, U, futures):
        """Blocks of another array of the shape of U."""
        return Blocked(self, futures, U.shape, U.dtype)


class Blocked:
    """An array with a row for each user, in blocks on workers. Nothing changes it.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    futures : list of distributed.Future
        The blocks, in order.
    factor : float
        What is still to be multiplied with `unscaled`: a task less where a sum is next.
    made_anew : bool
        Whether Dask can compute a block again whose worker died, from nothing that was on a worker.
    """

    def __init__(self, workers, futures, shape, dtype, factor=1, made_anew=False):
        self.workers, self.unscaled, self.shape, self.dtype = workers, futures, shape, dtype
        self.factor, self.made_anew = factor, made_anew

    def __len__(self):
        return self.shape[0]

    @property
    def futures(self):
        if self.factor != 1:
            self.unscaled = self.workers.each(blocks.scale, self.unscaled, self.factor)
            self.factor = 1
        return self.unscaled

    def gather(self):
        """All of it, as an array here."""
        return np.concatenate(self.workers.client.gather(self.futures))


def _along_the_tree(nodes, added):
    """The one node that is left.

    Neighbours are added first, some at a time, then neighbouring sums: a tree that depends on the
    number of blocks alone, as the order of the additions does, and so the bits.
    """
    while len(nodes) > 1:
        groups = [nodes[place : place + BRANCHES] for place in range(0, len(nodes), BRANCHES)]
        alone = groups.pop() if len(groups[-1]) == 1 else []
        nodes = [*added(groups), *alone]
    return nodes[0]


def _added(groups):
    return [blocks.add(group) for group in groups]


def _futures(argument, n_blocks):
    if isinstance(argument, Blocked):
        return argument.futures
    return argument if isinstance(argument, list) else [argument] * n_blocks


@arrays.scale.register
def _(X: Blocked, a):
    return Blocked(X.workers, X.unscaled, X.shape, X.dtype, a * X.factor)


@arrays.combine.register
def _(X: Blocked, a, Y, b, out=None):
    terms = X.unscaled, a * X.factor, Y.unscaled, b * Y.factor
    return X.workers.like(X, X.workers.each(blocks.combine, *terms))


@arrays.dots.register
def _(X: Blocked, Y, *more):
    several = X, Y, *more
    factors = [A.factor * B.factor for A, B in zip(several[::2], several[1::2], strict=True)]
    sums = X.workers.total(X.workers.each(blocks.dots, *(A.unscaled for A in several)))
    return [factor * total for factor, total in zip(factors, sums, strict=True)]
