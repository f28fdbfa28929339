"""A model of the time of an iteration on many machines, fitted to what `cluster` has measured.

On W workers with p threads each, in B blocks, of N ratings, m items, k factors and numbers of s bytes:

    T = α + β W + γ k N / (W p) + ε m k s B / W + h m k s (δ + 1 / w)

α is what an iteration costs in any case, β what a worker adds to the work of client and scheduler, γ the
compute of a rating and factor on one thread, ε what a worker's block costs for each byte of its ∂V. These
four are fitted: least squares of relative errors, none negative, where h m k s are the bytes counted, and
N / W and B / W those of the busiest worker. δ, what a byte costs the processes that send and receive it, is
measured by itself. w is the bandwidth of a machine's
link, which one machine does not tell. h is how often a V goes over a link, one after another: to the first
worker, from those that have it to the others, up the tree of sums, and to the client.
"""

import statistics
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from mflib.blocked import BRANCHES

COEFFICIENTS = ("α", "β", "γ", "ε", "δ")
# What is asked: users, items, ratings.
QUESTIONS = {"10⁹": (10**7, 10**6, 10**9), "10¹¹": (10**9, 10**7, 10**11)}
WORKERS = (10, 30, 100, 300, 1000)
# Assumed of each machine: threads, and bytes a second of its link (10 Gbit/s).
THREADS, LINK = 8, 1.25e9
BLOCKS_A_WORKER = 2  # a power of two: each sends one sum (`tree`)


class Part(NamedTuple):
    """Seconds of an iteration, by what they go to."""

    compute: float
    scheduler: float  # and client
    network: float

    @property
    def total(self):
        return sum(self)

    @property
    def limit(self):
        """What takes most."""
        return max(self._fields, key=lambda name: getattr(self, name))


class Form(NamedTuple):
    """A way to move V: bytes of a number, and whether each worker sums its own part of the items."""

    size: int = 4
    in_parts: bool = False


def cases_of(measured):
    """The cases that the fit is of: the plain rule on the workers."""
    return [case for case in measured["cases"] if case["rule"] == "plain"]


def row(measured, case):
    """What the coefficients are multiplied with."""
    most = -(-case["n_blocks"] // case["workers"])  # blocks of the busiest worker
    compute = measured["k"] * case["n_ratings"] * most / case["n_blocks"]
    return [1, case["workers"], compute, most * case["V_bytes"], statistics.median(case["moved"])]


def fit(measured):
    """The coefficients by name, in seconds."""
    cases = cases_of(measured)
    seconds = np.array([statistics.median(case["two"]) for case in cases])
    rows = np.array([row(measured, case) for case in cases])
    fitted, moved = rows[:, :-1], rows[:, -1]
    a_byte, scale = statistics.median(measured["seconds_a_byte"]), np.max(fitted, axis=0)
    found, _ = nnls(fitted / scale / seconds[:, None], 1 - a_byte * moved / seconds)
    return dict(zip(COEFFICIENTS, map(float, (*(found / scale), a_byte)), strict=True))


def fitted(measured, coefficients, case):
    """Seconds of a measured case by the model."""
    return float(np.dot([coefficients[name] for name in COEFFICIENTS], row(measured, case)))


def largest_error(measured, coefficients):
    """Of the fit, relative, over its cases."""
    errors = [
        abs(fitted(measured, coefficients, case) / statistics.median(case["two"]) - 1)
        for case in cases_of(measured)
    ]
    return max(errors)


def hops(n_workers, form):
    """How often a V goes over a link, one after another."""
    if form.in_parts:
        return 2  # each part to its worker to be summed, and the sums to all
    doublings, up, sums = 0, 0, n_workers
    while 2**doublings < n_workers:
        doublings += 1
    while sums > BRANCHES:  # some workers add those of others to theirs, the client the last ones
        up, sums = up + BRANCHES - 1, -(-sums // BRANCHES)
    return 1 + doublings + up + sums


def predicted(coefficients, question, n_workers, k, form):
    """The time of an iteration (`Part`) of one of `QUESTIONS`."""
    _, m, N = QUESTIONS[question]
    computed = coefficients["γ"] * k * N / (n_workers * THREADS)
    return Part(
        compute=computed + coefficients["ε"] * BLOCKS_A_WORKER * m * k * Form().size,
        scheduler=coefficients["α"] + coefficients["β"] * n_workers,
        network=hops(n_workers, form) * m * k * form.size * (coefficients["δ"] + 1 / LINK),
    )


def memory(question, n_workers, k):
    """Bytes of a worker: its ratings in both orders, its rows of U, V and what is as large.

    That is two ∂V where it only computes; where it adds the sums of others to its own those, and three more:
    of the two halves, and of both.
    """
    n, m, N = QUESTIONS[question]
    copies = 3 if n_workers <= BRANCHES else 1 + BRANCHES + 3
    starts = 8 * BLOCKS_A_WORKER * m
    return 16 * N / n_workers + starts + 4 * k * n / n_workers + copies * 4 * k * m


def turning_point(coefficients, question, k, form):
    """The least of a thousand workers with which computing is not what takes most, or None."""
    for n_workers in range(1, max(WORKERS) + 1):
        if predicted(coefficients, question, n_workers, k, form).limit != "compute":
            return n_workers
    return None
