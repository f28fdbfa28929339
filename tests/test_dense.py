"""The lecture's equations on dense arrays, against hand, spelled-out sums, exact and complex derivatives."""

from fractions import Fraction

import numpy as np
import pytest
from problems import KINDS, TOLERANCE, Problem, exact, problem

from mflib import dense

FORMS = [dense.gradients_chain_rule, dense.gradients_elementwise, dense.gradients]

# 2 × 2 by hand: Ŷ = [[4, 2], [8, 4]], Δ = [[1, 0], [-8, -3]], N = 3
HAND = Problem(
    Y=np.array([[5.0, np.nan], [0.0, 1.0]]),
    R=np.array([[1, 0], [1, 1]]),
    U=np.array([[1.0], [2.0]]),
    V=np.array([[4.0], [2.0]]),
)


def spelled_loss(Y, R, U, V):
    """E04 as a sum over the observed places."""
    n, m = R.shape
    terms = [(Y[i, j] - sum(U[i] * V[j])) ** 2 for i in range(n) for j in range(m) if R[i, j]]
    return sum(terms) / len(terms)


def central_differences(p):
    """Both gradients in exact arithmetic: E is quadratic in one entry, so any step gives the derivative."""
    gradients = []
    for W in (p.U, p.V):
        gradient = np.empty_like(W)
        for place in np.ndindex(W.shape):
            entry, sides = W[place], []
            for step in (3, -3):
                W[place] = entry + step
                sides.append(spelled_loss(*p))
            W[place] = entry
            gradient[place] = (sides[0] - sides[1]) / 6
        gradients.append(gradient)
    return gradients


def test_a_2_by_2_case_by_hand():
    np.testing.assert_array_equal(dense.predict(HAND.U, HAND.V), [[4, 2], [8, 4]])
    np.testing.assert_array_equal(dense.residual(*HAND), [[1, 0], [-8, -3]])
    assert (dense.count(HAND.R), dense.loss(*HAND)) == (3, 74 / 3)


@pytest.mark.parametrize("form", FORMS)
def test_the_gradients_of_the_2_by_2_case_by_hand(form):
    grad_U, grad_V = form(*HAND)
    np.testing.assert_allclose(grad_U, [[-2 * 4 / 3], [-2 * (-8 * 4 - 3 * 2) / 3]], rtol=1e-15)
    np.testing.assert_allclose(grad_V, [[-2 * (1 - 8 * 2) / 3], [-2 * (-3 * 2) / 3]], rtol=1e-15)


def test_the_mask_is_1_where_a_rating_is_and_0_where_none_is():
    np.testing.assert_array_equal(dense.observed(HAND.Y), HAND.R)
    objects = np.array([[Fraction(1), None], [float("nan"), 0]], dtype=object)
    np.testing.assert_array_equal(dense.observed(objects), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(dense.observed(np.array([[1 + 2j, np.nan]])), [[1, 0]])
    np.testing.assert_array_equal(dense.observed(np.array([[0, 7]])), [[1, 1]])
    assert dense.observed(HAND.Y).dtype == np.int8


def test_a_list_is_no_matrix_whose_gaps_could_be_seen():
    """It used to come back all observed."""
    with pytest.raises(TypeError, match="Y must be a NumPy array, got list"):
        dense.observed([[1.0, np.nan]])


def test_the_count_is_a_python_int_and_counts_ones():
    assert dense.count(np.array([[1, 0], [1, 1]], dtype=np.int8)) == 3
    assert type(dense.count(np.ones((2, 2)))) is int
    assert dense.count(np.array([[True, False]])) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_residual_and_loss_are_the_spelled_out_sums(kind):
    p = exact(kind)
    residual = dense.residual(*p)
    for i, j in np.ndindex(p.R.shape):
        assert residual[i, j] == (p.Y[i, j] - sum(p.U[i] * p.V[j]) if p.R[i, j] else 0)
    assert dense.loss(*p) == spelled_loss(*p)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("sparse", "wide")])
def test_gradients_equal_the_exact_derivative_in_every_entry(form, kind):
    p = exact(kind, seed=1)
    for gradient, expected in zip(form(*p), central_differences(p), strict=True):
        np.testing.assert_array_equal(gradient, expected)
        assert {type(entry) for entry in gradient.flat} == {Fraction}


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_the_complex_step_derivative_to_rounding(form):
    """E is analytic and the code takes squares without a modulus: Im E(w + ih)/h is the derivative."""
    p = problem("small")
    for which, gradient in zip("UV", form(*p), strict=True):
        W = getattr(p, which)
        for place in np.ndindex(W.shape):
            shifted = W.astype(complex)
            shifted[place] += 1e-200j
            step = dense.loss(*p._replace(**{which: shifted})).imag / 1e-200
            np.testing.assert_allclose(gradient[place], step, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("i", range(3))
@pytest.mark.parametrize("j", range(2))
def test_the_derivative_of_one_prediction_is_zero_but_for_its_row(i, j):
    *_, U, V = problem("k above both sizes")
    d_U, d_V = dense.prediction_derivative(U, V, i, j)
    for d, W, own, other in ((d_U, U, i, V[j]), (d_V, V, j, U[i])):
        for row in range(len(W)):
            np.testing.assert_array_equal(d[row], other if row == own else 0 * other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_all_forms_of_the_gradient_are_equal_and_of_their_own_kind(kind, dtype):
    p = problem(kind, dtype)
    expected = dense.gradients(*problem(kind))
    for form in FORMS:
        for gradient, reference in zip(form(*p), expected, strict=True):
            assert gradient.dtype == dtype
            tolerance = TOLERANCE["float32" if dtype == "float32" else "float64"]
            np.testing.assert_allclose(gradient, reference, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_results_are_of_the_kind_of_their_arguments(dtype):
    Y, R, U, V = problem("small", dtype)
    arrays = [dense.predict(U, V), *dense.prediction_derivative(U, V, 0, 1), dense.residual(Y, R, U, V)]
    arrays += [dense.loss(Y, R, U, V), *dense.update(Y, R, U, V, 0.5), dense.descend_step(U, U, 0.5)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_fractions_stay_fractions():
    p = exact()
    arrays = [dense.predict(p.U, p.V), *dense.prediction_derivative(p.U, p.V, 0, 1), dense.residual(*p)]
    arrays += [*dense.update(*p, Fraction(1, 3)), dense.descend_step(p.U, p.U, Fraction(1, 3))]
    assert {type(entry) for array in arrays for entry in array.flat} == {Fraction}
    assert type(dense.loss(*p)) is Fraction


@pytest.mark.parametrize("hidden", [np.nan, np.inf, 1e300, -7.0])
@pytest.mark.parametrize("of", [dense.residual, dense.loss, *FORMS, lambda *p: dense.update(*p, 0.1)])
def test_what_stands_where_nothing_is_observed_never_matters(of, hidden):
    p = problem("small")
    np.testing.assert_equal(of(np.where(p.R == 1, p.Y, hidden), *p[1:]), of(*p))


@pytest.mark.parametrize("of", [dense.loss, *FORMS])
def test_what_stands_where_nothing_is_observed_never_matters_exactly(of):
    p = exact("small")
    for hidden in (None, Fraction(10**9), "text"):
        np.testing.assert_equal(of(np.where(p.R == 1, p.Y, hidden), *p[1:]), of(*p))


def test_an_observed_zero_is_no_missing_rating():
    U, V = np.array([[1.0]]), np.array([[1.0], [3.0]])
    assert dense.loss(np.array([[1.0, 0.0]]), np.array([[1, 1]]), U, V) == 4.5
    assert dense.loss(np.array([[1.0, 0.0]]), np.array([[1, 0]]), U, V) == 0


@pytest.mark.parametrize("form", FORMS)
def test_users_and_items_without_a_rating_have_a_gradient_of_zero_and_no_others(form):
    p = problem("small")
    grad_U, grad_V = form(*p)
    np.testing.assert_array_equal(grad_U.any(axis=1), p.R.any(axis=1))
    np.testing.assert_array_equal(grad_V.any(axis=1), p.R.any(axis=0))
    assert not p.R[-1].any()


def test_a_step_goes_against_the_gradient():
    W, gradient = np.array([[1.0, 2.0]]), np.array([[10.0, -20.0]])
    np.testing.assert_array_equal(dense.descend_step(W, gradient, 0.25), [[-1.5, 7.0]])
    np.testing.assert_array_equal(W, [[1, 2]])


def test_an_update_moves_both_factors_at_once_by_the_sums_of_the_lecture():
    p, eta = exact(), Fraction(1, 7)
    U, V = dense.update(*p, eta)
    (n, m), N = p.R.shape, dense.count(p.R)
    error = dense.residual(*p)
    for l, k in np.ndindex(p.U.shape):
        assert U[l, k] == p.U[l, k] + 2 * eta / N * sum(error[l, j] * p.V[j, k] for j in range(m))  # E09
    for j, k in np.ndindex(p.V.shape):
        assert V[j, k] == p.V[j, k] + 2 * eta / N * sum(error[i, j] * p.U[i, k] for i in range(n))  # E11


def test_updates_lower_the_loss():
    p = problem("small")
    U, V = dense.update(*p, 0.05)
    assert dense.loss(p.Y, p.R, U, V) < dense.loss(*p)


@pytest.mark.parametrize("of", [dense.residual, dense.loss, *FORMS, lambda *p: dense.update(*p, 0.1)])
def test_arguments_stay_as_they_are(of):
    p = problem("small")
    before = [array.copy() for array in p]
    of(*p)
    for array, copy in zip(p, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("kind", [bool, float, object, np.uint8])
def test_a_mask_may_be_of_any_kind_of_ones_and_zeros(kind):
    assert dense.loss(HAND.Y, HAND.R.astype(kind), HAND.U, HAND.V) == 74 / 3


def test_arrays_of_whole_numbers_and_of_any_layout_are_taken():
    Y, R, U, V = (np.nan_to_num(array).astype(int) for array in HAND)
    for form in FORMS:
        for gradient, expected in zip(form(Y, R, U, V), form(*HAND), strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-15)
    p = problem("wide")
    strided = [np.repeat(array, 2, axis=0)[::2].T.copy().T for array in p]
    np.testing.assert_allclose(dense.gradients(*strided)[1], dense.gradients(*p)[1], rtol=1e-13, atol=1e-15)


ONES = np.ones((2, 2))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Y": ONES.tolist()}, TypeError, r"Y must be a NumPy array, got list: use np\.asarray\(Y\)"),
        ({"R": ONES.tolist()}, TypeError, r"R must be a NumPy array, got list: use np\.asarray\(R\)"),
        ({"U": ONES.tolist()}, TypeError, r"U must be a NumPy array, got list: use np\.asarray\(U\)"),
        ({"V": None}, TypeError, r"V must be a NumPy array, got NoneType: use np\.asarray\(V\)"),
        ({"Y": np.ones(2)}, ValueError, r"Y must have two axes \(users, items\), got shape \(2,\)"),
        ({"R": np.ones(2)}, ValueError, r"R must have two axes \(users, items\), got shape \(2,\)"),
        ({"U": np.ones(2)}, ValueError, r"U must have two axes \(rows, factors\), got shape \(2,\)"),
        ({"V": np.ones(2)}, ValueError, r"V must have two axes \(rows, factors\), got shape \(2,\)"),
        ({"Y": np.full((2, 2), "a")}, TypeError, "Y must hold numbers, got <U1"),
        ({"U": np.full((2, 1), "a")}, TypeError, "U must hold numbers, got <U1"),
        ({"R": np.ones((2, 3))}, ValueError, r"R must have the shape of Y, got Y \(2, 2\) and R \(2, 3\)"),
        (
            {"R": 2 * ONES},
            ValueError,
            r"R must hold only 0 .* and 1 .* got other values: use dense\.observed",
        ),
        ({"R": np.nan * ONES}, ValueError, "R must hold only 0"),
        ({"R": 0 * ONES}, ValueError, "R marks no rating as observed, so N = 0 .* observe at least one"),
        ({"R": ONES}, ValueError, r"Y\[0, 1\] is nan, expected a number where R .* use R = dense\.observed"),
        ({"Y": np.array([[5, np.inf], [np.nan, 1]]), "R": ONES}, ValueError, r"Y\[0, 1\] is inf, expected"),
        ({"Y": np.array([[5, 1], [None, 1]])}, ValueError, r"Y\[1, 0\] is None, expected a number"),
        ({"Y": np.array([[5, 1], [1, np.nan]], dtype=object)}, ValueError, r"Y\[1, 1\] is nan, expected"),
        ({"V": ONES}, ValueError, r"same number of factors \(axis 1\), got U \(2, 1\) and V \(2, 2\)"),
        ({"U": ONES[:, :0], "V": ONES[:, :0]}, ValueError, r"at least one factor \(axis 1\), got U \(2, 0\)"),
        ({"U": np.ones((3, 1))}, ValueError, r"U must have one row for each of the 2 users .* \(3, 1\)"),
        ({"V": np.ones((3, 1))}, ValueError, r"V must have one row for each of the 2 items .* \(3, 1\)"),
    ],
)
@pytest.mark.parametrize("of", [dense.residual, dense.loss, *FORMS, lambda *p: dense.update(*p, 0.1)])
def test_what_does_not_fit_is_refused(of, change, error, message):
    """A NaN that the mask marks as observed used to make the loss NaN."""
    with pytest.raises(error, match=message):
        of(*HAND._replace(**change))


@pytest.mark.parametrize("of", [dense.predict, lambda U, V: dense.prediction_derivative(U, V, 0, 0)])
def test_factors_that_do_not_fit_are_refused(of):
    with pytest.raises(ValueError, match=r"same number of factors \(axis 1\), got U \(2, 1\) and V \(2, 2\)"):
        of(np.ones((2, 1)), np.ones((2, 2)))
    with pytest.raises(TypeError, match="U must be a NumPy array, got list"):
        of([[1.0]], np.ones((2, 1)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("sparse", "wide")])
def test_the_loss_along_a_line_is_a_polynomial_of_degree_4(kind):
    """With ==, at six points: one more than settles it."""
    p, q = exact(kind), exact(kind, seed=3)
    c = dense.line(*p, q.U, q.V)
    assert {type(entry) for entry in c} == {Fraction}
    for t in map(Fraction, (-2, -1, 0, "1/2", 1, 3)):
        moved = p._replace(U=p.U + t * q.U, V=p.V + t * q.V)
        assert sum(c[power] * t**power for power in range(5)) == dense.loss(*moved)


@pytest.mark.parametrize("hidden", [np.nan, np.inf, 1e300])
def test_hidden_ratings_never_matter_along_a_line(hidden):
    p, q = problem("small"), problem("small", seed=3)
    filled = np.where(p.R == 1, p.Y, hidden)
    np.testing.assert_equal(dense.line(filled, *p[1:], q.U, q.V), dense.line(*p, q.U, q.V))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_loss_and_gradients_and_the_line_are_of_the_kind_of_their_arguments(dtype):
    p = problem("small", dtype)
    E, *gradients = dense.loss_and_gradients(*p)
    assert E == dense.loss(*p)
    np.testing.assert_equal(tuple(gradients), dense.gradients(*p))
    assert {array.dtype for array in (E, *gradients, dense.line(*p, *gradients))} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("P", "Q", "message"),
    [
        (np.ones((3, 1)), np.ones((2, 1)), r"P must have one row for each of the 2 users .* \(3, 1\)"),
        (np.ones((2, 1)), np.ones((2, 3)), r"P and Q must have the same number of factors"),
        (np.ones((2, 3)), np.ones((2, 3)), r"P and Q must be of the shapes of U and V, got P \(2, 3\) and U"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused(P, Q, message):
    with pytest.raises(ValueError, match=message):
        dense.line(*HAND, P, Q)
