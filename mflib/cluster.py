"""The descent of `descend` on a Dask cluster: ratings and U in blocks of users on workers, V here.

At each iteration V travels to the workers, and partial ∂V, losses and penalties are summed along a tree
which, like the blocks, is fixed by the data: the bits depend neither on the number of workers nor on who did
what. Where a worker takes arrays with it, the descent goes back to the last state that was kept here and
computes the same bits again.
"""

import time
from concurrent.futures import CancelledError

import numpy as np

from mflib import blocks, checkpoints, checks, descent
from mflib.objective import add_penalty, free_columns, weighted_products
from mflib.state import State
from mflib.training import by_count

try:
    from distributed import KilledWorker
except ImportError:
    raise ImportError("mflib.cluster needs Dask: pip install 'mflib[cluster]'") from None
from mflib import blocked_jobs, blocked_ratings
from mflib.blocked import Blocked, Workers
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

# Losses without a new state in between before it is no accident any more.
LOSSES = 10
# Bytes of the normal equations of items that a block works out at a time.
EQUATIONS = 1 << 26
# Seconds to wait for workers where there are none.
PATIENCE = 60


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
        few. The bits depend on it. By default one for each four million ratings, whatever the workers.
        RatingBlocks are cut already.
    gather : bool
        Whether the U of the result is an array here; else it is a `Blocked`, and stays on the workers.
    callback : callable, optional
        Called as `callback(row, U, V)`, once an iteration, where U is a `Blocked`: `U.gather()` fetches it.
    checkpoint : str or path, optional
        As for `mflib.descend`, written by this process.
    checkpoint_every : int
        After so many iterations the state is fetched and kept in this process, and written to `checkpoint`
        where that is given. What a worker takes with it costs at most so many iterations.

    Returns
    -------
    Descent
        Equal to that of `mflib.descend` to rounding; the same bits for any number of workers.

    Raises
    ------
    DivergenceError, TypeError, ValueError, OSError
        As by `mflib.descend`.
    RuntimeError
        Where a worker's versions of mflib, NumPy or Numba are not those of this process; all are named.
    ConnectionError
        Where the scheduler is gone, or workers are lost again and again; the message names the checkpoint.
    MemoryError
        Where a worker has no memory for its blocks; the message says how many blocks to try.

    Notes
    -----
    Each iteration V travels to each worker that has blocks, and one ∂V from each to another, or here. Beside
    the ratings, 16 bytes each with float32 and 8 bytes for each block and item, a worker holds its rows of U,
    V, and a ∂V for each block that is not yet added.

    Examples
    --------
    >>> from mflib import cluster, datasets, random_factors  # doctest: +SKIP
    >>> from distributed import Client  # doctest: +SKIP
    >>> ratings = datasets.planted(300, 200, 9000, n_factors=2, seed=0).ratings  # doctest: +SKIP
    >>> start = random_factors(ratings.shape, n_factors=2)  # doctest: +SKIP
    >>> client = Client("tcp://127.0.0.1:8786")  # doctest: +SKIP
    >>> result = cluster.descend(ratings, *start, "conjugate", client=client)  # doctest: +SKIP
    """
    settings = descent.checked_settings(rule, learning_rate, momentum, reg, reg_weighting, biases, scaling)
    limits = descent.checked_limits(iterations, patience, validation)
    if isinstance(ratings, RatingBlocks):
        blocked_jobs.check_start(ratings, U, V, biases, validation, n_blocks)
        edges = ratings.edges
    else:
        descent.check_start(ratings, U, V, biases, validation)
        n_blocks = None if n_blocks is None else checks.whole_number("n_blocks", n_blocks, 1)
        edges = blocks.cut(ratings.user_starts, n_blocks)
    training = BlockedTraining(Workers(client, edges), ratings, validation, settings)
    kept = _Kept(
        State.start(U if isinstance(U, Blocked) else U.copy(), V.copy()),
        checks.whole_number("checkpoint_every", checkpoint_every, 1),
    )
    if checkpoint is not None:
        start = U.gather() if isinstance(U, Blocked) else U
        about = checkpoints.about(settings, ratings, validation, start, V, training.workers.n_blocks)
        kept.place = checkpoints.Place(checkpoint, checkpoint_every, about)
        kept.state = kept.place.load(U, V, limits.iterations) or kept.state
    told = None if callback is None else _told_once(callback)

    while True:
        try:
            training.settle()
            state = kept.state.mapped(training.workers.scattered, np.copy)
            found = descent.follow(training, state, settings, limits, told, progress, kept)
            return found._replace(U=found.U.gather()) if gather else found
        except _Ours as error:
            raise error.__cause__ from None
        except (CancelledError, OSError, KilledWorker, MemoryError) as error:
            _see_whether_to_go_on(error, client, kept, checkpoint, training.workers.n_blocks)


class _Kept:
    """The last state that was fetched, from which a descent goes on where workers took arrays with them."""

    def __init__(self, state, every):
        self.state, self.every = state, every
        self.place = None
        self.losses = 0

    def __call__(self, state, last=False):
        if last and self.place is None:
            return
        self.state = state.mapped(Blocked.gather, np.copy)
        self.losses = 0
        if self.place is not None:
            _ours(self.place, self.state)


class _NoWorkers(OSError):
    """None has come within PATIENCE."""


class _Ours(Exception):
    """Around an error of this process, which is no loss of a worker."""


def _ours(function, *arguments):
    try:
        return function(*arguments)
    except (CancelledError, KilledWorker):  # a callback that gathers may find a worker lost
        raise
    except Exception as error:
        raise _Ours from error


def _told_once(callback):
    """The callback, not called again for iterations that are computed again: its answer is remembered."""
    answers = {}

    def told(row, U, V):
        iteration = int(row["iteration"])
        if iteration not in answers:
            answers[iteration] = _ours(callback, row, U, V)
        return answers[iteration]

    return told


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
        self.terms = blocks.Terms(
            ratings.n_ratings, settings["reg"], settings["reg_weighting"], settings["biases"]
        )
        self.b = self.terms.weights(ratings.item_counts)
        if isinstance(ratings, RatingBlocks):
            self.mean_square = ratings.mean_square
            return
        with np.errstate(over="ignore"):
            self.mean_square = float(np.mean(np.square(ratings.values, dtype=np.float64)))

    def settle(self):
        """Give blocks homes among the workers that there are, and send the ratings there."""
        client = self.workers.client
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise _NoWorkers from error
        _check_versions(client)
        self.workers.settle()
        self.sent, self.ahead = (None, None), (None, None, None)
        self.train, self.validating = (self._placed(r) for r in (self.ratings, self.validation))

    def _placed(self, ratings):
        if ratings is None:
            return None
        if isinstance(ratings, RatingBlocks):  # what is sent is where to read them
            return [
                source and self.workers.submit(b, blocked_ratings.both_orders, source)
                for b, source in enumerate(self.workers.scatter(ratings.sources()))
            ]
        edges = zip(self.workers.edges[:-1], self.workers.edges[1:], strict=True)
        parts = self.workers.scatter([blocks.part(ratings, *users) for users in edges])
        return [
            None if part is None else self.workers.submit(b, blocks.both_orders, part, ratings.shape[1])
            for b, part in enumerate(parts)
        ]

    def _sent(self, V):
        """V on the cluster: sent once, fetched by a worker from another."""
        if self.sent[0] is not V:
            self.sent = V, self.workers.client.scatter(V, hash=False)
        return self.sent[1]

    def evaluate(self, U, V):
        """E, J and both gradients, as `Objective.evaluate`."""
        workers, terms = self.workers, self.terms
        sums = workers.sum(workers.each(blocks.evaluate, self.train, U, self._sent(V), terms))
        grad_U = workers.like(U, workers.each(blocks.user_gradient, self.train, U, self._sent(V), terms))
        self.ahead = U, V, self._squares(U, V)  # while the client waits for the others
        E, penalty, grad_V = workers.client.gather(sums)
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
        sums = self.workers.each(blocks.loss_and_penalty, self.train, U, self._sent(V), self.terms)
        E, penalty = self.workers.total(sums)
        return E, E + self._penalty(penalty, V, V)

    def validation_rmse(self, U, V):
        """√E on the validation ratings; NaN where there are none."""
        if self.validation is None:
            return np.nan
        known = self.ahead[0] is U and self.ahead[1] is V
        future = self.ahead[2] if known else self._squares(U, V)
        self.ahead = None, None, None
        return float(np.sqrt(self.workers.client.gather(future)[0] / self.validation.n_ratings))

    def _squares(self, U, V):
        """Σ Δ² of the validation ratings, on the way; None where there are none."""
        if self.validation is None:
            return None
        V = self._sent(V)
        return self.workers.sum(
            None if block is None else self.workers.submit(b, blocks.squares, block, own, V)
            for b, (block, own) in enumerate(zip(self.validating, U.futures, strict=True))
        )

    def along(self, U, V, P, Q):
        """The coefficients of J along a line, as `Objective.along`."""
        there = self.workers.client.scatter(Q, hash=False)
        sums = self.workers.each(
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
            return self.workers.like(
                U, self.workers.each(blocks.user_step, self.train, U, self._sent(V), self.terms)
            )
        ridge, step = self.terms.reg * self.b.astype(np.float64), np.empty_like(V)
        n_rows = max(1, EQUATIONS // (V.shape[1] * (V.shape[1] + 1) * V.itemsize))
        for first in range(0, len(V), n_rows):
            rows = slice(first, min(first + n_rows, len(V)))
            step[rows] = self._item_step(U, V, rows, ridge[rows])
        return step

    def _item_step(self, U, V, rows, ridge):
        """`block_step` of some rows of V."""
        sums = self.workers.each(
            blocks.item_equations, self.train, U, self._sent(V), rows.start, rows.stop, self.terms
        )
        equations = self.workers.sum(sums)
        del sums
        step = self.workers.submit(0, blocks.item_step, equations, V[rows], ridge, self.terms, priority=10)
        return self.workers.client.gather(step)


def _check_versions(client):
    """That all workers compute with what this process would compute with."""
    own = blocks.versions()
    different = []
    for worker, found in sorted(client.run(blocks.versions, on_error="return").items()):
        if isinstance(found, OSError):  # it is gone
            raise found
        if not isinstance(found, dict):
            different.append(f"worker {worker} cannot import mflib ({type(found).__name__}: {found})")
            continue
        wrong = [f"{name} {found.get(name)} instead of {version}" for name, version in own.items()
                 if found.get(name) != version]  # fmt: skip
        if wrong:
            different.append(f"worker {worker} has {', '.join(wrong)}")
    if different:
        raise RuntimeError(
            f"client and workers must have the same versions: {'; '.join(different)}. Install the same "
            "requirements.txt on all of them"
        )


def _see_whether_to_go_on(error, client, kept, checkpoint, n_blocks):
    """Return where a descent can begin again from the state that was kept; else raise what a person needs."""
    if isinstance(error, MemoryError | KilledWorker):
        raise MemoryError(
            f"a worker has no memory for what it was given ({type(error).__name__}: {error}): "
            f"use n_blocks={2 * n_blocks} or more, or workers with more memory"
        ) from error
    kept.losses += 1
    where = (
        "no checkpoint was given, so its work is lost" if checkpoint is None
        else f"the checkpoint {checkpoint} holds iteration {kept.state.iteration}: the same call continues"
    )  # fmt: skip
    try:
        gone = client.status != "running" or not client.scheduler_info(n_workers=-1)
    except (OSError, RuntimeError):
        gone = True
    if gone:
        raise ConnectionError(f"the scheduler is gone, and with it what the workers held; {where}") from error
    if isinstance(error, _NoWorkers):
        raise ConnectionError(f"no worker has come within {PATIENCE} s; {where}") from error
    if kept.losses > LOSSES:
        raise ConnectionError(
            f"workers were lost {kept.losses} times since iteration {kept.state.iteration}; {where}"
        ) from error
    time.sleep(0.2)  # until the scheduler has noticed all that are gone
