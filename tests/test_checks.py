"""Checks of numbers and choices; those of arrays are tested where they are used."""

from fractions import Fraction

import numpy as np
import pytest

from mflib import checks


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_every_kind_become_int(value):
    assert checks.whole_number("n", value, 3) == 3
    assert type(checks.whole_number("n", value, 3)) is int


@pytest.mark.parametrize("value", [3.0, "3", True, np.True_, None, [3], np.array([3])])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(TypeError, match="n must be a whole number, got"):
        checks.whole_number("n", value, 0)


def test_a_whole_number_below_the_least_is_refused():
    with pytest.raises(ValueError, match="n must be at least 4, got 3"):
        checks.whole_number("n", 3, 4)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), Fraction(1, 2)])
def test_real_numbers_of_every_kind_become_float(value):
    assert checks.real_number("x", value, 0, 1) == 0.5
    assert type(checks.real_number("x", value, 0, 1)) is float


@pytest.mark.parametrize("value", ["0.5", True, None, 0.5j, [0.5]])
def test_what_is_no_real_number_is_refused(value):
    with pytest.raises(TypeError, match="x must be a number, got"):
        checks.real_number("x", value, 0, 1)


@pytest.mark.parametrize(
    ("value", "bounds", "expected"),
    [
        (0, {}, True),
        (1, {}, True),
        (0, {"low_open": True}, False),
        (1, {"high_open": True}, False),
        (-1e-9, {}, False),
        (1 + 1e-9, {}, False),
        (np.nan, {}, False),
    ],
)
def test_bounds_belong_to_the_interval_unless_open(value, bounds, expected):
    if expected:
        assert checks.real_number("x", value, 0, 1, **bounds) == value
        return
    with pytest.raises(ValueError, match=r"x must lie in [\[(]0, 1[\])], got"):
        checks.real_number("x", value, 0, 1, **bounds)


def test_a_choice_is_one_of_the_accepted_values():
    assert checks.choice("rule", "plain", ("plain", "momentum")) == "plain"
    with pytest.raises(ValueError, match="rule must be one of 'plain', 'momentum', got 'plan'"):
        checks.choice("rule", "plan", ("plain", "momentum"))
    with pytest.raises(ValueError, match="rule must be one of 'plain', 'momentum', got array"):
        checks.choice("rule", np.array(["plain"]), ("plain", "momentum"))
