"""An array in blocks of rows on Dask workers, and sums over blocks along a tree that the blocks alone decide.

Who computes a block is a wish, so that its arrays stay where they are; any other worker may do it, with the
same bits.
"""

import uuid
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import groupby

import numpy as np

from mflib import arrays, blocks, tree, versions, waiting

# Sums that are added at a time on a worker, and here.
BRANCHES = 4
# Seconds for which a message to the scheduler may wait for others.
AT_ONCE = 5e-4


@contextmanager
def at_once(client):
    """Let tasks go to the scheduler when they are asked for: a descent waits for each of them.

    By itself Dask's client holds them up to 10 ms, to send many together: a third of a short iteration.
    """
    stream = client.scheduler_comm
    if stream is None:  # the scheduler is gone: who asks it for something says so
        yield
        return
    before, stream.interval = stream.interval, AT_ONCE
    try:
        yield
    finally:
        stream.interval = before


class Workers:
    """Tasks on the blocks of one descent: one for all neighbours that a worker has.

    What such a task returns, and what it takes, is a tuple with one entry for each of its blocks.

    Parameters
    ----------
    client : distributed.Client
    edges : list of int
        From `blocks.cut`.

    Attributes
    ----------
    spans : list of range
        The blocks of each task.
    homes : list of str
        The worker for each span.
    """

    def __init__(self, client, edges):
        self.client, self.edges = client, edges
        self.spans = [range(b, b + 1) for b in range(self.n_blocks)]  # until they have homes
        self.homes, self.versions, self.asked = [], versions.installed(), {}

    @property
    def n_blocks(self):
        return len(self.edges) - 1

    def settle(self, one_each=False):
        """Give each block a home among the workers that there are now, neighbours together.

        Parameters
        ----------
        one_each : bool
            Whether each block has a task of its own: for one that is long, and done once.
        """
        known = waiting.running(self.client.scheduler_info(n_workers=-1)["workers"])
        if not known:
            raise CancelledError("all workers are gone, or paused")
        place = lambda block: block * len(known) // self.n_blocks  # noqa: E731
        groups = groupby(range(self.n_blocks), None if one_each else place)
        found = [list(group) for _, group in groups]
        self.spans = [range(group[0], group[-1] + 1) for group in found]
        self.homes = [known[place(span[0])] for span in self.spans]

    def grown(self):
        """Whether workers have come since that have no block, where others have several, and are ready.

        They are asked for their versions when they are first seen: until they have answered, they import.
        """
        known = set(waiting.running(self.client.scheduler_info(n_workers=-1)["workers"]))
        new = known - set(self.homes)
        if not new or len(known & set(self.homes)) >= self.n_blocks:
            return False
        self.asked = {
            worker: self.asked.get(worker)
            or self.client.submit(versions.installed, workers=[worker], pure=False)
            for worker in new
        }
        return all(future.done() for future in self.asked.values())

    def submit(self, home, function, *arguments, name=None, after=None):
        """One task, at that home where it is alive; after another one, if that is given."""
        name = name or function.__name__
        if after is not None:
            function, arguments = tree.later, (after, function, *arguments)
        return self.client.submit(
            versions.checked,
            self.versions,
            function,
            *arguments,
            key=f"{name}-{uuid.uuid4().hex}",
            pure=False,
            workers=[home],
            allow_other_workers=True,
            fifo_timeout="0 s",  # in the order of asking: what others wait for is asked first
        )

    def each(self, function, *arguments, after=None):
        """A task for each span: function of each block.

        Of `Blocked` arguments and of lists a block is given its own entry, of others the whole; the result is
        None for a block of which an argument is None. `after` are tasks for each span, and done before.
        """
        return self._each(function, arguments, lambda span: (tree.each_block, function), after)

    def sums(self, function, *arguments):
        """As `each`, but the tuples that function returns are added where a worker has their blocks."""
        return self._each(
            function, arguments, lambda span: (tree.summed, function, self.n_blocks, span.start)
        )

    def _each(self, function, arguments, begin, after=None):
        own = [isinstance(argument, Blocked | list) for argument in arguments]
        columns = [_futures(argument, len(self.spans)) for argument in arguments]
        after = after or [None] * len(self.spans)
        return [
            self.submit(home, *begin(span), own, *row, name=function.__name__, after=before)
            for span, home, before, *row in zip(self.spans, self.homes, after, *columns, strict=True)
        ]

    def scatter(self, parts):
        """Send each block its part, which is read-only there."""
        try:
            return [
                # in a list, because Dask would send the entries of a tuple one by one
                self.client.scatter([tuple(parts[b] for b in span)], workers=[home], hash=False)[0]
                for span, home in zip(self.spans, self.homes, strict=True)
            ]
        except KeyError as error:  # of the scheduler, which has just seen that worker go
            raise CancelledError(f"worker {error} is gone") from error

    def few(self, sums):
        """No more `sums` than BRANCHES: added on workers, neighbours first, so that no link carries all."""
        homes = self.homes
        while len(sums) > BRANCHES:
            groups = range(0, len(sums), BRANCHES)
            homes = [homes[place] for place in groups]
            sums = [
                self.submit(home, tree.merged, self.n_blocks, sums[place : place + BRANCHES])
                for home, place in zip(homes, groups, strict=True)
            ]
        return sums

    def total(self, sums):
        """The sum of the tuples of all blocks, from `sums` or `few` of them, here."""
        return tree.total(self.n_blocks, waiting.gathered(self.client, sums))

    def scattered(self, U):
        """Send an array with a row for each user; one in blocks is there."""
        if not isinstance(U, Blocked):
            parts = [U[first:after] for first, after in zip(self.edges[:-1], self.edges[1:], strict=True)]
            return Blocked(self, self.scatter(parts), U.shape, U.dtype)
        futures, spans = U.futures, U.spans
        if spans != self.spans:
            futures = [
                self._picked(home, span, futures, spans)
                for span, home in zip(self.spans, self.homes, strict=True)
            ]
        return self.like(U, futures)

    def _picked(self, home, span, futures, spans):
        """The blocks of a span from those of others."""
        near = [
            place for place, other in enumerate(spans) if other.start < span.stop and span.start < other.stop
        ]
        skip = span.start - spans[near[0]].start
        return self.submit(home, blocks.picked, [futures[place] for place in near], skip, len(span))

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
        Tuples of blocks, in order.
    spans : list of range
        Of which blocks.
    factor : float
        What is still to be multiplied with `unscaled`: a task less where a sum is next.
    made_anew : bool
        Whether Dask can compute a block again whose worker died, from nothing that was on a worker.
    """

    def __init__(self, workers, futures, shape, dtype, factor=1, made_anew=False):
        self.workers, self.unscaled, self.shape, self.dtype = workers, futures, shape, dtype
        self.spans, self.factor, self.made_anew = workers.spans, factor, made_anew

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
        spans = waiting.gathered(self.workers.client, self.futures)
        return np.concatenate([rows for span in spans for rows in span])


def _futures(argument, n_spans):
    if isinstance(argument, Blocked):
        return argument.futures
    return argument if isinstance(argument, list) else [argument] * n_spans


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
    sums = X.workers.total(X.workers.sums(blocks.dots, *(A.unscaled for A in several)))
    return [factor * total for factor, total in zip(factors, sums, strict=True)]
