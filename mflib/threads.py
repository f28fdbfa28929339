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
    n = checks.whole_number("n", n, 1)
    if n != _number:
        _forget_helpers()
    _number = n


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
    others = [_pool().submit(kernel, turn, *arguments) for _ in range(n_helpers)]
    kernel(turn, *arguments)
    for other in others:
        if not other.cancel():  # it has begun
            other.result()


def _pool():
    global _helpers
    if _helpers is None:
        _helpers = ThreadPoolExecutor(get_num_threads() - 1, thread_name_prefix="mflib")
    return _helpers


def _forget_helpers():
    global _helpers
    if _helpers is not None:
        _helpers.shutdown(wait=False)
    _helpers = None


def _forget_dead_helpers():
    global _helpers
    _helpers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_dead_helpers)
