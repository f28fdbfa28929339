"""Threads for compiled loops: numbered chunks of work, each done by whoever is free.

The kernels let go of Python's lock, so Python's own threads do. Nothing of OpenMP is started: a process may
fork afterwards, several threads may call at once, and nobody spins where another program has the processor.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mflib import checks

# Fewer chunks are done before a second thread has woken up.
FEW = 8

_number = None  # of threads, where it has been set
_helpers = None


def set_num_threads(n):
    """Let compiled loops use n threads, the caller's own being one of them.

    Parameters
    ----------
    n : int
        At least 1. Results do not depend on it, to the bit.

    Raises
    ------
    TypeError, ValueError
        Where n is no such number.
    """
    global _number
    _number = checks.whole_number("n", n, 1)


def get_num_threads():
    """Number of threads that compiled loops use: as set, else NUMBA_NUM_THREADS, else the usable cores."""
    if _number is not None:
        return _number
    import numba

    return numba.config.NUMBA_NUM_THREADS


def share_out(kernel, n_chunks, *arguments):
    """Call `kernel(turn, *arguments)` in each thread; `turn` hands out the numbers from 0 to n_chunks."""
    turn = np.zeros(1, dtype=np.int64)
    n_helpers = 0 if n_chunks < FEW else get_num_threads() - 1
    others = [_pool(n_helpers).submit(kernel, turn, *arguments) for _ in range(n_helpers)]
    kernel(turn, *arguments)
    for other in others:
        if not other.cancel():  # it has begun
            other.result()


def _pool(n_helpers):
    """Threads that are there, at least so many."""
    global _helpers
    if _helpers is None or _helpers._max_workers < n_helpers:
        if _helpers is not None:
            _helpers.shutdown(wait=False)
        _helpers = ThreadPoolExecutor(n_helpers, thread_name_prefix="mflib")
    return _helpers


def _forget_helpers():
    """A forked child has none of its parent's threads."""
    global _helpers
    _helpers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)
