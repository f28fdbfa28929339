"""An array in blocks of rows on Dask workers, and sums over blocks along a tree that the blocks alone decide.

Who computes a block is a wish, so that its arrays stay where they are; any other worker may do it, with the
same bits.
"""

import uuid
from concurrent.futures import CancelledError

import numpy as np

from mflib import arrays, blocks

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
        self.homes = []

    @property
    def n_blocks(self):
        return len(self.edges) - 1

    def settle(self):
        """Give each block a home among the workers that there are now: neighbours together."""
        known = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        if not known:
            raise CancelledError("all workers are gone")
        self.homes = [known[b * len(known) // self.n_blocks] for b in range(self.n_blocks)]

    def submit(self, block, function, *arguments, priority=0):
        """One task on behalf of a block."""
        return self.client.submit(
            function,
            *arguments,
            key=f"{function.__name__}-{uuid.uuid4().hex}",
            pure=False,
            workers=[self.homes[block]],
            allow_other_workers=True,
            priority=priority,
        )

    def each(self, function, *arguments):
        """A task for each block: of `Blocked` arguments and lists its own, of others the whole."""
        columns = [_futures(argument, self.n_blocks) for argument in arguments]
        return [self.submit(b, function, *own) for b, own in enumerate(zip(*columns, strict=True))]

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
        """The sum of the tuples of all blocks, fetched; None where a block has nothing to add."""
        return self.client.gather(self.sum(sums))

    def sum(self, sums):
        """The sum of the tuples of all blocks, on a worker.

        Neighbours are added first, some at a time, then neighbouring sums: a tree that depends on the
        number of blocks alone, as the order of the additions does, and so the bits.
        """
        nodes = [(b, node) for b, node in enumerate(sums) if node is not None]
        while len(nodes) > 1:
            groups = [nodes[place : place + BRANCHES] for place in range(0, len(nodes), BRANCHES)]
            nodes = [(group[0][0], self._added([node for _, node in group], group[0][0])) for group in groups]
        return nodes[0][1]

    def _added(self, nodes, block):
        return nodes[0] if len(nodes) == 1 else self.submit(block, blocks.add, *nodes, priority=10)

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
    """

    def __init__(self, workers, futures, shape, dtype, factor=1):
        self.workers, self.unscaled, self.shape, self.dtype = workers, futures, shape, dtype
        self.factor = factor

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
