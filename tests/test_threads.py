"""Compiled loops are shared out among threads, whatever else the process does."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from mflib import Ratings, get_num_threads, loss, set_num_threads, threads


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(threads, "_number", None)


def counting(turn, n_chunks, done):
    """A kernel in Python: notes which thread has done which chunk."""
    lock = done["lock"]
    while True:
        with lock:
            chunk = int(turn[0])
            turn[0] += 1
        if chunk >= n_chunks:
            return
        done[chunk] = threading.get_ident()
        done["barrier"].wait(timeout=10)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_each_chunk_is_done_once_and_all_threads_take_part(number):
    set_num_threads(number)
    assert get_num_threads() == number
    done = {"lock": threading.Lock(), "barrier": threading.Barrier(number)}
    threads.share_out(counting, 16, 16, done)
    assert set(done) == {"lock", "barrier", *range(16)}
    assert len({done[chunk] for chunk in range(16)}) == number


def test_a_few_chunks_are_done_by_the_caller_alone():
    set_num_threads(4)
    done = {"lock": threading.Lock(), "barrier": threading.Barrier(1)}
    few = 2 * threads.EACH - 1
    threads.share_out(counting, few, few, done)
    assert {done[chunk] for chunk in range(few)} == {threading.get_ident()}


def test_what_a_thread_raises_reaches_the_caller():
    set_num_threads(2)
    both = threading.Barrier(2)

    def fails_elsewhere(turn, caller):
        both.wait(timeout=10)
        if threading.get_ident() != caller:
            raise MemoryError("in a helper")

    with pytest.raises(MemoryError, match="in a helper"):
        threads.share_out(fails_elsewhere, 16, threading.get_ident())


def test_a_forked_child_has_threads_of_its_own():
    set_num_threads(2)
    both = {"lock": threading.Lock(), "barrier": threading.Barrier(2)}
    threads.share_out(counting, 16, 16, both)
    child = os.fork()
    if child == 0:
        found = 99
        try:
            own = {"lock": threading.Lock(), "barrier": threading.Barrier(2)}
            threads.share_out(counting, 16, 16, own)
            found = len({own[chunk] for chunk in range(16)})
        finally:
            os._exit(found)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_a_thread_that_works_when_python_ends_does_all_itself():
    code = """
import threading, time
import numpy as np
from mflib import Ratings, loss, set_num_threads
set_num_threads(2)
N = 100_000
ratings = Ratings.from_arrays(np.zeros(N, int), np.arange(N), np.ones(N), shape=(1, N))
U, V = np.zeros((1, 1)), np.zeros((N, 1))
def late():
    threading.main_thread().join()
    time.sleep(0.2)
    print(loss(ratings, U, V))
threading.Thread(target=late).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1.0\n", "")


def test_the_default_is_what_numba_is_given():
    import numba

    assert get_num_threads() == numba.config.NUMBA_NUM_THREADS


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_no_number_of_threads_is_refused(n, error):
    with pytest.raises(error, match="n must be"):
        set_num_threads(n)


def test_turns_are_taken_once_by_many_threads():
    """The counter of the kernels goes up by one at a time, whoever asks."""
    import numba

    from mflib.kernels import take_turn

    @numba.njit(nogil=True)
    def take(turn, taken):
        for place in range(len(taken)):
            taken[place] = take_turn(turn)

    turn, each = np.zeros(1, dtype=np.int64), 200_000
    take(np.zeros(1, dtype=np.int64), np.empty(1, dtype=np.int64))  # compiled before they start
    taken = [np.empty(each, dtype=np.int64) for _ in range(4)]
    takers = [threading.Thread(target=take, args=(turn, some)) for some in taken]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(timeout=60)
    np.testing.assert_array_equal(np.sort(np.concatenate(taken)), np.arange(4 * each))


def test_many_threads_may_call_at_once():
    chunks = 40 * 4096
    ratings = Ratings.from_arrays(
        np.zeros(chunks, int), np.arange(chunks), np.ones(chunks), shape=(1, chunks)
    )
    U, V = np.zeros((1, 1)), np.zeros((chunks, 1))
    set_num_threads(4)
    found = []
    callers = [threading.Thread(target=lambda: found.append(loss(ratings, U, V))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert found == [1.0] * 6
