"""Derivatives measured by differences, each with an honest bound on its own error.

A difference quotient has two errors that pull the step in opposite directions: truncation (small steps) and
the rounding of f divided by the step (large ones). Because of the 1/N in E04 a gradient entry can be far
below any absolute tolerance, so the step is searched: E is quadratic in one entry and of degree 4 along a
line, where the five-point stencil has no truncation error at all and long steps drown the rounding.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RATIO = 8  # from one step to the next
STEPS = 19  # from the longest to the shortest: a factor of 10¹⁶
SAFETY = 8  # on the rounding of f: measured from a few points, so not a sharp bound


class Measured(NamedTuple):
    """A derivative and a bound on its error."""

    value: float
    error: float


def derivative(
    phi: Callable[[float], float],
    noise: float,
    longest: float,
    resolution: float = 0.0,
) -> Measured:
    """Derivative of phi at 0 by central differences, over steps from long to short.

    Two quotients whose steps differ by `RATIO` combine to the five-point stencil
    (r² D(h/r) − D(h)) / (r² − 1), which is exact for polynomials of degree 4. Each estimate is bounded by its
    distance from the next longer one plus the rounding of phi over the step; the sharpest is returned.

    Parameters
    ----------
    phi : callable
        A real function of a real number. Values that are not finite far from 0 are passed over.
    noise : float
        Relative rounding error of phi.
    longest : float
        The first step; where phi is a polynomial of degree 4, the longer the better.
    resolution : float
        Rounding of the point: t is only reached to within this, which matters for the shortest steps.

    Returns
    -------
    Measured
        (value, error); the error is infinite where no estimate can be had.

    Examples
    --------
    >>> measured = derivative(lambda t: (1 + t) ** 4, noise=2e-16, longest=1.0)
    >>> abs(measured.value - 4) <= measured.error < 1e-10
    True
    """
    found, quotient, stencil = [], None, None
    for power in range(STEPS):
        step = longest / RATIO**power
        if step < 64 * resolution:  # the point would hardly move, or not at all
            break
        above, below = phi(step), phi(-step)
        if not (math.isfinite(above) and math.isfinite(below)):
            quotient = stencil = None
            continue
        shorter = (above - below) / (2 * step)
        rounding = SAFETY * noise * (abs(above) + abs(below)) / (2 * step)
        rounding += abs(shorter) * resolution * RATIO / step
        if quotient is not None:
            finer = (RATIO**2 * shorter - quotient) / (RATIO**2 - 1)
            if stencil is not None:
                found.append(Measured(finer, abs(finer - stencil) + rounding))
            stencil = finer
        quotient = shorter
    return _best(found)


def _best(found):
    """The sharpest estimate that no estimate from shorter steps contradicts.

    Far from 0 a function may look like another one (softplus like a line), and agree with itself there.
    """
    best, low, high = Measured(math.nan, math.inf), -math.inf, math.inf
    for measured in reversed(found):
        if measured.value - measured.error > high or measured.value + measured.error < low:
            break
        low, high = max(low, measured.value - measured.error), min(high, measured.value + measured.error)
        if measured.error < best.error:
            best = measured
    return best


def complex_step(f: Callable, *params: np.ndarray, step: float = 1e-200) -> tuple[np.ndarray, ...]:
    """All partial derivatives of f by the complex step Im f(w + i h)/h: no difference, no cancellation.

    Parameters
    ----------
    f : callable
        f(*params), made of operations that are analytic (no modulus, no conjugate).
    params : ndarray of float64
    step : float
        h; its square vanishes beside 1.

    Returns
    -------
    tuple of ndarray of float64, shaped as params

    Notes
    -----
    One evaluation of f per entry.

    Examples
    --------
    >>> complex_step(lambda w: np.sum(w**3), np.array([2.0]))
    (array([12.]),)
    """
    shifted = [param.astype(np.complex128) for param in params]

    def entry(w, index):
        kept, w[index] = w[index], w[index] + 1j * step
        value = f(*shifted).imag / step
        w[index] = kept
        return value

    return tuple(_each_entry(w, entry, np.float64) for w in shifted)


def exact_derivative(f: Callable, *params: np.ndarray) -> tuple[np.ndarray, ...]:
    """All partial derivatives of f, by a central difference that is exact where f is quadratic in each.

    (f(w + 1) − f(w − 1)) / 2 has no truncation error for a polynomial of degree 2 in one entry (E is one),
    and Fractions have no rounding: the result *is* the derivative.

    Parameters
    ----------
    f : callable
        f(*params), a polynomial of degree at most 2 in each single entry.
    params : ndarray of Fraction

    Returns
    -------
    tuple of ndarray of Fraction, shaped as params

    Notes
    -----
    Two evaluations of f per entry.

    Examples
    --------
    >>> from fractions import Fraction
    >>> exact_derivative(lambda w: np.sum(w**2) / 3, np.array([Fraction(1, 2)]))
    (array([Fraction(1, 3)], dtype=object),)
    """
    shifted = [param.copy() for param in params]

    def entry(w, index):
        kept = w[index]
        w[index] = kept + 1
        above = f(*shifted)
        w[index] = kept - 1
        below = f(*shifted)
        w[index] = kept
        return (above - below) / 2

    return tuple(_each_entry(w, entry, object) for w in shifted)


def _each_entry(w, entry, dtype):
    """The values entry(w, index) in the shape of w."""
    out = np.empty(w.shape, dtype=dtype)
    for index in np.ndindex(w.shape):
        out[index] = entry(w, index)
    return out
