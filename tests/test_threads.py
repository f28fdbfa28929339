"""Compiled loops are shared out among threads, whatever else the process does."""

import os
import threading

import numpy as np
import pytest

from mflib import get_num_threads, set_num_threads, threads


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(threads, "_number", None)
    monkeypatch.setattr(threads, "_helpers", None)


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
    threads.share_out(counting, threads.FEW - 1, threads.FEW - 1, done)
    assert {done[chunk] for chunk in range(threads.FEW - 1)} == {threading.get_ident()}


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
        own = {"lock": threading.Lock(), "barrier": threading.Barrier(2)}
        threads.share_out(counting, 16, 16, own)
        os._exit(len({own[chunk] for chunk in range(16)}))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_the_default_is_what_numba_is_given():
    import numba

    assert get_num_threads() == numba.config.NUMBA_NUM_THREADS


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_no_number_of_threads_is_refused(n, error):
    with pytest.raises(error, match="n must be"):
        set_num_threads(n)


def test_turns_are_taken_once_by_many_threads():
    """The counter of the kernels goes up by one at a time, whoever asks."""
    from mflib import Ratings, loss
    from mflib.kernels import CHUNK

    ratings = Ratings.from_arrays(
        np.zeros(40 * CHUNK, int), np.arange(40 * CHUNK), np.ones(40 * CHUNK), shape=(1, 40 * CHUNK)
    )
    U, V = np.zeros((1, 1)), np.zeros((40 * CHUNK, 1))
    set_num_threads(4)
    found = []
    callers = [threading.Thread(target=lambda: found.append(loss(ratings, U, V))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert found == [1.0] * 6
