"""An array in blocks of rows on Dask workers, and sums over blocks along a tree that the blocks alone decide.

Who computes a block is a wish, so that its arrays stay where they are; any other worker may do it, with the
same bits.
"""

import uuid

import numpy as np

from mflib import arrays, blocks


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
        self.homes = [known[b * len(known) // self.n_blocks] for b in range(self.n_blocks)] if known else []

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
        return [
            None if part is None else self.client.scatter(part, workers=[home], hash=False)
            for part, home in zip(parts, self.homes, strict=True)
        ]

    def total(self, sums):
        """The sum of the tuples of all blocks, fetched; None where a block has nothing to add."""
        return self.client.gather(self.sum(sums))

    def sum(self, sums):
        """The sum of the tuples of all blocks, on a worker.

        Neighbours are added first, then neighbouring pairs: a tree that depends on the number of blocks
        alone, as the order of the additions does, and so the bits.
        """
        nodes = [(b, node) for b, node in enumerate(sums) if node is not None]
        del sums
        while len(nodes) > 1:
            pairs = [nodes[place : place + 2] for place in range(0, len(nodes), 2)]
            nodes = [
                (pair[0][0], self.submit(pair[0][0], blocks.add, pair[0][1], pair[1][1], priority=10))
                if len(pair) == 2
                else pair[0]
                for pair in pairs
            ]
        return nodes[0][1]

    def scattered(self, U):
        """Send an array with a row for each user."""
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
    """

    def __init__(self, workers, futures, shape, dtype):
        self.workers, self.futures, self.shape, self.dtype = workers, futures, shape, dtype

    def __len__(self):
        return self.shape[0]

    def gather(self):
        """All of it, as an array here."""
        return np.concatenate(self.workers.client.gather(self.futures))


def _futures(argument, n_blocks):
    if isinstance(argument, Blocked):
        return argument.futures
    return argument if isinstance(argument, list) else [argument] * n_blocks


@arrays.scale.register
def _(X: Blocked, a):
    return X.workers.like(X, X.workers.each(blocks.scale, X, a))


@arrays.combine.register
def _(X: Blocked, a, Y, b, out=None):
    return X.workers.like(X, X.workers.each(blocks.combine, X, a, Y, b))


@arrays.dot.register
def _(X: Blocked, Y):
    return X.workers.total(X.workers.each(blocks.dot, X, Y))[0]
