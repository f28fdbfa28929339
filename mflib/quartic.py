"""The minimum of a polynomial of degree 4 over t > 0: the exact step of a descent (E19)."""

import itertools
import math
from fractions import Fraction

# Newton's steps in an interval: a triple root, the worst, takes some sixty.
MOST_STEPS = 500
# Roots so far apart are looked for one by one: in units of the nearest, the cube of the ratio would be 1e180.
FAR = 1e60


def line_minimum(coefficients):
    """Where J(t) = c₀ + c₁ t + c₂ t² + c₃ t³ + c₄ t⁴ is smallest over t > 0 (E19): a root of its derivative.

    Parameters
    ----------
    coefficients : array_like of real numbers, shape (5,)
        c₀ to c₄, as `Objective.along` returns them.

    Returns
    -------
    float
        t > 0, or 0.0 where there is no step to take: the slope c₁ is not negative, J has no minimum, nothing
        is gained in float64 (J(t) rounds to c₀ or above), or a coefficient or t is not finite.

    Raises
    ------
    ValueError
        Where there are not five coefficients.

    Notes
    -----
    In units of t in which the cubic J' has coefficients between −1 and 1, whatever the scales of J and t, it
    is cut where it turns; each monotone piece that rises through 0 holds one minimum, found by Newton's
    method kept within its bracket. So no complex root can look like a real one. Values of J are compared in
    rational arithmetic, which neither overflows nor rounds. Some 50 microseconds.

    Examples
    --------
    >>> line_minimum([16, -16, -4, 4, 1])  # (5 − (1 + t)²)², so t = √5 − 1
    1.2360679774997898
    >>> line_minimum([0, 1, 1, 0, 0])
    0.0
    """
    if len(coefficients) != 5:
        raise ValueError(f"coefficients must be five, of 1, t, t², t³ and t⁴, got {len(coefficients)}")
    c0, c1, c2, c3, c4 = (float(c) for c in coefficients)
    if not (c1 < 0 and all(map(math.isfinite, (c0, c1, c2, c3, c4)))):
        return 0.0
    minima = _minima((c1 / 4, c2 / 2, c3 / 4 * 3, c4))
    exact = [Fraction(c) for c in (c4, c3, c2, c1, c0)]

    def J(t):
        total, t = Fraction(0), Fraction(t)
        for c in exact:
            total = total * t + c
        return total

    best = min(minima, key=J) if len(minima) > 1 else sum(minima)
    return best if best and J(best) <= math.nextafter(c0, -math.inf) else 0.0


def _minima(slope):
    """The t > 0 where a cubic, given by its coefficients, rises through 0."""
    present = [power for power, c in enumerate(slope) if c]
    if len(present) < 2:
        return []
    first, last = present[0], present[-1]
    # Where the constant and another term are of one size there is the nearest root, if any; and the farthest
    # where the leading term and another one are.
    near = min(_balance(slope, first, power) for power in present[1:])
    far = max(_balance(slope, power, last) for power in present[:-1])
    measures = [(near, first)] if far <= FAR * near else [(near, first), (far, last)]
    found = []
    for unit, reference in measures:
        if 0 < unit < math.inf:
            roots = _rising_roots(*(_in_units(slope, power, unit, reference) for power in range(4)))
            found += [x * unit for x in roots if 0 < x * unit < math.inf]
    return found


def _balance(slope, low, high):
    """The t where two terms of the cubic are of one size."""
    root = (None, float, math.sqrt, math.cbrt)[high - low]
    return root(abs(slope[low])) / root(abs(slope[high]))


def _in_units(slope, power, unit, reference):
    """The coefficient of (t/unit)^power, divided by the size of the reference's: at most 1."""
    if not slope[power]:
        return 0.0
    size = 1.0
    if power > reference:
        size = (unit / _balance(slope, reference, power)) ** (power - reference)
    if power < reference:
        size = (_balance(slope, power, reference) / unit) ** (reference - power)
    return math.copysign(size, slope[power])


def _rising_roots(constant, linear, square, cube):
    """The x > 0 where a cubic rises through 0, at most two."""

    def value(x):
        return constant + x * (linear + x * (square + x * cube))

    def rise(x):
        return linear + x * (2 * square + 3 * x * cube)

    ends = [0.0, *_turns(linear, square, cube)]
    if (cube or square or linear) > 0:  # it ends above 0, beyond its last turn
        last = max(1.0, 2 * ends[-1])
        while value(last) < 0:
            last *= 2
        ends.append(last)
    pieces = itertools.pairwise(ends)
    return [_root(value, rise, low, high) for low, high in pieces if value(low) < 0 <= value(high)]


def _turns(linear, square, cube):
    """The x > 0 where the derivative linear + 2 square x + 3 cube x² is 0, in order."""
    discriminant = square * square - 3 * cube * linear
    if discriminant <= 0:
        return []
    # Of the two forms of each root the one that does not cancel.
    larger = -(square + math.copysign(math.sqrt(discriminant), square))
    fractions = (larger, 3 * cube), (linear, larger)
    roots = (above / below for above, below in fractions if below)
    return sorted(x for x in roots if 0 < x < math.inf)


def _root(value, rise, low, high):
    """The root of a rising function between low, where it is below 0, and high, by Newton's method."""
    x = high
    for _ in range(MOST_STEPS):
        height, slope = value(x), rise(x)
        if height < 0:
            low = x
        else:
            high = x
        step = height / slope if slope > 0 else math.inf
        following = x - step if low < x - step < high else low + (high - low) / 2
        if abs(step) <= math.ulp(x) or following == x:
            break
        x = following
    return x
