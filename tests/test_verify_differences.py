"""The measured derivatives: right where theory says so, and honest about their own error."""

from fractions import Fraction

import numpy as np
import pytest

from mflib.verify import complex_step, derivative, exact_derivative

EPS = np.finfo(float).eps


@pytest.mark.parametrize(
    ("phi", "slope"),
    [
        (lambda t: (1 + t) ** 4 - 3 * t, 1.0),
        (np.exp, 1.0),
        (lambda t: np.sin(100 * t), 100.0),
        (lambda t: 1e-9 * (t - 1) ** 2, -2e-9),
        (lambda t: np.logaddexp(0, t - 3), 1 / (1 + np.exp(3))),  # a line on both sides, far out
        (lambda t: np.log(1e-3 + t), 1e3),  # not defined at long steps
    ],
)
def test_derivative_lies_within_its_bound(phi, slope):
    with np.errstate(all="ignore"):
        measured = derivative(phi, EPS, longest=1024.0)
    assert abs(measured.value - slope) <= measured.error
    assert measured.error < 1e-5 * abs(slope)


def test_five_point_stencil_is_exact_for_degree_four_at_any_step():
    for longest in (1.0, 32.0, 1024.0):
        measured = derivative(lambda t: 3 + 2 * t - t**2 + 5 * t**3 - 7 * t**4, EPS, longest)
        np.testing.assert_allclose(measured.value, 2, rtol=1e-9)


def test_derivative_of_nothing_finite_has_no_finite_bound():
    assert derivative(lambda t: np.nan, EPS, 1.0).error == np.inf


def test_steps_that_do_not_move_the_point_are_not_taken():
    # in float32, 1 + t is 1 for every t below 6e-8: the quotient would be 0, and look certain
    phi = lambda t: float((np.float32(1) + np.float32(t)) ** 2)  # noqa: E731
    measured = derivative(phi, EPS, longest=1.0, resolution=float(np.finfo(np.float32).eps))
    np.testing.assert_allclose(measured.value, 2, rtol=1e-4)


def test_complex_step_has_no_truncation_and_no_cancellation():
    w = np.array([[0.5, 2.0], [1e-8, 3.0]])
    (d,) = complex_step(lambda w: np.sum(w**3), w)
    np.testing.assert_allclose(d, 3 * w**2, rtol=4 * EPS)


def test_exact_derivative_equals_the_derivative_of_a_quadratic():
    u, v = (np.array([Fraction(a), Fraction(b, 3)], dtype=object) for a, b in ((1, 2), (5, 7)))
    d_u, d_v = exact_derivative(lambda u, v: (u @ v) ** 2, u, v)
    assert list(d_u) == list(2 * (u @ v) * v)
    assert list(d_v) == list(2 * (u @ v) * u)


def test_measuring_leaves_the_params_alone():
    w = np.array([Fraction(1), Fraction(2)], dtype=object)
    kept = w.copy()
    exact_derivative(lambda w: w @ w, w)
    assert list(w) == list(kept)
