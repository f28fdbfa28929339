"""What the exercises of the notebooks are checked with: problems to try an answer on, and a plain verdict."""

from typing import NamedTuple

import numpy as np

from mflib import dense


class Problem(NamedTuple):
    """Everything that the equations speak of: Y (NaN where unobserved), its mask R, U and V."""

    Y: np.ndarray
    R: np.ndarray
    U: np.ndarray
    V: np.ndarray


def problems(number=5, seed=0):
    """Random small problems; every user and every item has a rating, and some ratings are zero.

    Parameters
    ----------
    number : int
    seed : int

    Returns
    -------
    list of Problem

    Examples
    --------
    >>> Y, R, U, V = problems(1)[0]
    >>> Y.shape == R.shape == (len(U), len(V))
    True
    """
    rng = np.random.default_rng(seed)
    return [_problem(rng) for _ in range(number)]


def _problem(rng):
    """Ratings from 0 to 5 and factors in quarters, so that small sums have no rounding."""
    n, m, k = rng.integers(2, 6, 3)
    Y = rng.integers(0, 6, (n, m)).astype(float)
    keep = rng.random((n, m)) < 0.5
    users, items = np.arange(max(n, m)) % n, np.arange(max(n, m)) % m
    keep[users, items] = True
    Y[~keep] = np.nan
    U, V = (rng.integers(-4, 9, (rows, k)) / 4 for rows in (n, m))
    return Problem(Y, dense.observed(Y), U, V)


def check(attempt, expected, tasks):
    """Say whether a reader's function gives what it should on every task.

    Parameters
    ----------
    attempt : callable
        The reader's function. One that returns None or ... counts as not written yet.
    expected : callable
        Takes the same arguments and gives the right result, by whatever other way.
    tasks : sequence of tuple
        The arguments of each task.

    Notes
    -----
    Prints the verdict; right means to nine digits. Returns nothing: in a notebook a value would show twice.

    Examples
    --------
    >>> check(lambda x: x + x, lambda x: 2 * x, [(1.0,), (3.0,)])
    Right: 2 of 2 tasks.
    >>> check(lambda x: x**2, lambda x: 2 * x, [(2.0,), (3.0,)])
    Not yet: task 2 gives 9, expected 6.
    """
    for number, task in enumerate(tasks, start=1):
        try:
            got = attempt(*task)
        except Exception as error:  # whatever the reader's code raises is the reader's to see
            print(f"Not yet: task {number} raises {type(error).__name__}: {error}")
            return
        if got is None or got is ...:
            name = getattr(attempt, "__name__", "The function")
            print(f"{name} is still empty: write it, then run this cell.")
            return
        if difference := _difference(got, expected(*task)):
            print(f"Not yet: task {number} gives {difference}.")
            return
    print(f"Right: {len(tasks)} of {len(tasks)} tasks.")


def _difference(got, want):
    """What is wrong with a result, in words; empty where nothing is."""
    try:
        got, want = np.asarray(got, float), np.asarray(want, float)
    except (TypeError, ValueError):
        return "no number"
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if np.allclose(got, want, rtol=1e-9, atol=1e-12):
        return ""
    return f"{_short(got)}, expected {_short(want)}"


def _short(value):
    """Six digits, on one line."""
    return f"{value:.6g}" if value.ndim == 0 else np.array2string(value, precision=6).replace("\n", "")
