"""The minimum of a polynomial of degree 4 over t > 0: the exact step of a descent (E19)."""

import itertools
import math

# Newton's steps in an interval: a triple root, the worst, takes some sixty.
MOST_STEPS = 500


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
    t is measured in units of the steepest of the lengths (c₁/2c₂), (c₁/3c₃)^½ and (c₁/4c₄)^⅓, which leaves a
    cubic with coefficients between −1 and 1, whatever the scales of J and t. It is cut where it turns; each
    monotone piece that rises through 0 holds one minimum, found by Newton's method kept within its bracket.
    No complex root can look like a real one. Some microseconds.

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
    # |c₁| (−1 + (r₂ t) ± (r₃ t)² ± (r₄ t)³) is the derivative: the r are inverse lengths.
    rates = (
        abs(c2) / -c1 * 2,
        math.sqrt(abs(c3)) / math.sqrt(-c1) * math.sqrt(3),
        math.cbrt(c4) / math.cbrt(-c1) * math.cbrt(4),
    )
    unit = max(rates[0], rates[1], abs(rates[2]))
    if not 0 < unit < math.inf:
        return 0.0
    linear = math.copysign(rates[0] / unit, c2)
    square = math.copysign((rates[1] / unit) ** 2, c3)
    cube = (rates[2] / unit) ** 3

    def gain(x):
        """J(x / unit) − c₀ in units of |c₁| / unit."""
        return x * (-1 + x * (linear / 2 + x * (square / 3 + x * cube / 4)))

    minima = _rising_roots(linear, square, cube)
    if not minima:
        return 0.0
    best = min(minima, key=gain)
    t = best / unit
    return t if math.isfinite(t) and c0 + gain(best) * (-c1 / unit) < c0 else 0.0


def _rising_roots(linear, square, cube):
    """The x > 0 where −1 + linear x + square x² + cube x³ rises through 0, at most two."""

    def value(x):
        return -1 + x * (linear + x * (square + x * cube))

    def slope(x):
        return linear + x * (2 * square + 3 * x * cube)

    ends = [0.0, *_turns(linear, square, cube)]
    if (cube or square or linear) > 0:  # it ends above 0, beyond its last turn
        last = max(1.0, 2 * ends[-1])
        while value(last) < 0:
            last *= 2
        ends.append(last)
    pieces = itertools.pairwise(ends)
    return [_root(value, slope, low, high) for low, high in pieces if value(low) < 0 <= value(high)]


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


def _root(value, slope, low, high):
    """The root of a rising function between low, where it is below 0, and high, by Newton's method."""
    x = high
    for _ in range(MOST_STEPS):
        height, rise = value(x), slope(x)
        if height < 0:
            low = x
        else:
            high = x
        step = height / rise if rise > 0 else math.inf
        following = x - step if low < x - step < high else low + (high - low) / 2
        if abs(step) <= math.ulp(x) or following == x:
            break
        x = following
    return x
