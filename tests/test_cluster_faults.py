"""What goes wrong with workers while a descent runs on them: the bits stay, or an error says what to do."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("distributed")

import clusters
from clusters import distributed, problem, scale
from distributed import Client
from problems import assert_same_bits

from mflib import Ratings, blocked, blocks, cluster, random_factors, versions, waiting
from mflib.blocked import Workers

# for each phase of an iteration: a rule that has it, and at which call on one worker that worker dies
PHASES = {
    "both_orders": ("conjugate", 2),
    "evaluate": ("conjugate", 6),
    "user_gradient": ("conjugate", 6),
    "merged": ("momentum", 2),
    "squares": ("momentum", 6),
    "along": ("conjugate", 6),
    "dots": ("conjugate", 6),
    "combine": ("nesterov", 6),
    "by_count": ("plain", 6),
    "user_step": ("alternating", 4),
    "item_equations": ("alternating", 4),
    "item_step": ("alternating", 2),
    "loss_and_penalty": ("alternating", 4),
}
# the others take as long, and are of `make soak`
SHORT = "evaluate", "user_step"


@pytest.fixture(scope="module")
def local():
    with clusters.local(n_workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def undisturbed(local):
    """The descent of a rule that nothing happens to, computed once."""
    found = {}

    def of(name):
        if name not in found:
            found[name] = distributed(local, name, validation=problem()[1])
        return found[name]

    return of


def dies_at(name, call, marker):
    """For `client.run`: the first worker that gets to this call of the function kills itself in it."""

    def patch():
        import os
        import signal

        from mflib import blocks, tree

        module = tree if name == "merged" else blocks
        original, calls = getattr(module, name), []

        def dying(*arguments):
            calls.append(name)
            if len(calls) == call:
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGKILL)
                except FileExistsError:  # another was first
                    pass
            return original(*arguments)

        dying.original = original
        setattr(module, name, dying)

    return patch


def restored(name):
    def restore():
        from mflib import blocks, tree

        module = tree if name == "merged" else blocks
        setattr(module, name, getattr(getattr(module, name), "original", getattr(module, name)))

    return restore


def kill(client, which=0):
    os.kill(sorted(client.run(os.getpid).values())[which], signal.SIGKILL)


@pytest.mark.parametrize(
    "phase",
    [phase if phase in SHORT else pytest.param(phase, marks=pytest.mark.soak) for phase in PHASES],
)
def test_a_worker_killed_in_this_phase_changes_no_bit(local, undisturbed, monkeypatch, tmp_path, phase):
    name, call = PHASES[phase]
    marker, expected = tmp_path / "killed", undisturbed(name)
    if phase == "merged":  # only the sums of many workers are added on workers
        monkeypatch.setattr(blocked, "BRANCHES", 2)
    scale(local, 3 if phase == "merged" else 2)
    local.run(dies_at(phase, call, str(marker)))
    try:
        found = distributed(local, name, validation=problem()[1], checkpoint_every=2)
    finally:
        local.run(restored(phase), on_error="ignore")
    assert marker.exists()
    assert_same_bits(found, expected)


@pytest.mark.parametrize(
    "where",
    ["recovery", *(pytest.param(w, marks=pytest.mark.soak) for w in ("first sending", "fetching the state"))],
)
def test_a_worker_killed_while_arrays_travel_changes_no_bit(local, undisturbed, monkeypatch, tmp_path, where):
    """During a recovery: another worker, while blocks are sent again because the first was killed."""
    expected, calls = undisturbed("conjugate"), []
    owner, name, fatal = {
        "first sending": (Client, "scatter", {(1, 2)}),
        "fetching the state": (cluster.Blocked, "gather", {(1, 1)}),
        "recovery": (Client, "scatter", {(1, 2), (2, 2)}),
    }[where]
    original, settle, killed = getattr(owner, name), Workers.settle, set()

    def settled(workers):
        calls.append(0)
        return settle(workers)

    def passing(*arguments, **options):
        calls[-1] += 1
        if (len(calls), calls[-1]) in fatal:
            killed.add((len(calls), calls[-1]))
            kill(local)
        return original(*arguments, **options)

    scale(local, 2)
    monkeypatch.setattr(Workers, "settle", settled)
    monkeypatch.setattr(owner, name, passing)
    found = distributed(local, "conjugate", validation=problem()[1], checkpoint_every=2)
    assert killed == fatal
    assert_same_bits(found, expected)


def test_a_worker_that_comes_gets_blocks_when_the_state_is_kept(local, undisturbed):
    """Once it is seen to be ready; nobody waits for it until then."""
    expected, homes, seen = undisturbed("conjugate"), {}, []
    scale(local, 1)

    def callback(row, U, V):
        seen.append(int(row["iteration"]))
        homes[seen[-1]] = set(U.workers.homes)
        if seen[-1] == 1:
            scale(local, 2)
        while seen[-1] == 3 and not all(future.done() for future in U.workers.asked.values()):
            time.sleep(0.05)

    found = distributed(local, "conjugate", validation=problem()[1], callback=callback, checkpoint_every=2)
    assert_same_bits(found, expected)
    assert seen == list(range(7))
    assert [len(homes[iteration]) for iteration in seen] == [1, 1, 1, 1, 2, 2, 2]


@contextlib.contextmanager
def strange_worker(client):
    """A worker of another version of mflib; how many workers there are then is waited for."""
    before = len(client.scheduler_info(n_workers=-1)["workers"])
    program = (
        "import mflib; mflib.__version__ = '0.0.1'; from distributed.cli.dask_worker import main; main()"
    )
    process = subprocess.Popen(
        [
            sys.executable, "-c", program, client.scheduler.address, "--nthreads", "1", "--no-nanny",
            "--host", "127.0.0.1", "--no-dashboard", "--name", "strange",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        client.wait_for_workers(before + 1, timeout=60)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        yield next(address for address, about in workers.items() if about["name"] == "strange")
    finally:
        process.terminate()
        process.wait(30)
        while len(client.scheduler_info(n_workers=-1)["workers"]) > before:
            time.sleep(0.05)


def test_a_worker_of_another_version_is_refused_whenever_it_comes_and_no_task_runs_on_it(local, tmp_path):
    scale(local, 1)
    with strange_worker(local) as address:
        refused = rf"worker {address} has mflib 0\.0\.1 instead of .* Install the same requirements\.txt"
        with pytest.raises(RuntimeError, match=refused):
            distributed(local, "plain")
        (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,1,3\n")
        with pytest.raises(RuntimeError, match=refused):
            cluster.partition(tmp_path / "ratings.csv", tmp_path / "blocks", client=local)
        assert not (tmp_path / "blocks").exists()
        workers = Workers(local, [0, 1])
        with pytest.raises(versions.OtherVersions, match=r"0\.0\.1"):
            workers.submit(address, blocks.scale, np.ones(2), 2.0).result()
    with contextlib.ExitStack() as stack:

        def callback(row, U, V):
            if row["iteration"] == 1:
                stack.enter_context(strange_worker(local))
            while row["iteration"] == 3 and not all(future.done() for future in U.workers.asked.values()):
                time.sleep(0.05)

        with pytest.raises(
            RuntimeError, match=r"has mflib 0\.0\.1 .* holds iteration \d: the same call cont"
        ):
            distributed(
                local, "plain", callback=callback, checkpoint=tmp_path / "kept.npz", checkpoint_every=2
            )


@pytest.mark.parametrize("when", ["first sending", "recovery"])
def test_ctrl_c_while_ratings_are_sent_returns_the_state_that_was_kept(local, monkeypatch, when):
    """At first that is the start; the workers are as good as before."""
    scale(local, 2)
    original, calls = Client.scatter, []

    def interrupted(*arguments, **options):
        calls.append(original)
        if when == "first sending" and len(calls) == 3:
            raise KeyboardInterrupt
        if when == "recovery" and settled == [1, 2]:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    settled, settle = [], Workers.settle

    def counted(workers):
        settled.append(len(settled) + 1)
        return settle(workers)

    def callback(row, U, V):
        if row["iteration"] == 5 and len(settled) == 1:
            kill(local)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "scatter", interrupted)
        patch.setattr(Workers, "settle", counted)
        found = distributed(local, "momentum", callback=callback, checkpoint_every=2)
    assert found.stopped_because == "interrupted"
    iterations = 0 if when == "first sending" else 4
    whole = distributed(local, "momentum", iterations=iterations)
    np.testing.assert_array_equal(found.U, whole.U)
    np.testing.assert_array_equal(found.V, whole.V)
    assert len(found.history) == iterations


def slowed(pid, stop):
    """A tenth of the time it runs."""
    while not stop.is_set():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.045)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.005)


def test_a_worker_that_is_slow_by_a_factor_of_ten_changes_no_bit(local, undisturbed):
    expected, stop = undisturbed("conjugate"), threading.Event()
    scale(local, 2)
    pid = min(local.run(os.getpid).values())
    thread = threading.Thread(target=slowed, args=(pid, stop))
    thread.start()
    try:
        found = distributed(local, "conjugate", validation=problem()[1])
    finally:
        stop.set()
        thread.join()
    assert_same_bits(found, expected)


def test_a_scheduler_that_goes_between_two_questions_is_no_error_of_its_own(local, monkeypatch):
    """The client has no way to it then, until it has another; whoever needs it says what is the matter."""
    monkeypatch.setattr(local, "scheduler_comm", None)
    with blocked.at_once(local):
        pass


def test_a_client_to_which_nothing_can_be_given_is_refused(local):
    def given(client):
        train, _, U, V = problem()
        return cluster.descend(train, U, V, client=client)

    with pytest.raises(TypeError, match=r"client must be a distributed\.Client, got str: client = Client"):
        given("tcp://127.0.0.1:8786")
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client, got LocalCluster"):
        given(local.cluster)
    with Client(local.scheduler.address, set_as_default=False) as closed:
        pass
    with pytest.raises(ConnectionError, match=r"client is not connected \(it is closed\): give a new"):
        given(closed)

    async def asynchronous():
        async with Client(local.scheduler.address, asynchronous=True, set_as_default=False) as client:
            given(client)

    with pytest.raises(TypeError, match="asynchronous, or a call from its own event loop"):
        local.sync(asynchronous)


def many(n_users, n_items=1000):
    """Ratings of every pair, 24 bytes each on a worker, and a start."""
    users, items = np.divmod(np.arange(n_users * n_items), n_items)
    values = np.random.default_rng(0).normal(size=len(users))
    return Ratings.from_arrays(users, items, values, shape=(n_users, n_items)), *random_factors(
        (n_users, n_items), 2
    )


def test_a_worker_without_memory_for_its_blocks_says_how_many_are_needed_and_stays_usable():
    """Before anything is sent, where the limit says so; else when Dask has ended the worker for it."""
    off = {f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")}
    with clusters.local(off, memory_limit="500MB") as client:
        ratings, U, V = many(5000)
        advice = r"use n_blocks=2 or more on 2 such workers or more"
        with pytest.raises(MemoryError, match=rf"1 of 1 blocks are for worker .* MiB for data: {advice}"):
            cluster.descend(ratings, U, V, client=client, n_blocks=1)
        other = client.submit(np.ones, 25_000_000)  # 200 MB of somebody else's, in the memory of the worker
        ratings, U, V = many(3500)
        with pytest.raises(
            MemoryError, match=r"used more than its memory limit.*use n_blocks=2 or more on 2 such"
        ):
            cluster.descend(ratings, U, V, client=client, n_blocks=1)
        other.release()
        assert len(distributed(client, "plain").history) == 7


@pytest.fixture
def crowded(monkeypatch):
    """A client of two workers that another's memory can pause, and few seconds of patience with them."""
    monkeypatch.setattr(waiting, "PATIENCE", 3)
    left = {"distributed.scheduler.work-stealing": False}  # what a paused worker was given stays there
    with clusters.local(left, n_workers=2, memory_limit="1GB") as client:
        yield client


def patched_where(client, worker, name, inside):
    """Have a function of blocks do `inside` in front of its work on one worker, once, at its third call."""

    def patch(dask_worker):
        from mflib import blocks

        original, calls = getattr(blocks, name), []

        def other(*arguments):
            calls.append(name)
            if len(calls) == 3:
                inside(dask_worker)
            return original(*arguments)

        setattr(blocks, name, other)

    client.run(patch, workers=[worker])


def pause_with_more_to_do(worker):
    """On a worker, in a task: have it paused, with another task that it was given meanwhile."""
    import time

    while not worker.state.ready:
        time.sleep(0.01)
    clusters.crowd(worker)
    while worker.status.name != "paused":
        time.sleep(0.01)


def see_the_pause_end_it(client, first, name, **more):
    """The descent says what to do, and works again after the pause."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    told = rf"worker {first} is paused by Dask.* for 3 s: use n_blocks=\d+ or more on {len(workers) + 1} such"
    begin = time.perf_counter()
    with pytest.raises(MemoryError, match=rf"{told}.*no checkpoint was given") as error:
        distributed(client, name, **more)
    assert 3 < time.perf_counter() - begin < 15
    client.run(clusters.relieve)
    clusters.wait_until(client, "running", *workers)
    found = distributed(client, name)  # while the error is kept
    assert error
    return found


@pytest.mark.soak
@pytest.mark.parametrize("how_many", [1, 2])
def test_a_worker_that_stays_paused_ends_the_descent_and_says_how_many_blocks_are_needed(crowded, how_many):
    """Also where another goes on."""
    scale(crowded, how_many)
    first = min(crowded.scheduler_info(n_workers=-1)["workers"])
    expected, tasks = distributed(crowded, "conjugate"), []

    def task():
        from distributed import get_worker

        pause_with_more_to_do(get_worker())

    def callback(row, U, V):
        if row["iteration"] == 2:
            tasks.append(crowded.submit(task, workers=[first]))

    found = see_the_pause_end_it(crowded, first, "conjugate", callback=callback)
    assert_same_bits(found, expected)


@pytest.mark.soak
def test_so_it_does_where_the_paused_worker_has_only_what_others_are_to_add(crowded, monkeypatch):
    """The client asks for the steps of items, not for the normal equations of which they are made."""
    monkeypatch.setattr(cluster, "EQUATIONS", 0)  # in pieces as large as V: 5
    first = min(crowded.scheduler_info(n_workers=-1)["workers"])
    expected = distributed(crowded, "alternating")
    patched_where(crowded, first, "item_equations", pause_with_more_to_do)
    assert_same_bits(see_the_pause_end_it(crowded, first, "alternating"), expected)


@pytest.mark.soak
def test_workers_that_are_paused_for_a_while_or_slow_are_waited_for(crowded, monkeypatch):
    expected, seen = distributed(crowded, "conjugate"), []
    workers = sorted(crowded.scheduler_info(n_workers=-1)["workers"])

    def relieved():
        time.sleep(1.5)
        crowded.run(clusters.relieve)

    def all_paused(row, U, V):
        if row["iteration"] == 2:
            crowded.run(clusters.crowd)
            clusters.wait_until(crowded, "paused", *workers)
            seen.append(threading.Thread(target=relieved))
            seen[0].start()

    assert_same_bits(distributed(crowded, "conjugate", callback=all_paused), expected)
    seen[0].join()
    clusters.wait_until(crowded, "running", *workers)

    monkeypatch.setattr(waiting, "PATIENCE", 1)
    for worker in workers:
        patched_where(crowded, worker, "along", lambda dask_worker: __import__("time").sleep(4))

    def one_paused(row, U, V):
        if row["iteration"] == 1:
            while any(crowded.processing().values()):  # what it was given would stay with it
                time.sleep(0.02)
            crowded.run(clusters.crowd, workers=workers[:1])
            clusters.wait_until(crowded, "paused", workers[0])

    assert_same_bits(distributed(crowded, "conjugate", callback=one_paused), expected)


@pytest.mark.soak
@pytest.mark.parametrize("when", ["before", "in mid-descent"])
def test_a_worker_that_is_stopped_altogether_is_done_without_after_the_worker_ttl(undisturbed, when):
    expected = undisturbed("conjugate")
    with clusters.local({"distributed.scheduler.worker-ttl": "5s"}, n_workers=2) as client:
        stopped = []

        def stop(row=None, U=None, V=None):
            if not stopped and (row is None or row["iteration"] == 3):
                stopped.append(min(client.run(os.getpid).values()))
                os.kill(stopped[0], signal.SIGSTOP)

        if when == "before":
            stop()
        found = distributed(client, "conjugate", validation=problem()[1], callback=stop, checkpoint_every=2)
        assert stopped
    assert_same_bits(found, expected)


@pytest.mark.soak
def test_one_of_four_workers_killed_at_a_random_moment_costs_at_most_the_work_lost_and_ten_seconds(
    capsys, monkeypatch
):
    """Twenty times of twenty, with the bits of a descent left alone. What each cost is printed."""
    every, rng = 5, np.random.default_rng()
    ratings, U, V = many(1000, 300)
    evaluated, evaluate = [], cluster.BlockedTraining.evaluate

    def counted(*arguments):
        found = evaluate(*arguments)
        evaluated.append(len(found))
        return found

    monkeypatch.setattr(cluster.BlockedTraining, "evaluate", counted)
    with clusters.local(n_workers=4) as client:

        def timed(**more):
            begin = time.perf_counter()
            options = {"iterations": 20, "n_blocks": 8, "checkpoint_every": every, "client": client}
            return cluster.descend(ratings, U, V, "conjugate", **options, **more), time.perf_counter() - begin

        timed()
        expected, whole = timed()
        costs = []
        for _ in range(20):
            scale(client, 4)
            seen = []
            evaluated.clear()
            processes, moment = sorted(client.run(os.getpid).items()), rng.uniform(0, 0.9 * whole)
            address, pid = processes[rng.integers(len(processes))]
            timer = threading.Timer(moment, os.kill, (pid, signal.SIGKILL))
            timer.start()
            found, seconds = timed(callback=lambda row, U, V: seen.append(int(row["iteration"])))  # noqa: B023
            timer.join()
            while address in client.scheduler_info(n_workers=-1)["workers"]:
                time.sleep(0.05)
            assert_same_bits(found, expected)
            assert seen == list(range(21))
            redone = len(evaluated) - 21
            assert redone <= every
            lost = seconds - whole - redone * whole / 20
            with capsys.disabled():
                print(
                    f"\nkilled after {moment:.2f} s: {redone} iterations again, {lost:.2f} s lost beside",
                    end="",
                )
            costs.append(lost)
    assert len(costs) == 20
    assert max(costs) <= 10
