"""Random problems to prove on: Y with garbage where nothing is observed, its mask, and factors."""

import itertools
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Integers up to 2⁶⁰ in size, 2⁶¹ of them: an identity of polynomials of degree 4 that fails somewhere
# holds at such a random point with a chance of at most 4/2⁶¹ (Schwartz and Zippel).
BITS = 61
DEGREE = 4
FALSE_PASS = Fraction(DEGREE, 2**BITS)

# Integers so small that float arithmetic on these shapes rounds nowhere but in the division by N.
ROUNDS_NOWHERE = {"float64": 2**5, "float32": 2**3}


class Problem(NamedTuple):
    """The arguments of a dense function; Y holds garbage where R is 0."""

    Y: np.ndarray
    R: np.ndarray
    U: np.ndarray
    V: np.ndarray


def every_small_mask():
    """All masks of a 2 × 3 matrix but the empty one."""
    for bits in itertools.product((0, 1), repeat=6):
        if any(bits):
            yield np.array(bits).reshape(2, 3)


def random_masks(rng, number):
    """Random masks of random shapes up to 5 × 6, at least one rating observed."""
    for _ in range(number):
        R = rng.integers(0, 2, rng.integers(1, (6, 7)))
        R.flat[rng.integers(R.size)] = 1
        yield R


def exact_problems(rng, number=20):
    """Problems in Fractions: every mask of 2 × 3 with k = 2, and random ones up to 5 × 6 with k to 4.

    Parameters
    ----------
    rng : numpy.random.Generator
    number : int
        Of random masks.

    Yields
    ------
    Problem
        Of integers up to 2⁶⁰ in size as Fractions, the hidden ratings too.
    """
    cases = [(R, 2) for R in every_small_mask()]
    cases += [(R, int(rng.integers(1, 5))) for R in random_masks(rng, number)]
    for R, k in cases:
        (n, m) = R.shape
        yield Problem(*(A if A is R else fractions(rng, A) for A in ((n, m), R, (n, k), (m, k))))


def fractions(rng, shape):
    """Random integers from −2⁶⁰ to 2⁶⁰ as Fractions."""
    draws = rng.integers(-(2 ** (BITS - 1)), 2 ** (BITS - 1), shape)
    return np.array([Fraction(int(draw)) for draw in draws.flat], dtype=object).reshape(shape)


def whole_problems(rng, dtype, number=20):
    """Problems in floats that are whole numbers so small that sums and products are exact.

    Yields
    ------
    Problem
        With NaN in the hidden places.
    """
    limit = ROUNDS_NOWHERE[dtype]
    for R in itertools.chain(every_small_mask(), random_masks(rng, number)):
        k = int(rng.integers(1, 5))
        shapes = R.shape, (R.shape[0], k), (R.shape[1], k)
        Y, U, V = (rng.integers(-limit, limit + 1, shape).astype(dtype) for shape in shapes)
        yield Problem(np.where(R, Y, Y.dtype.type(np.nan)), R, U, V)


def float_problems(rng, dtype, number=4):
    """Problems with normal entries in float32 or float64: one of 5 × 6 with k = 3, and random smaller ones.

    Yields
    ------
    Problem
        With NaN in the hidden places.
    """
    largest = np.ones((5, 6), dtype=np.int64)
    largest.flat[rng.choice(largest.size, 10, replace=False)] = 0
    for R in itertools.chain([largest], random_masks(rng, number)):
        k = 3 if R is largest else int(rng.integers(1, 5))
        shapes = R.shape, (R.shape[0], k), (R.shape[1], k)
        Y, U, V = (rng.normal(size=shape).astype(dtype) for shape in shapes)
        yield Problem(np.where(R, Y, Y.dtype.type(np.nan)), R, U, V)


def to_fractions(*arrays):
    """The same numbers as Fractions; NaN, which hides in unobserved places, becomes garbage."""
    return tuple(
        np.array(
            [Fraction(12345) if x != x else Fraction(x) for x in A.ravel().tolist()], dtype=object
        ).reshape(A.shape)
        for A in arrays
    )
