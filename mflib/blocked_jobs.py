"""What workers do with ratings in blocks beside the descent: a start, errors, predictions."""

import os
import time
import traceback
import uuid
from concurrent.futures import CancelledError
from contextlib import contextmanager

import numpy as np
from distributed import KilledWorker

from mflib import blocked_ratings, checks, descent, labels, parts, recovery, sparse, versions, waiting
from mflib.blocked import Blocked, Workers
from mflib.blocked_ratings import RatingBlocks
from mflib.blocks import aligned
from mflib.folders import NewFolder


def random_factors(
    ratings, n_factors, seed=0, scale=0.1, mean=0.0, biases=False, dtype=np.float64, *, client
):
    """Random factors to start from, as `mflib.random_factors`, with U made in blocks by the workers.

    Parameters
    ----------
    ratings : RatingBlocks
    n_factors, seed, scale, mean, biases, dtype
        As for `mflib.random_factors`. Each block has a seed of its own, whoever makes it: the numbers depend
        on the blocks, not on the workers.
    client : distributed.Client

    Returns
    -------
    U : Blocked, shape (n_users, k), or (n_users, k + 2) with biases
    V : ndarray, shape (n_items, k), or (n_items, k + 2)

    Raises
    ------
    TypeError, ValueError
        Where an argument is out of its range.
    """
    check_blocks("ratings", ratings)
    recovery.ready(client)
    seed = checks.whole_number("seed", seed, 0)
    options = {"scale": scale, "mean": mean, "biases": biases, "dtype": dtype}
    own = [int(one.generate_state(1)[0]) for one in np.random.SeedSequence(seed).spawn(ratings.n_blocks + 1)]
    V = descent.random_factors((1, ratings.shape[1]), n_factors, own[-1], **options)[1]

    rows, own_versions = np.diff(ratings.edges).tolist(), versions.installed()
    # with no wish for a worker: Dask 2026.8 lets a task wait for ever that had one when all workers died
    futures = [
        client.submit(versions.checked, own_versions, _random_rows, *of_block, n_factors, options, pure=False)
        for of_block in zip(rows, own[:-1], strict=True)
    ]
    workers, shape = Workers(client, ratings.edges), (ratings.shape[0], V.shape[1])
    return Blocked(workers, futures, shape, V.dtype, made_anew=True), V


def _random_rows(n, seed, n_factors, options):
    return (descent.random_factors((n, 1), n_factors, seed, **options)[0],)


def evaluate(ratings, U, V, *, client):
    """Errors of the predictions u_i · v_j (E01) on ratings in blocks, by tasks on workers.

    Parameters
    ----------
    ratings : RatingBlocks
    U : ndarray or Blocked, shape (n_users, k)
    V : ndarray of the dtype of U, shape (n_items, k)
    client : distributed.Client

    Returns
    -------
    dict
        "rmse" and "mae" in rating points (`metrics`), "n_ratings". The same bits for any number of workers.

    Raises
    ------
    TypeError, ValueError
        Where U and V do not fit the ratings, or a block is missing or damaged.
    ConnectionError
        Where workers are lost again and again, or none is there for a minute.
    MemoryError
        Where workers die at a block, or Dask keeps them paused for a minute.
    """
    check_factors(ratings, U, V)

    def job(workers):
        return workers.total(workers.sums(_errors, *_arguments(workers, ratings, U, V)))

    squares, absolutes = carried_out(client, ratings.edges, job)
    N = ratings.n_ratings
    return {"rmse": float(np.sqrt(squares / N)), "mae": float(absolutes / N), "n_ratings": N}


def _errors(source, U, V):
    """Σ Δ² and Σ |Δ| of one block."""
    residual = sparse.residual(blocked_ratings.read(source), *aligned(U, V)).astype(np.float64)
    return float(np.sum(np.square(residual))), float(np.sum(np.abs(residual)))


def predict(ratings, U, V, folder, *, client):
    """Predictions u_i · v_j (E01) for the pairs of ratings in blocks, written by workers as Parquet.

    Parameters
    ----------
    ratings : RatingBlocks
    U : ndarray or Blocked, shape (n_users, k)
    V : ndarray of the dtype of U, shape (n_items, k)
    folder : str or path
        To be made, where this process and all workers see it: a file for each block, with the columns user,
        item (labels) and prediction, in rating points. It gets its name when it is complete.
    client : distributed.Client

    Returns
    -------
    list of str
        The files, which `dask.dataframe.read_parquet` reads; the same bytes for any number of workers.

    Raises
    ------
    FileExistsError
        Where the folder is there and not empty.
    OSError
        Where a file cannot be written.
    TypeError, ValueError, ConnectionError, MemoryError
        As by `evaluate`.
    """
    check_factors(ratings, U, V)
    with NewFolder(folder) as made:

        def job(workers):
            tasks = workers.each(_write, *_arguments(workers, ratings, U, V), made.partial)
            return [name for (name,) in waiting.gathered(client, tasks) if name is not None]

        names = carried_out(client, ratings.edges, job)
        made.complete(names.__contains__)
    return [os.path.join(made.path, name) for name in names]


def _write(source, U, V, folder):
    """Predict the pairs of one block; the name of the file."""
    import pyarrow as pa
    from pyarrow import parquet

    ratings, where = blocked_ratings.read(source), source.folder
    predictions = sparse.predict_pairs(*aligned(U, V), ratings.users, ratings.items)
    items = labels.of_arrays("items", parts.read(os.path.join(where, blocked_ratings.ITEMS))[1])
    table = {
        "user": blocked_ratings.users(where, source.block).take(pa.array(ratings.users)),
        "item": items.take(pa.array(ratings.items)),
        "prediction": pa.array(predictions),
    }
    name = f"part-{source.block:05d}.parquet"
    temporary = os.path.join(folder, f".mflib-{uuid.uuid4().hex}")
    try:
        parquet.write_table(pa.table(table), temporary)
        os.replace(temporary, os.path.join(folder, name))
    except OSError as error:
        raise parts.FolderError(
            f"{temporary} cannot be written ({error}): all workers must see this folder, and have room"
        ) from None
    return name


def _arguments(workers, ratings, U, V):
    """What a task on blocks is given: the source of each, its rows of U, and V."""
    own = workers.scatter(ratings.sources()), workers.scattered(U)
    return *own, workers.client.scatter(V, hash=False)


def carried_out(client, edges, job):
    """job(workers), again where workers took with them what it needs."""
    for _ in range(recovery.LOSSES):
        try:
            return job(_settled(client, edges))
        except waiting.Paused as error:
            traceback.clear_frames(error.__traceback__)  # and the tasks are no more
            raise MemoryError(f"{error}: partition the ratings into more blocks") from error
        except KilledWorker as error:
            raise MemoryError(f"workers die at a block ({error}): partition the ratings into more") from None
        except (CancelledError, OSError) as error:
            if isinstance(error, parts.FolderError | ConnectionError):
                raise
            if recovery.scheduler_gone(client):
                raise ConnectionError("the scheduler is gone: begin anew on another cluster") from error
            lost = error
            time.sleep(0.2)  # until the scheduler has noticed all that are gone
    raise ConnectionError(f"workers, or the blocks of U, were lost {recovery.LOSSES} times") from lost


def _settled(client, edges):
    """Workers of our versions, with a home for each block."""
    recovery.ready(client)
    workers = Workers(client, edges)
    workers.settle(one_each=True)
    return workers


def check_blocks(name, value):
    """Check that `value` is RatingBlocks."""
    if not isinstance(value, RatingBlocks):
        raise TypeError(
            f"{name} must be RatingBlocks, got {type(value).__name__}: "
            "make them with cluster.partition, or open them with cluster.open_blocks"
        )


def check_factors(ratings, U, V):
    """Check that U, an array or `Blocked`, and V fit ratings in blocks."""
    check_blocks("ratings", ratings)
    if not isinstance(U, Blocked):
        checks.float_factors(U, V, ratings.shape)
        return
    if U.workers.edges != ratings.edges:
        raise ValueError(
            f"U is in blocks of other users: {len(U)} in {U.workers.n_blocks} blocks, the ratings are of "
            f"{ratings.shape[0]} in {ratings.n_blocks}. Use cluster.random_factors, or an array"
        )
    checks.float_factors(np.broadcast_to(np.zeros((), U.dtype), U.shape), V, ratings.shape)


def check_start(ratings, U, V, biases, validation, n_blocks):
    """Check where a descent on ratings in blocks is to begin, as `descent.check_start`."""
    if n_blocks is not None:
        raise ValueError("these ratings are in blocks already: leave n_blocks out, or partition them anew")
    check_factors(ratings, U, V)
    if empty := ratings.block_counts.count(0):
        raise ValueError(
            f"{empty} of {ratings.n_blocks} blocks have no rating, as blocks that were made like others may: "
            "partition these ratings by themselves to train on them"
        )
    found = _faults(U) if isinstance(U, Blocked) else [descent.faults(U, -1)]
    of_U = sum(not_finite for not_finite, _ in found), any(no_ones for _, no_ones in found)
    descent.check_entries(of_U, descent.faults(V, -2), biases)
    if validation is not None:
        check_blocks("validation", validation)
        if validation.like != ratings.digest:
            raise ValueError(
                "validation must have the users, items and blocks of the training ratings: "
                "make it with cluster.partition(..., like=ratings)"
            )


@contextmanager
def asking_for_U():
    """Within, say what to do where blocks of a U that is to be the start cannot be had."""
    try:
        yield
    except CancelledError:
        raise ConnectionError(
            "blocks of U are gone with their worker: begin from cluster.random_factors, or from an array"
        ) from None
    except (waiting.Paused, KilledWorker) as error:
        raise MemoryError(f"{error}: partition the ratings into more blocks") from error


def _faults(U):
    """`descent.faults` of all blocks."""
    client = U.workers.client
    with asking_for_U():
        found = waiting.gathered(client, [client.submit(_faults_of, rows) for rows in U.futures])
    return [one for several in found for one in several]


def _faults_of(several):
    return [descent.faults(rows, -1) for rows in several]
