"""Rules of descent: each by hand or against its definition, and none of them fails on valid data."""

import itertools

import numpy as np
import pytest

from mflib import (
    DivergenceError,
    Ratings,
    datasets,
    descend,
    get_num_threads,
    random_factors,
    rules,
    set_num_threads,
    sparse,
    sparse_numpy,
)
from mflib.objective import Objective
from mflib.training import Training

RATES = {"momentum": 0.5, "nesterov": 0.5}  # rules that need a number


@pytest.fixture(scope="module")
def ratings():
    """Planted ratings with a user and an item without any."""
    planted = datasets.planted(40, 30, 500, n_factors=2, noise=0.3, seed=1).ratings
    kept = (planted.users != 3) & (planted.items != 4)
    return planted.subset(kept)


def start(ratings, k=3, biases=False, dtype=np.float64, seed=0):
    return random_factors(ratings.shape, k, seed=seed, scale=0.3, biases=biases, dtype=dtype)


def test_nesterov_looks_ahead_as_in_its_definition(ratings):
    """w moves by v, v ← β v − η ∂E(w + β v): at the points w + β v that is the rule."""
    eta, beta = 0.5, 0.8
    W = start(ratings)
    velocity = [np.zeros_like(A) for A in W]
    for _ in range(4):
        ahead = [A + beta * v for A, v in zip(W, velocity, strict=True)]
        grads = sparse.gradients(ratings, *ahead)
        velocity = [beta * v - eta * g for v, g in zip(velocity, grads, strict=True)]
        W = [A + v for A, v in zip(W, velocity, strict=True)]
    result = descend(ratings, *start(ratings), "nesterov", learning_rate=eta, momentum=beta, iterations=4)
    np.testing.assert_allclose(result.U, W[0] + beta * velocity[0], rtol=1e-10)
    np.testing.assert_allclose(result.V, W[1] + beta * velocity[1], rtol=1e-10)


def flat(pair):
    return np.concatenate([A.ravel() for A in pair])


def test_conjugate_directions_follow_polak_and_ribiere(ratings):
    direction = rules.conjugate(1, 0)
    rng = np.random.default_rng(0)
    old = [rng.normal(size=(4, 2)) for _ in range(2)]
    np.testing.assert_array_equal(flat(direction(old, old)), -flat(old))
    new = [g + 0.3 * rng.normal(size=(4, 2)) for g in old]
    scaled = [2 * g for g in new]
    beta = (flat(new) - flat(old)) @ flat(scaled) / (flat(old) @ flat(old))
    assert beta > 0
    np.testing.assert_allclose(flat(direction(new, scaled)), -beta * flat(old) - flat(scaled))


def test_conjugate_directions_start_anew_where_beta_is_negative():
    direction = rules.conjugate(1, 0)
    old = [np.array([[1.0, 0.0]])] * 2
    direction(old, old)
    shorter = [0.5 * g for g in old]  # (g − g′) · g < 0
    np.testing.assert_array_equal(flat(direction(shorter, shorter)), -flat(shorter))


def test_conjugate_directions_start_anew_after_a_step_of_no_length():
    """Rounding can leave a scaled gradient of zero where the gradient is not: nothing is divided by it."""
    direction = rules.conjugate(1, 0)
    g = [np.array([[1.0, 2.0]])] * 2
    direction(g, [np.zeros((1, 2))] * 2)
    np.testing.assert_array_equal(flat(direction(g, g)), -flat(g))


def test_conjugate_directions_start_anew_where_they_would_not_descend():
    direction = rules.conjugate(1, 0)
    first = [np.array([[1.0, 0.0]])] * 2
    direction(first, first)
    opposite = [np.array([[-3.0, 0.5]])] * 2  # β = 12 and more: 12 · (−1) · (−3) > |g|²
    along = flat(direction(opposite, opposite))
    np.testing.assert_array_equal(along, -flat(opposite))
    assert along @ flat(opposite) < 0


@pytest.mark.parametrize("scaling", rules.SCALINGS)
@pytest.mark.parametrize("rule", rules.EXACT)
def test_the_exact_step_lowers_the_objective_each_time(ratings, rule, scaling):
    history = descend(
        ratings, *start(ratings), rule, iterations=30, reg=0.1, reg_weighting="count", scaling=scaling
    ).history
    assert np.all(np.diff(history["objective"]) < 1e-15)
    assert history["objective"][-1] < 0.5 * history["objective"][0]


def test_the_exact_step_is_the_best_of_many_learning_rates(ratings):
    U, V = start(ratings)
    exact = descend(ratings, U, V, iterations=1).history["loss"][1]
    others = [
        descend(ratings, U, V, learning_rate=rate, iterations=1).history["loss"][1]
        for rate in np.geomspace(1, 100, 200)
    ]
    assert exact <= min(others)
    assert min(others) < 1.01 * exact


def iterations_to(target, rule, scaling):
    """How many iterations it takes where activity, and so gradients, are uneven by a factor of a hundred."""
    uneven = datasets.planted(200, 100, 4000, n_factors=3, noise=0.1, skew=1.5, seed=2).ratings
    history = descend(
        uneven, *start(uneven), rule, scaling=scaling, iterations=1000, reg=0.01, reg_weighting="count"
    ).history
    assert history["objective"][-1] < target
    return int(np.argmax(history["objective"] < target))


def test_conjugate_directions_need_fewer_iterations_than_the_steepest_descent():
    assert 3 * iterations_to(0.041, "conjugate", None) < iterations_to(0.041, "plain", None)


def test_scaling_by_blocks_needs_fewer_iterations_than_by_counts_and_that_than_none():
    needed = {scaling: iterations_to(0.041, "conjugate", scaling) for scaling in rules.SCALINGS}
    assert needed["block"] < needed["count"] < needed[None]


def test_scaling_by_counts_divides_each_row_by_its_number_of_ratings(ratings):
    U, V = start(ratings)
    result = descend(ratings, U, V, learning_rate=0.3, iterations=1, scaling="count")
    grad_U, grad_V = sparse.gradients(ratings, U, V)
    for W, new, grad, counts in (
        (U, result.U, grad_U, ratings.user_counts), (V, result.V, grad_V, ratings.item_counts),
    ):  # fmt: skip
        scaled = grad * (ratings.n_ratings / 2) / np.maximum(counts, 1)[:, None]
        np.testing.assert_allclose(new, W - 0.3 * scaled, rtol=1e-12)


def test_scaling_by_blocks_divides_by_the_second_derivatives(ratings):
    """Of a row of U: (2/N) (Σ_j v_j v_jᵀ + λ a_i I)."""
    U, V = start(ratings)
    result = descend(
        ratings, U, V, learning_rate=0.3, iterations=1, scaling="block", reg=0.2, reg_weighting="count"
    )
    grad_U = Objective.of_ratings(ratings, 0.2, "count").evaluate(U, V)[2]
    for i in range(0, 40, 5):
        rows = V[ratings.items[ratings.user_starts[i] : ratings.user_starts[i + 1]]]
        hessian = 2 / ratings.n_ratings * (rows.T @ rows + 0.2 * len(rows) * np.eye(3))
        np.testing.assert_allclose(result.U[i], U[i] - 0.3 * np.linalg.solve(hessian, grad_U[i]), rtol=1e-9)


@pytest.mark.parametrize("weighting", ["plain", "count", "sqrt"])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_a_step_of_one_factor_makes_its_gradient_zero(ratings, weighting, biases, dtype, k):
    """k = 20 is more than most users have ratings, and more than twice as many as some."""
    training = Training(ratings, None, 0.05, weighting, biases)
    U, V = start(ratings, k, biases, dtype)
    before = training.evaluate(U, V)[2:]
    for of, place in (("U", 0), ("V", 1)):
        moved = [U, V]
        moved[place] = moved[place] + training.block_step(U, V, of)
        after = training.evaluate(*moved)[2 + place]
        size = 1e-12 if dtype == "float64" else 1e-4
        assert np.max(np.abs(after)) < size * np.max(np.abs(before[place]))


def test_alternating_solves_for_U_and_with_that_for_V(ratings):
    training = Training(ratings, reg=0.05)
    U, V = start(ratings)
    result = descend(ratings, U, V, "alternating", iterations=1, reg=0.05)
    new_U = U + training.block_step(U, V, "U")
    np.testing.assert_array_equal(result.U, new_U)
    np.testing.assert_array_equal(result.V, V + training.block_step(new_U, V, "V"))


def test_alternating_never_raises_the_objective(ratings):
    history = descend(ratings, *start(ratings), "alternating", iterations=30, reg=0.01).history
    assert np.all(np.diff(history["objective"]) < 1e-15)


@pytest.mark.parametrize("of", ["U", "V"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 2, 5, 8, 17, 40])
@pytest.mark.parametrize("held", [None, "last"])
def test_both_forms_of_the_block_step_agree(ratings, of, dtype, k, held):
    U, V = start(ratings, k, dtype=dtype)
    counts = ratings.user_counts if of == "U" else ratings.item_counts
    column = -1 if held is None else k - 1
    one = sparse.block_step(ratings, U, V, of, 0.05 * counts, None if held is None else column)
    other = sparse_numpy.block_step(ratings, U, V, of, 0.05 * counts, column)
    np.testing.assert_allclose(one, other, rtol=0, atol=(1e-4 if dtype == "float32" else 1e-11))
    if held is not None:
        assert not np.any(one[:, column])


def test_a_step_that_ratings_leave_undetermined_is_the_shortest():
    """One rating, two factors, no penalty: of all solutions of v · p = 4 the one along v."""
    ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    for U, V, expected in (
        ([[1.0, 0.0, 0.0]], [[1.0, 2.0, 0.0]], [[0.8, 1.6, 0.0]]),  # more than twice as many factors
        ([[1.0, 0.0]], [[1.0, 2.0]], [[0.8, 1.6]]),
        ([[1.0]], [[0.0]], [[0.0]]),
    ):
        step = sparse.block_step(ratings, np.array(U), np.array(V), "U", np.zeros(1))
        np.testing.assert_allclose(step, expected, rtol=1e-12)


def test_rows_without_ratings_go_to_zero_where_they_are_penalized(ratings):
    U, V = start(ratings)
    assert ratings.user_counts[3] == 0
    for weighting, expected in (("plain", np.zeros(3)), ("count", U[3])):
        result = descend(ratings, U, V, "alternating", iterations=1, reg=0.1, reg_weighting=weighting)
        np.testing.assert_allclose(result.U[3], expected, atol=1e-15)


@pytest.mark.parametrize("rule", rules.RULES)
def test_every_setting_of_the_objective_changes_the_result(ratings, rule):
    def descended(**options):
        U, V = start(ratings, biases=True)
        return descend(ratings, U, V, rule, learning_rate=RATES.get(rule), iterations=3, **options).U

    plain = descended()
    others = [
        descended(reg=0.3),
        descended(reg=0.3, reg_weighting="count"),
        descended(reg=0.3, reg_weighting="sqrt"),
        descended(biases=True),
        descended(reg=0.3, biases=True),
    ]  # fmt: skip
    for one, other in itertools.combinations([plain, *others], 2):
        assert np.max(np.abs(one - other)) > 1e-6


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_columns_held_at_one_stay(ratings, rule):
    U, V = start(ratings, biases=True)
    result = descend(ratings, U, V, rule, learning_rate=RATES.get(rule), iterations=3, reg=0.1, biases=True)
    assert np.all(result.U[:, -1] == 1)
    assert np.all(result.V[:, -2] == 1)
    assert np.any(result.U[:, -2] != 0)
    assert np.any(result.V[:, -1] != 0)


def test_with_biases_the_start_must_hold_their_columns_at_one(ratings):
    with pytest.raises(
        ValueError, match=r"last but one of V must be all 1 \(E18\): start from random_factors"
    ):
        descend(ratings, *start(ratings), biases=True)


@pytest.fixture
def threads():
    """Put the number of threads back afterwards."""
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("scaling", rules.SCALINGS)
@pytest.mark.parametrize("rule", rules.RULES)
def test_the_bits_of_a_whole_descent_are_the_same_for_any_number_of_threads(rule, scaling):
    if (rule, scaling) in {("alternating", "count"), ("alternating", "block")}:
        pytest.skip("alternating takes no scaling")
    many = datasets.planted(500, 400, 40_000, n_factors=3, noise=0.3, seed=3).ratings
    results = []
    for n in (1, 2, 5):
        set_num_threads(n)
        results.append(
            descend(
                many, *start(many, k=6, biases=True, dtype=np.float32), rule, scaling=scaling,
                learning_rate=0.1 if rule in RATES else None, iterations=5, reg=0.1, biases=True,
            )
        )  # fmt: skip
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].U, other.U)
        np.testing.assert_array_equal(results[0].V, other.V)
        np.testing.assert_array_equal(results[0].history["objective"], other.history["objective"])


def test_biases_are_there_or_not(ratings):
    with pytest.raises(TypeError, match="biases must be True or False, got 'no'"):
        descend(ratings, *start(ratings), biases="no")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "alternating", "learning_rate": 0.1}, "solves for U and V and takes no learning_rate"),
        ({"rule": "alternating", "learning_rate": "exact"}, "takes no learning_rate, got 'exact'"),
        ({"rule": "alternating", "scaling": "count"}, "takes no scaling, got 'count'"),
        ({"rule": "conjugate", "learning_rate": 0.1}, "needs the exact step, got learning_rate=0.1"),
        ({"rule": "momentum", "learning_rate": "exact"}, "needs a number as learning_rate, got 'exact'"),
        ({"rule": "nesterov"}, "needs a number as learning_rate, got None"),
        ({"scaling": "diagonal"}, "scaling must be one of None, 'count', 'block', got 'diagonal'"),
        ({"reg": -1}, r"reg must lie in \[0, inf\), got -1"),
        ({"reg_weighting": "counts"}, "reg_weighting must be one of 'plain', 'count', 'sqrt', got 'counts'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(ratings, options, message):
    with pytest.raises(ValueError, match=message):
        descend(ratings, *start(ratings), **options)


def test_a_descent_that_can_go_no_lower_says_so():
    """The only rating is met exactly after some steps: no step lowers E any more."""
    ratings = Ratings.from_arrays([0], [0], [4.0], shape=(1, 1))
    result = descend(ratings, np.ones((1, 1)), np.ones((1, 1)), iterations=1000)
    assert result.stopped_because == "converged"
    assert len(result.history) < 100
    np.testing.assert_allclose(result.U * result.V, 4, rtol=1e-7)


def test_at_the_saddle_there_is_no_step():
    ratings = Ratings.from_arrays([0], [0], [4.0], shape=(1, 1))
    for rule in rules.EXACT:
        result = descend(ratings, np.zeros((1, 1)), np.zeros((1, 1)), rule)
        assert (result.stopped_because, len(result.history)) == ("converged", 1)


def random_ratings(rng):
    """Ratings of any kind: few, one, of one user, constant, of scales from 10⁻⁶ to 10⁶."""
    n, m = (int(rng.choice([1, 2, 7, 30])) for _ in range(2))
    n_ratings = int(rng.integers(1, n * m + 1))
    users, items = np.divmod(rng.permutation(n * m)[:n_ratings], m)
    values = rng.normal(rng.choice([0, 3]), rng.choice([0, 1]), n_ratings) * 10.0 ** rng.integers(-6, 7)
    return Ratings.from_arrays(users, items, values, shape=(n, m))


@pytest.mark.parametrize("block", range(10))
def test_no_setting_ends_in_nan(block):
    """500 in all: a finite result, or for a fixed learning rate alone `DivergenceError`."""
    for case in range(50):
        rng = np.random.default_rng((block, case))
        ratings = random_ratings(rng)
        rule, dtype = str(rng.choice(rules.RULES)), str(rng.choice(["float32", "float64"]))
        biases, k = bool(rng.integers(2)), int(rng.choice([1, 3, 14, 40]))
        rate = (
            float(10 ** rng.uniform(-4, 4))
            if rule in RATES or (rule == "plain" and rng.integers(2))
            else None
        )
        options = {
            "reg": float(rng.choice([0, 1e-6, 0.1, 10])),
            "reg_weighting": str(rng.choice(["plain", "count", "sqrt"])),
            "scaling": None if rule == "alternating" else [None, "count", "block"][rng.integers(3)],
        }  # fmt: skip
        factors = random_factors(
            ratings.shape, k, seed=case, scale=float(10 ** rng.uniform(-2, 1)), biases=biases, dtype=dtype
        )
        about = f"block {block}, case {case}: {ratings}, {rule}, {dtype}, k = {k}, rate {rate}, {options}"
        try:
            result = descend(
                ratings.astype(dtype),
                *factors,
                rule,
                learning_rate=rate,
                iterations=30,
                biases=biases,
                **options,
            )
        except DivergenceError:
            assert rate is not None, about
        else:
            assert np.all(np.isfinite(result.U)), about
            assert np.all(np.isfinite(result.V)), about
            objective = result.history["objective"]
            assert rate is not None or objective[-1] <= objective[0] * (1 + 1e-5), about
