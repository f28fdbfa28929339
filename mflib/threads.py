"""Threads for compiled loops: numbered chunks of work, each done by whoever is free.

The kernels let go of Python's lock, so Python's own threads do. Nothing of OpenMP is started: a process may
fork afterwards, several threads may call at once, and nobody spins where another program has the processor.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mflib import checks

# Fewer chunks for each thread are done before another one has woken up.
EACH = 4

_number = None  # of threads, where it has been set


def _new_helpers():
    return ThreadPoolExecutor(1024, thread_name_prefix="mflib")


_helpers = _new_helpers()  # none is started before there is work for it


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
    others = []
    for _ in range(1, min(get_num_threads(), n_chunks // EACH)):
        try:
            others.append(_helpers.submit(kernel, turn, *arguments))
        except RuntimeError:  # Python is about to end: the caller does all
            break
    kernel(turn, *arguments)
    for other in others:
        if not other.cancel():  # it has begun
            other.result()


def _forget_helpers():
    """A forked child has none of its parent's threads."""
    global _helpers
    _helpers = _new_helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)
