"""The descent of `descend` on a Dask cluster: ratings and U in blocks of users on workers, V here.

At each iteration V travels to the workers, and partial ∂V, losses and penalties are summed along a tree
which, like the blocks, is fixed by the data: the bits depend neither on the number of workers nor on who did
what. Where a worker takes arrays with it, the descent goes back to the last state that was kept here and
computes the same bits again.
"""

import itertools
from collections import deque

import numpy as np

from mflib import blocks, checkpoints, checks, descent, versions, waiting
from mflib.objective import add_penalty, free_columns, weighted_products
from mflib.state import State
from mflib.training import by_count

try:
    from mflib import recovery
except ImportError:
    raise ImportError("mflib.cluster needs Dask: pip install 'mflib[cluster]'") from None
from mflib import blocked_jobs, blocked_ratings
from mflib.blocked import Blocked, Workers, at_once
from mflib.blocked_jobs import evaluate, predict, random_factors
from mflib.blocked_ratings import RatingBlocks, open_blocks
from mflib.partition import partition

__all__ = [
    "Blocked",
    "RatingBlocks",
    "descend",
    "evaluate",
    "open_blocks",
    "partition",
    "predict",
    "random_factors",
]

# Bytes of the normal equations that a worker sums at a time, where V does not have more.
EQUATIONS = 1 << 23
# Such pieces that are asked for at a time: a worker that waits for others holds its sums of no more.
AHEAD = 4


def descend(
    ratings,
    U,
    V,
    rule="plain",
    *,
    client,
    n_blocks=None,
    gather=True,
    learning_rate=None,
    iterations=100,
    momentum=0.9,
    reg=0.0,
    reg_weighting="plain",
    biases=False,
    scaling=None,
    validation=None,
    patience=None,
    callback=None,
    progress=False,
    checkpoint=None,
    checkpoint_every=20,
):
    """Descend as `mflib.descend` does, on the workers of a Dask cluster.

    Parameters
    ----------
    ratings : Ratings or RatingBlocks
        In this process, or in blocks that workers read (`cluster.partition`).
    U : ndarray or Blocked, shape (n_users, k)
        A `Blocked`, as of `cluster.random_factors`, for RatingBlocks alone.
    V, rule, learning_rate, iterations, momentum, reg, reg_weighting, biases, scaling
        As for `mflib.descend`.
    validation, patience, progress
        As for `mflib.descend`; the validation ratings lie in blocks of the same users: RatingBlocks are
        partitioned `like` the training ones.
    client : distributed.Client
        Connected to the cluster.
    n_blocks : int, optional
        Into how many blocks of users the ratings are cut, about equal in ratings; fewer where users are too
        few. The bits depend on it. By default a power of two, with eight million ratings at most in
        each, whatever the workers. RatingBlocks are cut already.
    gather : bool
        Whether the U of the result is an array here; else it is a `Blocked`, and stays on the workers.
    callback : callable, optional
        Called as `callback(row, U, V)`, once an iteration, where U is a `Blocked`: `U.gather()` fetches it.
    checkpoint : str or path, optional
        As for `mflib.descend`, written by this process.
    checkpoint_every : int
        After so many iterations the state is fetched and kept in this process, and written to `checkpoint`
        where that is given. What a worker takes with it costs at most so many iterations, and workers that
        have come are given blocks then.

    Returns
    -------
    Descent
        Equal to that of `mflib.descend` to rounding; the same bits for any number of workers. (With
        "alternating" or the scaling "block", and reg=0, an item of fewer ratings than k has many steps as
        good, and takes another one here.) Ctrl-C returns what there is; while ratings are sent, at first or
        again, that is the state that was kept last, in arrays
        whatever `gather` is.

    Raises
    ------
    DivergenceError, TypeError, ValueError, OSError
        As by `mflib.descend`.
    RuntimeError
        Where a worker's versions of mflib, NumPy or Numba are not those of this process, also if it comes
        later; all are named.
    ConnectionError
        Where the scheduler is gone, or workers are lost again and again; the message names the checkpoint.
    MemoryError
        Where a worker has no memory for its blocks; the message says how many blocks are needed.

    Notes
    -----
    Each iteration V travels to each worker that has blocks, and one ∂V from each to another, or here, where
    each has 1, 2, 4, … blocks; else two or more (`tree`). Beside the ratings, 16 bytes each with float32 and
    8 bytes for each block and item, a worker holds its rows of U, V, and a ∂V for each doubling of its
    blocks; of more than four workers every fourth also what it adds.

    Examples
    --------
    >>> from mflib import cluster, datasets, random_factors  # doctest: +SKIP
    >>> from distributed import Client  # doctest: +SKIP
    >>> ratings = datasets.planted(300, 200, 9000, n_factors=2, seed=0).ratings  # doctest: +SKIP
    >>> start = random_factors(ratings.shape, n_factors=2)  # doctest: +SKIP
    >>> client = Client("tcp://127.0.0.1:8786")  # doctest: +SKIP
    >>> result = cluster.descend(ratings, *start, "conjugate", client=client)  # doctest: +SKIP
    """
    recovery.check_client(client)
    settings = descent.checked_settings(rule, learning_rate, momentum, reg, reg_weighting, biases, scaling)
    limits = descent.checked_limits(iterations, patience, validation)
    if isinstance(ratings, RatingBlocks):
        recovery.ready(client)
        blocked_jobs.check_start(ratings, U, V, biases, validation, n_blocks)
        edges = ratings.edges
    else:
        if isinstance(U, Blocked):
            raise TypeError("U must be an array where the ratings are in this process: give U.gather()")
        descent.check_start(ratings, U, V, biases, validation)
        n_blocks = None if n_blocks is None else checks.whole_number("n_blocks", n_blocks, 1)
        edges = blocks.cut(ratings.user_starts, n_blocks)
    training = BlockedTraining(Workers(client, edges), ratings, validation, settings)
    checkpoint_every = checks.whole_number("checkpoint_every", checkpoint_every, 1)
    if not isinstance(U, Blocked):
        start = U.copy()
    else:  # what a worker that dies would take with it is fetched
        with blocked_jobs.asking_for_U():
            start = U if U.made_anew and checkpoint is None else U.gather()
    kept = recovery.Kept(State.start(start, V.copy()), checkpoint_every, training.workers)
    if checkpoint is not None:
        about = checkpoints.about(settings, ratings, validation, start, V, training.workers.edges)
        kept.place = checkpoints.Place(checkpoint, checkpoint_every, about)
        kept.state = kept.place.load(U, V, limits.iterations) or kept.state
    told = None if callback is None else recovery.told_once(callback)

    def begin():
        training.settle()
        state = kept.state.mapped(training.workers.scattered, np.copy)
        return descent.follow(training, state, settings, limits, told, progress, kept)

    try:
        with at_once(client):
            return _went_on(begin, gather, training, kept)
    except KeyboardInterrupt:  # nothing is computed now: ratings are sent, or a result is fetched
        return kept.interrupted()


def _went_on(begin, gather, training, kept):
    """What `begin` finds, begun again from the state that was kept where workers come or go."""
    client = training.workers.client
    while True:
        found = None
        try:
            found = begin()
            return found._replace(U=found.U.gather()) if gather else found
        except recovery.Grown:
            pass
        except recovery.Ours as error:
            raise error.__cause__ from None
        except recovery.LOST as error:
            if found is not None and found.stopped_because == "interrupted":
                return kept.interrupted()
            if isinstance(error, MemoryError):
                training.release()  # whoever keeps the error has this process keep them too
            recovery.see_whether_to_go_on(error, client, kept, training.room)
        except recovery.STRANGE:
            versions.check(client, where=kept.where())
            raise


class BlockedTraining:
    """What a descent asks of its data (`training.Training`), with the ratings in blocks on workers.

    Parameters
    ----------
    workers : Workers
    ratings : Ratings
    validation : Ratings or None
    settings : dict
        From `descent.checked_settings`.
    """

    def __init__(self, workers, ratings, validation, settings):
        self.workers, self.ratings, self.validation = workers, ratings, validation
        self.train = None
        self.terms = blocks.Terms(
            ratings.n_ratings, settings["reg"], settings["reg_weighting"], settings["biases"]
        )
        self.b = self.terms.weights(ratings.item_counts)
        if isinstance(ratings, RatingBlocks):
            counts, dtype, self.mean_square = ratings.block_counts, ratings.dtype, ratings.mean_square
            use = "partition the ratings anew with"
        else:
            counts, dtype, use = np.diff(ratings.user_starts[workers.edges]), ratings.values.dtype, "use"
            with np.errstate(over="ignore"):
                self.mean_square = float(np.mean(np.square(ratings.values, dtype=np.float64)))
        sizes = blocks.sizes(counts, workers.edges, ratings.shape[1], dtype)
        self.room = recovery.Room(workers, sizes, use)

    def settle(self):
        """Give blocks homes among the workers that there are, and send the ratings there."""
        client = self.workers.client
        waiting.for_a_worker(client)
        versions.check(client)
        self.workers.settle()
        if self.train is None:
            self.room.check()
        self.release()  # or workers would hold both
        self.train, self.validating = (self._placed(r) for r in (self.ratings, self.validation))

    def release(self):
        """Leave the workers nothing of the ratings, nor of what was computed last."""
        self.sent, self.ahead, self.next_step = (None, None), (None, None, None), (None, None, None)
        self.train = self.validating = None

    def _placed(self, ratings):
        if ratings is None:
            return None
        if isinstance(ratings, RatingBlocks):  # what is sent is where to read them
            return self.workers.each(blocked_ratings.both_orders, self.workers.scatter(ratings.sources()))
        edges = zip(self.workers.edges[:-1], self.workers.edges[1:], strict=True)
        parts = self.workers.scatter([blocks.part(ratings, *users) for users in edges])
        return self.workers.each(blocks.both_orders, parts, ratings.shape[1])

    def _sent(self, V):
        """V on the cluster: sent once, fetched by a worker from another."""
        if self.sent[0] is not V:
            self.sent = V, self.workers.client.scatter(V, hash=False)
        return self.sent[1]

    def evaluate(self, U, V):
        """E, J and both gradients, as `Objective.evaluate`."""
        workers, terms = self.workers, self.terms
        sums = workers.sums(blocks.evaluate, self.train, U, self._sent(V), terms)
        # ∂V first, for it has a way to go: a worker begins with either where V is what both wait for
        rows = workers.each(blocks.user_gradient, self.train, U, self._sent(V), terms, after=sums)
        sums, grad_U = workers.few(sums), workers.like(U, rows)
        self.ahead = U, V, self._squares(U, V)  # while the client waits for the others
        E, penalty, grad_V = workers.total(sums)
        grad_V = np.array(grad_V)  # what Dask has received may be read-only
        if terms.reg:
            free = free_columns(terms.biases)[1]
            add_penalty(grad_V, V, self.b, free, terms.reg, terms.N)
        if terms.biases:
            grad_V[:, -2] = 0
        return E, E + self._penalty(penalty, V, V), grad_U, grad_V

    def _penalty(self, of_U, V, Q):
        """λ/N times the products of U that are known and those of V."""
        if not self.terms.reg:
            return 0
        free = free_columns(self.terms.biases)[1]
        return self.terms.reg * weighted_products(V, Q, self.b, free, of_U) / self.terms.N

    def loss_and_objective(self, U, V):
        """E (E04) and J (E16)."""
        sums = self.workers.sums(blocks.loss_and_penalty, self.train, U, self._sent(V), self.terms)
        # what "alternating" does next, while the client waits
        self.next_step = U, V, self._user_step(U, V, after=sums)
        E, penalty = self.workers.total(sums)
        return E, E + self._penalty(penalty, V, V)

    def validation_rmse(self, U, V):
        """√E on the validation ratings; NaN where there are none."""
        if self.validation is None:
            return np.nan
        known = self.ahead[0] is U and self.ahead[1] is V
        squares = self.ahead[2] if known else self._squares(U, V)
        self.ahead = None, None, None
        return float(np.sqrt(self.workers.total(squares)[0] / self.validation.n_ratings))

    def _squares(self, U, V):
        """Σ Δ² of the validation ratings, on the way; None where there are none."""
        if self.validation is None:
            return None
        return self.workers.sums(blocks.squares, self.validating, U, self._sent(V))

    def along(self, U, V, P, Q):
        """The coefficients of J along a line, as `Objective.along`."""
        there = self.workers.client.scatter(Q, hash=False)
        sums = self.workers.sums(
            blocks.along, self.train, U, self._sent(V), P.unscaled, P.factor, there, self.terms
        )
        coefficients, (constant, slope, square) = self.workers.total(sums)
        penalties = (
            self._penalty(constant, V, V), 2 * self._penalty(slope, V, Q), self._penalty(square, Q, Q), 0, 0,
        )  # fmt: skip
        return coefficients + np.array(penalties)

    def by_count(self, grad_U, grad_V):
        """Each row of the gradients over its number of ratings; the pair."""
        rows = self.workers.each(blocks.by_count, self.train, grad_U, self.terms.N)
        return [self.workers.like(grad_U, rows), by_count(grad_V, self.ratings.item_counts, self.terms.N)]

    def block_step(self, U, V, of):
        """The step of one factor that makes its gradient zero (E17), the other staying."""
        if of == "U":
            known = self.next_step[0] is U and self.next_step[1] is V
            step = self.next_step[2] if known else self._user_step(U, V)
            self.next_step = None, None, None
            return step
        ridge = self.terms.reg * self.b.astype(np.float64)
        n_rows = max(1, 2 * max(EQUATIONS, V.nbytes) // (V.shape[1] * (V.shape[1] + 3) * V.itemsize))
        pieces = [(first, min(first + n_rows, len(V))) for first in range(0, len(V), n_rows)]
        homes = itertools.cycle(self.workers.homes)  # each solves some
        steps, ahead = [], deque()
        for piece in pieces:
            if len(ahead) == AHEAD:
                steps += waiting.gathered(self.workers.client, [ahead.popleft()])
            ahead.append(self._item_step(next(homes), U, self._sent(V), *piece, ridge))
        return np.concatenate(steps + waiting.gathered(self.workers.client, list(ahead)))

    def _user_step(self, U, V, after=None):
        """`block_step` of U, on the way."""
        rows = self.workers.each(blocks.user_step, self.train, U, self._sent(V), self.terms, after=after)
        return self.workers.like(U, rows)

    def _item_step(self, home, U, V, first, after, ridge):
        """`block_step` of the rows of V from `first` to `after`, on the way."""
        workers, terms = self.workers, self.terms
        sums = workers.few(workers.sums(blocks.item_equations, self.train, U, V, first, after, terms))
        rows, ridge = (first, after), ridge[first:after]
        return workers.submit(home, blocks.item_step, workers.n_blocks, sums, V, *rows, ridge, terms)
