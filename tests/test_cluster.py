"""The descent on real schedulers and workers: as on one machine, the same bits for any number of workers."""

import contextlib
import os
import signal
import threading

import numpy as np
import pytest

pytest.importorskip("distributed")

import clusters
from clusters import BLOCKS, RULES, distributed, options, problem, scale
from problems import assert_same_bits

from mflib import (
    DivergenceError,
    Ratings,
    blocked,
    blocks,
    cluster,
    descend,
    normal,
    random_factors,
    sparse,
)

MALLOC = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"


@pytest.fixture(scope="module")
def local():
    """A scheduler and one worker; `scale` starts more. Nothing listens beyond loopback."""
    with clusters.local() as client:
        yield client


@pytest.fixture(scope="module")
def on_one_worker(local):
    """Each rule's descent, and the same with validation, on one worker."""
    scale(local, 1)
    return {name: distributed(local, name, validation=problem()[1]) for name in RULES}


@pytest.mark.parametrize("name", RULES)
def test_the_result_is_that_of_one_machine_to_rounding(on_one_worker, name):
    train, validation, U, V = problem()
    expected, found = descend(train, U, V, **options(name, validation=validation)), on_one_worker[name]
    np.testing.assert_allclose(found.U, expected.U, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.V, expected.V, rtol=1e-9, atol=1e-10)
    for field in ("iteration", "loss", "objective", "validation_rmse"):
        np.testing.assert_allclose(found.history[field], expected.history[field], rtol=1e-10)
    assert found.history["validation_rmse"][-1] < found.history["validation_rmse"][0]
    assert found.stopped_because == expected.stopped_because


def test_the_bits_are_the_same_for_any_number_of_workers(local, on_one_worker, monkeypatch):
    """For two of them as well: those of the tests that kill one. And where sums are added on workers."""
    scale(local, 3)
    for name, expected in on_one_worker.items():
        assert_same_bits(distributed(local, name, validation=problem()[1]), expected)
    monkeypatch.setattr(blocked, "BRANCHES", 2)  # as with more than four workers
    for name in ("momentum", "alternating"):
        assert_same_bits(distributed(local, name, validation=problem()[1]), on_one_worker[name])


def test_normal_equations_in_pieces_give_the_same_bits_and_few_are_asked_for_at_a_time(
    local, on_one_worker, monkeypatch
):
    scale(local, 2)
    original, asked, most = cluster.BlockedTraining._item_step, [], []

    def item_step(training, *arguments):
        most.append(1 + sum(not step.done() for step in asked))
        asked.append(original(training, *arguments))
        return asked[-1]

    monkeypatch.setattr(cluster.BlockedTraining, "_item_step", item_step)
    monkeypatch.setattr(cluster, "EQUATIONS", 0)  # pieces as large as V: 5
    monkeypatch.setattr(cluster, "AHEAD", 2)
    found = distributed(local, "alternating", validation=problem()[1])
    assert_same_bits(found, on_one_worker["alternating"])
    assert len(asked) == 5 * 6
    assert max(most) == 2


def killer(client, at, how_many=1):
    """A callback that kills so many workers at these iterations, once each."""
    killed = []

    def callback(row, U, V):
        if row["iteration"] in at and row["iteration"] not in killed:
            killed.append(row["iteration"])
            for pid in sorted(client.run(os.getpid).values())[:how_many]:
                os.kill(pid, signal.SIGKILL)

    callback.killed = killed
    return callback


@pytest.mark.parametrize("name", ["conjugate", "alternating"])
def test_a_worker_killed_in_mid_descent_changes_no_bit(local, on_one_worker, name):
    scale(local, 2)
    callback = killer(local, {2, 5})
    found = distributed(local, name, validation=problem()[1], callback=callback, checkpoint_every=3)
    assert_same_bits(found, on_one_worker[name])
    assert callback.killed == [2, 5]


def test_all_workers_killed_at_once_change_no_bit(local, on_one_worker):
    scale(local, 2)
    callback = killer(local, {4}, how_many=2)
    found = distributed(local, "momentum", validation=problem()[1], callback=callback, checkpoint_every=3)
    assert_same_bits(found, on_one_worker["momentum"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_dtypes_are_kept(local, dtype):
    train, _, U, V = problem(dtype)
    found = distributed(local, "conjugate", dtype)
    expected = descend(train, U, V, **options("conjugate"))
    assert (found.U.dtype, found.V.dtype) == (dtype, dtype)
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(found.U, expected.U, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=tolerance)


def test_the_callback_is_called_once_an_iteration_with_U_that_can_be_fetched(local):
    """Also where what it would fetch has just been lost."""
    scale(local, 2)
    seen, fetched, killed = [], [], []
    (pid, *_) = local.run(os.getpid).values()

    def callback(row, U, V):
        if row["iteration"] == 1 and not killed:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)
        fetched.append(U.gather())
        seen.append(int(row["iteration"]))
        return seen[-1] == 4

    found = distributed(local, "momentum", callback=callback)
    assert seen == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(fetched[-1], found.U)
    assert (found.stopped_because, len(found.history)) == ("callback", 5)


def test_patience_ends_a_descent_as_on_one_machine(local):
    train, validation, U, V = problem()
    more = {"validation": validation, "patience": 2, "reg": 0.0, "iterations": 40}
    found = distributed(local, "momentum", **more | {"learning_rate": 20.0})
    expected = descend(train, U, V, **options("momentum", **more | {"learning_rate": 20.0}))
    assert found.stopped_because == expected.stopped_because == "patience"
    assert len(found.history) == len(expected.history) < 41
    np.testing.assert_allclose(found.U, expected.U, rtol=1e-9, atol=1e-10)


def test_U_stays_on_the_workers_where_it_is_asked_to(local):
    found = distributed(local, "plain", gather=False, iterations=2)
    assert isinstance(found.U, cluster.Blocked)
    assert found.U.shape == (60, 6)
    np.testing.assert_array_equal(found.U.gather(), distributed(local, "plain", iterations=2).U)


def test_ctrl_c_returns_what_there_is(local):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        begin = lambda row, U, V: timer.start() if row["iteration"] == 2 else None  # noqa: E731
        found = distributed(local, "plain", iterations=100_000, learning_rate=0.001, callback=begin)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.stopped_because == "interrupted"
    assert np.all(np.isfinite(found.U))
    assert len(found.history) > 2


def test_workers_outlive_a_ctrl_c_that_reaches_all_processes_of_a_terminal_or_notebook(local):
    scale(local, 2)
    pids = local.run(os.getpid)
    for pid in pids.values():
        os.kill(pid, signal.SIGINT)
    distributed(local, "plain")
    assert local.run(os.getpid) == pids


def test_a_checkpoint_goes_on_with_the_same_bits_and_is_of_its_blocks(local, tmp_path, monkeypatch):
    path = tmp_path / "descent.npz"

    class Crash(Exception):
        pass

    def crash(row, U, V):
        if row["iteration"] == 5:
            raise Crash

    kept = {"checkpoint": path, "checkpoint_every": 2}
    for name in ("conjugate", "momentum"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with pytest.raises(Crash):
            distributed(local, name, callback=crash, **kept)
        seen = []
        found = distributed(local, name, callback=lambda row, U, V: seen.append(row["iteration"]), **kept)  # noqa: B023
        assert seen == [4, 5, 6]
        assert_same_bits(found, distributed(local, name))
    with pytest.raises(ValueError, match="n_blocks was 5 and is 2"):
        distributed(local, "momentum", n_blocks=2, **kept)
    monkeypatch.setattr(blocks, "cut", lambda starts, n: [0, 1, 2, 3, 4, 60])  # as many, others
    with pytest.raises(ValueError, match="cut into other blocks"):
        distributed(local, "momentum", **kept)


def test_a_learning_rate_that_is_too_large_is_named(local):
    with pytest.raises(DivergenceError, match="with learning_rate=1000: try learning_rate=500 or less"):
        distributed(local, "momentum", learning_rate=1000.0, iterations=100)


def test_an_error_of_the_callback_is_no_loss_of_a_worker(local):
    calls = []

    def callback(row, U, V):
        calls.append(row)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        distributed(local, "plain", callback=callback)
    assert len(calls) == 1


def test_versions_that_differ_are_refused_at_the_start_with_the_list(local, monkeypatch):
    monkeypatch.setattr("mflib.__version__", "9.9.9")
    with pytest.raises(
        RuntimeError, match=r"worker tcp://127\.0\.0\.1:\d+ has mflib 0\.\S+ instead of 9\.9\.9"
    ):
        distributed(local, "plain")


def test_nothing_listens_beyond_loopback(local):
    info = local.scheduler_info(n_workers=-1)
    for address in (info["address"], *info["workers"]):
        assert address.startswith("tcp://127.0.0.1:")


def test_workers_keep_the_memory_of_arrays_that_each_iteration_makes(local):
    """By Dask's own setting they give it back each time, and spend a fifth of their time on that."""
    (found,) = {tuple(map(there.get, MALLOC)) for there in local.run(lambda: dict(os.environ)).values()}
    assert found == ("67108864", "16777216")


def test_tasks_of_past_iterations_are_forgotten(local):
    """Their memory, and what a scheduler would compute again, must not grow with the iterations."""

    def tasks(dask_scheduler):
        return len(dask_scheduler.tasks)

    seen = {}

    def callback(row, U, V):
        seen[int(row["iteration"])] = local.run_on_scheduler(tasks)

    distributed(local, "conjugate", iterations=15, callback=callback)
    assert seen[15] <= seen[5] + 2 * BLOCKS


@pytest.mark.soak
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("moment", range(3))
def test_a_worker_killed_at_any_moment_changes_no_bit(local, on_one_worker, name, moment):
    scale(local, 3)
    pid = sorted(local.run(os.getpid).values())[moment]
    timer = threading.Timer(0.2 + 0.5 * moment, os.kill, (pid, signal.SIGKILL))
    timer.start()
    found = distributed(local, name, validation=problem()[1], checkpoint_every=3)
    timer.join()
    assert_same_bits(found, on_one_worker[name])


def test_blocks_are_cut_between_users_and_none_is_empty():
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(0, 5, rng.integers(1, 20))
        counts[rng.integers(len(counts))] += rng.choice([1, 30])
        starts = np.concatenate(([0], np.cumsum(counts)))
        n_blocks = int(rng.integers(1, 9))
        edges = blocks.cut(starts, n_blocks)
        assert edges[0] == 0
        assert edges[-1] == len(counts)
        assert len(edges) <= n_blocks + 1
        assert np.all(np.diff(starts[edges]) > 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("held", [None, 0])
def test_equations_summed_over_parts_give_the_step_of_the_whole(dtype, k, held):
    train, *_ = problem(dtype)
    U, V = random_factors(train.shape, k, seed=2, scale=0.3, dtype=dtype)
    ridge = 0.05 * np.maximum(train.item_counts, 1)
    halves = [train.subset(train.users < 20), train.subset(train.users >= 20)]
    for form in ("compiled", "readable"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NUMBA_DISABLE_JIT", "01"[form == "readable"])
            parts = [normal.equations(half, U, V, 3, 37, held) for half in halves]
            step = normal.step(sum(parts), V[3:37], ridge[3:37], held)
        expected = sparse.block_step(train, U, V, "V", ridge, held)[3:37]
        np.testing.assert_allclose(step, expected, rtol=0, atol=1e-3 if dtype == "float32" else 1e-11)


def test_ratings_that_are_none_are_refused_before_anything_is_sent(local):
    _, _, U, V = problem()
    with pytest.raises(TypeError, match="ratings must be Ratings, got ndarray"):
        cluster.descend(np.eye(3), U, V, client=local)
    kept = distributed(local, "plain", iterations=0, gather=False).U
    with pytest.raises(TypeError, match=r"U must be an array where .* in this process: give U\.gather\(\)"):
        cluster.descend(problem()[0], kept, V, client=local)
    with pytest.raises(ValueError, match="n_blocks must be at least 1, got 0"):
        cluster.descend(Ratings.from_arrays([0], [0], [1.0], shape=(60, 40)), U, V, client=local, n_blocks=0)
