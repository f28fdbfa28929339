"""Loss and penalty, biases as columns, and both along a line: against sums spelled out, and twins."""

from fractions import Fraction

import numpy as np
import pytest
from problems import KINDS, TOLERANCE, exact, fractions, problem

from mflib import dense, get_num_threads, set_num_threads, sparse
from mflib.objective import Objective

RATIONAL = ("plain", "count")  # the square root is no Fraction
SETTINGS = [(weighting, biases) for weighting in RATIONAL for biases in (False, True)]
REG = Fraction(1, 3)


def with_biases(p):
    """The same problem, with factors whose columns of E18 are held at 1; k is 3 at least."""
    held_U, held_V = np.full_like(p.U[:, :1], 1), np.full_like(p.V[:, :1], 1)
    U = np.concatenate([p.U, p.U[:, :1] * 2, held_U], axis=1)
    V = np.concatenate([p.V, held_V, p.V[:, :1] * 2], axis=1)
    return p._replace(U=U, V=V)


def direction(p, biases, dtype, seed=5):
    """P and Q, zero in the columns held."""
    rng = np.random.default_rng(seed)
    P, Q = (rng.normal(size=W.shape) for W in (p.U, p.V))
    if biases:
        P[:, -1], Q[:, -2] = 0, 0
    return (fractions(P), fractions(Q)) if dtype is object else (P.astype(dtype), Q.astype(dtype))


def spelled_penalty(p, weighting, biases):
    """(Σ_i a_i ‖u_i‖² + Σ_j b_j ‖v_j‖²)/N, entry by entry."""
    total, N = 0, int(p.R.sum())
    for W, counts, held in ((p.U, p.R.sum(axis=1), -1), (p.V, p.R.sum(axis=0), -2)):
        for i, s in np.ndindex(W.shape):
            if not (biases and s == W.shape[1] + held):
                total = total + (int(counts[i]) if weighting == "count" else 1) * W[i, s] ** 2
    return total / N


@pytest.mark.parametrize(("weighting", "biases"), SETTINGS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sparse"])
def test_the_objective_is_the_loss_and_the_penalty_spelled_out(kind, weighting, biases):
    p = with_biases(exact(kind)) if biases else exact(kind)
    objective = Objective.of_dense(p.Y, p.R, REG, weighting, biases)
    expected = dense.loss(*p) + REG * spelled_penalty(p, weighting, biases)
    assert objective.loss(p.U, p.V) == dense.loss(*p)
    assert objective.value(p.U, p.V) == expected
    assert objective.evaluate(p.U, p.V)[:2] == (dense.loss(*p), expected)


@pytest.mark.parametrize(("weighting", "biases"), SETTINGS)
def test_gradients_equal_the_exact_derivative_but_for_the_columns_held(weighting, biases):
    """J is quadratic in one entry: a central difference of any step is the derivative."""
    p = with_biases(exact()) if biases else exact()
    objective = Objective.of_dense(p.Y, p.R, REG, weighting, biases)
    *_, grad_U, grad_V = objective.evaluate(p.U, p.V)
    for W, gradient, held in ((p.U, grad_U, -1), (p.V, grad_V, -2)):
        for place in np.ndindex(W.shape):
            entry, sides = W[place], []
            for step in (3, -3):
                W[place] = entry + step
                sides.append(objective.value(p.U, p.V))
            W[place] = entry
            if biases and place[1] == W.shape[1] + held:
                assert gradient[place] == 0
            else:
                assert gradient[place] == (sides[0] - sides[1]) / 6
            assert type(gradient[place]) is Fraction


@pytest.mark.parametrize(("weighting", "biases"), SETTINGS)
@pytest.mark.parametrize("reg", [0, REG])
def test_the_polynomial_is_the_objective_along_the_line(weighting, biases, reg):
    """At six points, one more than settles a polynomial of degree 4, with =="""
    p = with_biases(exact()) if biases else exact()
    objective = Objective.of_dense(p.Y, p.R, reg, weighting, biases)
    P, Q = direction(p, biases, object)
    c = objective.along(p.U, p.V, P, Q)
    assert c.shape == (5,)
    for t in map(Fraction, (-2, -1, 0, "1/2", 1, 3)):
        assert sum(c[power] * t**power for power in range(5)) == objective.value(p.U + t * P, p.V + t * Q)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("weighting", "biases"), SETTINGS)
def test_both_twins_have_the_same_objective(kind, dtype, weighting, biases):
    p = with_biases(problem(kind, dtype)) if biases else problem(kind, dtype)
    on_ratings = Objective.of_ratings(p.ratings.astype(dtype), 0.3, weighting, biases)
    on_matrix = Objective.of_dense(p.Y, p.R, 0.3, weighting, biases)
    assert on_ratings.N == on_matrix.N
    np.testing.assert_array_equal(on_ratings.a, on_matrix.a)
    np.testing.assert_array_equal(on_ratings.b, on_matrix.b)
    P, Q = direction(p, biases, dtype)
    results = [
        (o.value(p.U, p.V), *o.evaluate(p.U, p.V), o.along(p.U, p.V, P, Q)) for o in (on_ratings, on_matrix)
    ]
    for one, other in zip(*results, strict=True):
        scale = max(1, np.max(np.abs(other)))
        np.testing.assert_allclose(one, other, rtol=10 * TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)
    assert results[0][3].dtype == results[0][4].dtype == dtype
    assert results[0][5].dtype == np.float64


def test_weights_are_one_or_the_numbers_of_ratings():
    p = problem()
    plain, count = (Objective.of_ratings(p.ratings, 1.0, weighting) for weighting in RATIONAL)
    np.testing.assert_array_equal(plain.a, np.ones(4))
    np.testing.assert_array_equal(plain.b, np.ones(5))
    np.testing.assert_array_equal(count.a, p.R.sum(axis=1))
    np.testing.assert_array_equal(count.b, p.R.sum(axis=0))


def test_without_a_penalty_the_objective_is_the_loss_to_the_bit():
    p = problem("wide")
    objective = Objective.of_ratings(p.ratings)
    E, grad_U, grad_V = sparse.loss_and_gradients(p.ratings, p.U, p.V)
    assert objective.loss(p.U, p.V) == objective.value(p.U, p.V) == E
    np.testing.assert_equal(objective.evaluate(p.U, p.V), (E, E, grad_U, grad_V))
    np.testing.assert_array_equal(
        objective.along(p.U, p.V, p.U, p.V), sparse.line(p.ratings, p.U, p.V, p.U, p.V)
    )


def test_predictions_with_biases_are_those_of_e18():
    """b_i + c_j + u_i · v_j, the columns held being 1."""
    p = with_biases(problem())
    biases, own = p.U[:, -2:-1] + p.V[:, -1], dense.predict(p.U[:, :-2], p.V[:, :-2])
    np.testing.assert_allclose(dense.predict(p.U, p.V), biases + own, rtol=1e-14, atol=1e-14)


def test_biases_alone_are_a_model():
    """Two columns: no factor is left, and the penalty is that of b and c."""
    p = with_biases(exact())
    U, V = p.U[:, -2:], p.V[:, -2:]
    objective = Objective.of_dense(p.Y, p.R, REG, biases=True)
    squares = sum(b**2 for b in U[:, 0]) + sum(c**2 for c in V[:, 1])
    assert objective.value(U, V) == dense.loss(p.Y, p.R, U, V) + REG * squares / objective.N


def test_penalties_of_float32_factors_are_summed_in_float64():
    """16,777,217 ones in float32 would be 16,777,216."""
    p = problem("one place", "float32")
    ratings = p.ratings.astype("float32")
    U, V = np.full((1, 2), 2**12, dtype=np.float32), np.zeros((1, 2), dtype=np.float32)
    U[0, 1] = 1
    objective = Objective.of_ratings(ratings, 1.0)
    assert objective.value(U, V) - objective.loss(U, V) == 2**24 + 1


def test_rows_beyond_one_block_are_penalized_too():
    rng = np.random.default_rng(0)
    R = (rng.random((2500, 3)) < 0.5).astype(np.int8)
    Y, U, V = rng.normal(size=R.shape), rng.normal(size=(2500, 2)), rng.normal(size=(3, 2))
    objective = Objective.of_dense(Y, R, 0.7, "count")
    expected = dense.gradients(Y, R, U, V)[0] + 2 * 0.7 * R.sum(axis=1)[:, None] * U / R.sum()
    np.testing.assert_allclose(objective.evaluate(U, V)[2], expected, rtol=1e-12, atol=1e-15)


def test_bits_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(1)
    p = problem("wide", "float32")
    U, V = (np.repeat(W, 8, axis=1) for W in (p.U, p.V))
    P, Q = (rng.normal(size=W.shape).astype(np.float32) for W in (U, V))
    objective = Objective.of_ratings(p.ratings.astype("float32"), 0.1, "count", biases=True)
    before, results = get_num_threads(), []
    try:
        for threads in {1, before}:
            set_num_threads(threads)
            results.append((*objective.evaluate(U, V), objective.along(U, V, P, Q)))
    finally:
        set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_equal(result, results[0])


def test_arguments_stay_as_they_are():
    p = with_biases(problem())
    before = [W.copy() for W in p]
    objective = Objective.of_ratings(p.ratings, 0.5, "count", biases=True)
    objective.evaluate(p.U, p.V)
    objective.along(p.U, p.V, p.U, p.V)
    for W, copy in zip(p, before, strict=True):
        np.testing.assert_array_equal(W, copy)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"reg": -0.1}, ValueError, r"reg must lie in \[0, inf\), got -0.1"),
        ({"reg": np.nan}, ValueError, "reg must lie in"),
        ({"reg": "1"}, TypeError, "reg must be a number, got '1'"),
        (
            {"reg_weighting": "users"},
            ValueError,
            "reg_weighting must be one of 'plain', 'count', 'sqrt', got 'users'",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting, error, message):
    p = problem()
    for make, data in ((Objective.of_ratings, (p.ratings,)), (Objective.of_dense, (p.Y, p.R))):
        with pytest.raises(error, match=message):
            make(*data, **setting)


@pytest.mark.parametrize("call", ["loss", "value", "evaluate"])
def test_biases_need_their_two_columns(call):
    p = problem("one place")
    objective = Objective.of_ratings(p.ratings, biases=True)
    with pytest.raises(ValueError, match=r"two columns at least \(axis 1\), got U \(1, 1\): append"):
        getattr(objective, call)(p.U, p.V)
    with pytest.raises(ValueError, match="two columns at least"):
        objective.along(p.U, p.V, p.U, p.V)


def test_other_things_than_ratings_are_refused():
    with pytest.raises(TypeError, match="ratings must be Ratings, got ndarray"):
        Objective.of_ratings(np.ones((2, 2)))
    with pytest.raises(ValueError, match="R marks no rating as observed"):
        Objective.of_dense(np.ones((2, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("biases", [False, True])
def test_square_roots_of_the_counts_weigh_the_penalty_and_its_gradient(biases):
    p = problem("small")
    roots = [np.sqrt(counts)[:, None] for counts in (p.ratings.user_counts, p.ratings.item_counts)]
    objective = Objective.of_ratings(p.ratings, 0.5, "sqrt", biases)
    free = [np.ones_like(W) for W in (p.U, p.V)]
    if biases:
        free[0][:, -1] = free[1][:, -2] = 0
    W = [f * A for f, A in zip(free, (p.U, p.V), strict=True)]
    expected = 0.5 * sum(np.sum(r * A**2) for r, A in zip(roots, W, strict=True)) / p.ratings.n_ratings
    np.testing.assert_allclose(objective.penalty(p.U, p.V), expected)
    gradients = sparse.gradients(p.ratings, p.U, p.V)
    for grad, found, r, A, f in zip(gradients, objective.evaluate(p.U, p.V)[2:], roots, W, free, strict=True):
        np.testing.assert_allclose(found, f * grad + 2 * 0.5 / p.ratings.n_ratings * r * A)
