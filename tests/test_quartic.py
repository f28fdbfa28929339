"""The exact step: the lowest point of a quartic over t > 0, at any scale and however degenerate."""

import math
from fractions import Fraction

import numpy as np
import pytest

from mflib.quartic import line_minimum


def value(coefficients, t):
    """The polynomial in rational arithmetic."""
    total = Fraction(0)
    for c in reversed(coefficients):
        total = total * Fraction(t) + Fraction(c)
    return total


def squares(rng, n, spread=0.0):
    """Coefficients of (1/n) Σ (d − a t − b t²)², as a loss has them, a and b of scales drawn apart."""
    d, a, b = rng.normal(size=(3, n)) * 10.0 ** rng.uniform(-spread, spread, (3, 1))
    return [float(np.sum(c)) / n for c in (d * d, -2 * d * a, a * a - 2 * d * b, 2 * a * b, b * b)]


def test_minimum_by_hand():
    """(5 − (1 + t)²)² is 0 at √5 − 1, and (t − 3)² at 3."""
    assert line_minimum([16, -16, -4, 4, 1]) == pytest.approx(math.sqrt(5) - 1, rel=1e-15)
    assert line_minimum([9, -6, 1, 0, 0]) == 3
    assert line_minimum([Fraction(9), Fraction(-6), Fraction(1), Fraction(0), Fraction(0)]) == 3
    assert line_minimum(np.array([4.0, -4.0, 0.0, 0.0, 1.0])) == 1


@pytest.mark.parametrize("lower", [1, 4])
def test_the_lower_of_two_minima_is_taken(lower):
    """J' = (t − 1)(t − 2)(t − 4) ± a tilt: minima at about 1 and 4, the lower one wins."""
    wanted = np.polynomial.Polynomial.fromroots([1, 2, 4] if lower == 4 else [1, 3, 4]).integ()
    t = line_minimum([100, *wanted.coef[1:]])
    assert t == pytest.approx(lower, rel=1e-14)


@pytest.mark.parametrize("spread", [0, 2, 6])
def test_no_point_is_lower_than_the_minimum(spread):
    """In rational arithmetic, against a fine grid and the roots that NumPy finds."""
    rng = np.random.default_rng(spread)
    steps = 0
    for _ in range(200):
        coefficients = squares(rng, 5, spread)
        t = line_minimum(coefficients)
        if coefficients[1] >= 0:
            assert t == 0
            continue
        steps += t > 0
        found = [root.real for root in np.roots(np.polynomial.Polynomial(coefficients).deriv().coef[::-1])]
        others = [x for x in found if x > 0] + list(t * np.geomspace(1e-3, 1e3, 61))
        least = min(value(coefficients, x) for x in others) if others else value(coefficients, 0)
        assert value(coefficients, t) <= least + Fraction(coefficients[0]) / 10**13
    assert steps > 50


def test_the_derivative_changes_sign_at_the_minimum():
    """To a few units in the last place where the root is a clear one: J'(t (1 ∓ 1e-14)) is ∓."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        inner, outer = sorted(rng.uniform(0.5, 2, 2))
        derivative = np.polynomial.Polynomial.fromroots([inner, -outer, -2])
        coefficients = [10, *derivative.integ().coef[1:]]
        assert line_minimum(coefficients) == pytest.approx(inner, rel=1e-14)


@pytest.mark.parametrize("of_J", [-300, -150, 0, 150, 250])
@pytest.mark.parametrize("of_t", [-60, -20, 0, 20, 60])
def test_the_minimum_moves_with_the_scales_of_J_and_t(of_J, of_t):
    """t → s t and J → f J, whatever the powers of ten, as long as the coefficients are numbers."""
    plain = [16, -16, -4, 4, 1]
    powers = [of_J - of_t * power for power in range(5)]
    if max(map(abs, powers)) <= 300:
        scaled = [float(c * Fraction(10) ** power) for c, power in zip(plain, powers, strict=True)]
        assert line_minimum(scaled) == pytest.approx((math.sqrt(5) - 1) * 10.0**of_t, rel=1e-14)


def test_any_five_numbers_give_a_finite_step_that_raises_nothing():
    """Scales from 1e-300 to 1e300 mixed, with zeros and both signs, c₀ and c₄ as in sums of squares."""
    rng = np.random.default_rng(4)
    for _ in range(5000):
        c = rng.choice([-1, 0, 1], 5) * 10.0 ** rng.uniform(-300, 300, 5)
        c[[0, 4]] = np.abs(c[[0, 4]])
        t = line_minimum(c)
        assert math.isfinite(t)
        assert t >= 0
        if t > 0:
            assert value(c, t) <= value(c, 0)


@pytest.mark.parametrize(
    "coefficients",
    [
        [1, 1, 1, 0, 0],  # uphill
        [1, 0, -1, 0, 1],  # flat at the start
        [0, 0, 0, 0, 0],
        [0, -5e-324, 0, 0, 0],
        [1, -1, 0, 0, 0],  # falls for ever
        [1, -1, -1, 0, 0],
        [1, -1, 0, 0, -1],
        [1, -1e-30, 1, 0, 0],  # the gain is lost in c₀
        [1, -5e-324, 1e300, 0, 0],  # t is below every float
        [1e300, -1e300, 5e-324, 0, 0],  # and above
        [1, math.nan, 1, 0, 0],
        [math.inf, -1, 1, 0, 0],
        [1, -1, 1, math.inf, 1],
    ],
)
def test_where_there_is_no_step_to_take_it_is_zero(coefficients):
    assert line_minimum(coefficients) == 0.0


@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [
        ([1, -1, 0.5, 0, 5e-324], 1),  # a quartic in name
        ([1, -1, 0.5, -1e-200, 1e-300], 1),
        ([1, -1, 0, 1 / 3, 0], 1),  # a cubic
        ([1, -4, 6, -4, 1], 1),  # (1 − t)⁴: a triple root
        ([2, -4, 6, -4, 1], 1),
        ([0.25, -1, 0, 0, 1e-30], (1e30 / 4) ** (1 / 3)),  # far away, since b is tiny
    ],
)
def test_degenerate_polynomials(coefficients, expected):
    assert line_minimum(coefficients) == pytest.approx(expected, rel=1e-4)


def test_an_inflection_is_no_minimum():
    """J' = (t − 1)² (t − 3): it touches 0 at 1 and falls on, to 3."""
    J = np.polynomial.Polynomial.fromroots([1, 1, 3]).integ()
    assert line_minimum([100, *J.coef[1:]]) == pytest.approx(3, rel=1e-14)


def test_a_pair_of_roots_that_is_nearly_real_is_no_minimum():
    """J' = ((t − 1)² + δ²)(t − 3): eigenvalue methods put the pair on the real line for small δ."""
    for delta in (1e-9, 1e-7, 1e-3):
        J = (np.polynomial.Polynomial([1 + delta**2, -2, 1]) * np.polynomial.Polynomial([-3, 1])).integ()
        assert line_minimum([100, *J.coef[1:]]) == pytest.approx(3, rel=1e-14)


def test_minima_of_very_different_sizes_are_found_both():
    """J' = (t − 1e-60)(t − 1)(t − 1e60): in units of the near minimum the far one has no cube."""
    assert line_minimum([100, -1, 1e60 / 2, -1e60 / 3, 1 / 4]) == pytest.approx(1e60, rel=1e-12)
    # with a turned sign of the far part it rises for ever beyond the near one
    assert line_minimum([0, -1, 1e60 / 2, 1e60 / 3, 1 / 4]) == pytest.approx(1e-60, rel=1e-12)


def test_other_than_five_coefficients_are_refused():
    with pytest.raises(ValueError, match="coefficients must be five, of 1, t, t², t³ and t⁴, got 4"):
        line_minimum([1, -1, 1, 0])
