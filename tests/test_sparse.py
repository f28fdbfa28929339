"""The equations on Ratings are those of the dense twin, without its arrays."""

import tracemalloc

import numpy as np
import pytest
from problems import KINDS, TOLERANCE, problem

from mflib import (
    Ratings,
    dense,
    get_num_threads,
    gradients,
    loss,
    loss_and_gradients,
    predict_pairs,
    set_num_threads,
    sparse,
    sparse_numba,
    sparse_numpy,
    top_n,
)

DTYPES = ["float32", "float64"]


@pytest.fixture(params=[sparse_numba, sparse_numpy], ids=["compiled", "numpy"])
def form(request, monkeypatch):
    """Each of the two forms of the same equations in turn."""
    monkeypatch.setattr(sparse, "_form", lambda: request.param)
    return request.param


def test_a_2_by_2_case_by_hand(form):
    ratings = Ratings.from_arrays([0, 1, 1], [0, 0, 1], [5.0, 0.0, 1.0], shape=(2, 2))
    U, V = np.array([[1.0], [2.0]]), np.array([[4.0], [2.0]])
    np.testing.assert_array_equal(sparse.residual(ratings, U, V), [1, -8, -3])
    assert loss(ratings, U, V) == 74 / 3
    grad_U, grad_V = gradients(ratings, U, V)
    np.testing.assert_allclose(grad_U, [[-8 / 3], [76 / 3]], rtol=1e-15)
    np.testing.assert_allclose(grad_V, [[10], [4]], rtol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_and_dense_are_twins(kind, dtype, form):
    p = problem(kind, dtype)
    ratings, tolerance = p.ratings, TOLERANCE[dtype]
    E, *both = loss_and_gradients(ratings, p.U, p.V)
    np.testing.assert_allclose(
        sparse.residual(ratings, p.U, p.V), dense.residual(*p)[p.R == 1], tolerance, tolerance
    )
    np.testing.assert_allclose([E, loss(ratings, p.U, p.V)], dense.loss(*p), rtol=tolerance)
    for gradient, other, expected in zip(
        both, gradients(ratings, p.U, p.V), dense.gradients(*p), strict=True
    ):
        np.testing.assert_array_equal(gradient, other)
        np.testing.assert_allclose(gradient, expected, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_derivative_of_the_loss(kind, form):
    """E is quadratic in one entry: the central difference has no truncation error, whatever its step."""
    p = problem(kind, seed=2)
    ratings = p.ratings
    for W, gradient in zip((p.U, p.V), gradients(ratings, p.U, p.V), strict=True):
        for place in np.ndindex(W.shape):
            entry, sides = W[place], []
            for step in (1, -1):
                W[place] = entry + step
                sides.append(loss(ratings, p.U, p.V))
            W[place] = entry
            np.testing.assert_allclose(gradient[place], (sides[0] - sides[1]) / 2, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of_values", DTYPES)
def test_results_are_of_the_dtype_of_the_factors(dtype, of_values, form):
    p = problem("small", dtype)
    ratings = p.ratings.astype(of_values)
    E, grad_U, grad_V = loss_and_gradients(ratings, p.U, p.V)
    residual, predicted = sparse.residual(ratings, p.U, p.V), predict_pairs(p.U, p.V, [0], [1])
    assert {grad_U.dtype, grad_V.dtype, residual.dtype, predicted.dtype} == {np.dtype(dtype)}
    assert type(E) is type(loss(ratings, p.U, p.V)) is float


def test_the_loss_of_float32_is_summed_in_float64(form):
    """In float32 the squares of 1e20 overflow, and a sum of a million ones and smaller loses the smaller."""
    ratings = Ratings.from_arrays([0], [0], np.array([1e20], dtype=np.float32), shape=(1, 1))
    zero = np.zeros((1, 1), dtype=np.float32)
    np.testing.assert_allclose(loss(ratings, zero, zero), 1e40, rtol=1e-6)


@pytest.mark.parametrize("n_pairs", [1, 7, 8, 9, 31, 1031])
def test_predictions_are_the_same_for_any_number_of_blocks(monkeypatch, n_pairs, form):
    monkeypatch.setattr(sparse_numpy, "BLOCK", 8)
    rng = np.random.default_rng(0)
    U, V = rng.normal(size=(50, 3)), rng.normal(size=(40, 3))
    users, items = rng.integers(0, 50, n_pairs), rng.integers(0, 40, n_pairs)
    predicted = predict_pairs(U, V, users, items)
    np.testing.assert_allclose(predicted, dense.predict(U, V)[users, items], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [">i8", ">i4", ">u2", "u1", "u8", "i2"])
def test_indices_of_any_whole_kind_and_order_are_taken(form, kind):
    U, V = np.arange(4.0).reshape(2, 2), np.arange(6.0).reshape(3, 2)
    users, items = np.array([1, 9, 0], dtype=kind)[::2], np.array([2, 1], dtype=kind)
    np.testing.assert_array_equal(predict_pairs(U, V, users, items), [23, 3])
    np.testing.assert_array_equal(top_n(U, V, users, n=1)[0], [[2], [2]])


def test_factors_with_a_mask_are_refused_and_a_matrix_gives_arrays(form):
    ratings, U, V = many(n=30, N=100, k=2)
    with pytest.raises(TypeError, match=r"U must have no mask, which would be lost: use U\.filled"):
        loss(ratings, np.ma.array(U, mask=U > 0), V)
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.asmatrix(U)
    for gradient, expected in zip(gradients(ratings, matrix, V), gradients(ratings, U, V), strict=True):
        assert type(gradient) is np.ndarray
        np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("none", [[], np.array([], dtype=int)], ids=["list", "array"])
def test_no_pairs_have_no_predictions(form, none):
    assert predict_pairs(np.ones((1, 1)), np.ones((1, 1)), none, none).shape == (0,)


def many(n=20_000, N=50_000, k=32):
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(0, n * n, N))
    ratings = Ratings.from_arrays(cells // n, cells % n, rng.normal(size=len(cells)), shape=(n, n))
    return ratings, rng.normal(size=(n, k)), rng.normal(size=(n, k))


def test_neither_an_n_by_m_nor_an_N_by_k_array_is_made(form):
    ratings, U, V = many()
    peaks = []
    for of in (loss, gradients, loss_and_gradients):
        of(ratings, U, V)  # what is made once: a compiled kernel, the import of SciPy
        tracemalloc.start()
        of(ratings, U, V)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    a_row_each = ratings.n_ratings * U.shape[1] * U.itemsize  # 12.8 MB, and the two gradients are 10.2 MB
    assert peaks[0] < 0.3 * a_row_each
    assert max(peaks[1:]) - U.nbytes - V.nbytes < 0.3 * a_row_each


def test_the_same_call_gives_the_same_bits_and_changes_nothing(form):
    ratings, U, V = many(n=300, N=5_000, k=5)
    copies = U.copy(), V.copy()
    E, grad_U, grad_V = loss_and_gradients(ratings, U, V)
    again = loss_and_gradients(ratings, U, V)
    assert again[0] == E
    for array, expected in zip((*again[1:], U, V), (grad_U, grad_V, *copies), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_factors_of_any_layout_are_taken(form):
    ratings, U, V = many(n=300, N=5_000, k=5)
    expected = gradients(ratings, U, V)
    for gradient, other in zip(
        gradients(ratings, np.asfortranarray(U), np.repeat(V, 2, 0)[::2]), expected, strict=True
    ):
        np.testing.assert_allclose(gradient, other, rtol=1e-12, atol=1e-16)


FIT = Ratings.from_arrays([0, 1], [0, 1], [1.0, 2.0], shape=(2, 3))


@pytest.mark.parametrize("of", [sparse.residual, loss, gradients, loss_and_gradients])
@pytest.mark.parametrize(
    ("ratings", "U", "V", "error", "message"),
    [
        (np.ones((2, 3)), (2, 1), (3, 1), TypeError, r"ratings must be Ratings, got ndarray: .* from_dense"),
        (FIT, None, (3, 1), TypeError, r"U must be a NumPy array, got list: use np\.asarray\(U\)"),
        (FIT, (2,), (3, 1), ValueError, r"U must have two axes \(rows, factors\), got shape \(2,\)"),
        (FIT, (2, 2), (3, 1), ValueError, r"number of factors \(axis 1\), got U \(2, 2\) and V \(3, 1\)"),
        (FIT, (3, 1), (3, 1), ValueError, r"U must have one row for each of the 2 users .* \(axis 0\)"),
        (FIT, (2, 1), (2, 1), ValueError, r"V must have one row for each of the 3 items .* \(axis 0\)"),
    ],
)
def test_what_does_not_fit_is_refused(of, ratings, U, V, error, message):
    U, V = [[1.0]] if U is None else np.ones(U), np.ones(V)
    with pytest.raises(error, match=message):
        of(ratings, U, V)


@pytest.mark.parametrize(
    "kinds", [("f4", "f8"), ("f8", "f4"), ("i8", "i8"), ("c16", "c16"), ("O", "O"), ("f2", "f2")]
)
def test_factors_of_another_kind_are_refused(kinds):
    U, V = (np.ones((rows, 1), dtype=kind) for rows, kind in zip((2, 3), kinds, strict=True))
    with pytest.raises(TypeError, match=r"U and V must both be float32 or both float64, got .* use \.astype"):
        loss(FIT, U, V)
    with pytest.raises(TypeError, match="U and V must both be float32 or both float64"):
        predict_pairs(U, V, [0], [0])


@pytest.mark.parametrize(
    ("users", "items", "error", "message"),
    [
        ([0, 2], [0, 0], ValueError, r"users\[1\] is 2, expected 0 to 1"),
        ([0, 0], [0, -1], ValueError, r"items\[1\] is -1, expected 0 to 2"),
        ([0.0], [0], TypeError, r"users must be whole-number indices along one axis, got float64 \(1,\)"),
        ([0], [[0]], TypeError, r"items must be whole-number indices along one axis, got int64 \(1, 1\)"),
        ([0], [0, 1], ValueError, "users and items must be of one length, got 1 and 2"),
        ([0, 1], [0], ValueError, "users and items must be of one length, got 2 and 1"),
    ],
)
def test_pairs_outside_the_factors_are_refused(users, items, error, message):
    with pytest.raises(error, match=message):
        predict_pairs(np.ones((2, 1)), np.ones((3, 1)), users, items)


def test_top_n_is_the_head_of_the_sorted_predictions(form):
    rng = np.random.default_rng(3)
    ratings, U, V = many(n=700, N=9_000, k=5)
    users = rng.integers(0, len(U), 40)
    items, scores = top_n(U, V, users, n=12, seen=ratings)
    for row, user in enumerate(users):
        predicted = V @ U[user]
        predicted[ratings.items[ratings.user_starts[user] : ratings.user_starts[user + 1]]] = -np.inf
        np.testing.assert_array_equal(items[row], np.argsort(-predicted)[:12])
        np.testing.assert_allclose(scores[row], np.sort(predicted)[:-13:-1], rtol=1e-12)


def test_of_equal_predictions_the_first_item_comes_first(form):
    items, scores = top_n(np.ones((1, 2)), np.array([[1.0, 1], [2, 2], [0, 2], [2, 2]]), [0], n=4)
    assert items.tolist() == [[1, 3, 0, 2]]
    assert scores.tolist() == [[4, 4, 2, 2]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_fewer_than_n_items_are_left_the_rest_is_marked(form, dtype):
    U, V = np.ones((2, 1), dtype=dtype), np.array([[1], [np.nan], [3]], dtype=dtype)
    items, scores = top_n(U, V, [0, 1], n=3, seen=Ratings.from_arrays([0], [2], [5], shape=(2, 3)))
    assert items.tolist() == [[0, -1, -1], [2, 0, -1]]
    assert scores.tolist() == [[1, -np.inf, -np.inf], [3, 1, -np.inf]]
    assert scores.dtype == dtype


@pytest.mark.parametrize(
    ("users", "n", "message"),
    [
        ([2], 1, r"users\[0\] is 2, expected 0 to 1"),
        ([0], 4, "n must be at most the number of items, 3, got 4"),
        ([0], 0, "n must be at least 1, got 0"),
    ],
)
def test_a_top_n_of_what_is_not_there_is_refused(users, n, message):
    with pytest.raises(ValueError, match=message):
        top_n(np.ones((2, 1)), np.ones((3, 1)), users, n)


def test_seen_ratings_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="one row for each of the 2 users"):
        top_n(np.ones((3, 1)), np.ones((3, 1)), [0], 1, seen=FIT)


def test_a_costly_copy_at_every_call_is_warned_of():
    U = np.asfortranarray(np.ones((200_000, 2)))
    V, ratings = np.ones((1, 2)), Ratings.from_arrays([0], [0], [1.0], shape=(200_000, 1))
    for of in (loss, gradients, loss_and_gradients, sparse.residual):
        with pytest.warns(UserWarning, match=r"U is not contiguous by row.*use U\.copy\(\)") as warned:
            of(ratings, U, V)
        assert warned[0].filename == __file__


@pytest.mark.parametrize("place", ["X", "Y", "out"])
@pytest.mark.parametrize("wrong", ["shape", "dtype", "order"])
def test_arrays_that_cannot_be_combined_as_columns_are_refused(place, wrong):
    """The loop would read beyond an array, or take its entries in another order."""
    arrays = {name: np.ones((4, 3)) for name in ("X", "Y", "out")}
    other = {"shape": np.ones((4, 2)), "dtype": np.ones((4, 3), "f4"), "order": np.ones((4, 3), order="F")}
    arrays[place] = other[wrong]
    X, Y, out = arrays.values()
    with pytest.raises(ValueError, match="must be a C-contiguous array of float"):
        sparse.combine(1, X, 2, Y, out)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_of_very_many_entries_has_the_bits_of_numpy_for_any_number_of_threads(dtype):
    """So many that several threads share them: whole factors of a hundred thousand users."""
    rng = np.random.default_rng(0)
    X, Y = (rng.normal(size=(90_001, 13)).astype(dtype) for _ in range(2))
    before = get_num_threads()
    try:
        for n in (1, 2):
            set_num_threads(n)
            np.testing.assert_array_equal(sparse.combine(0.3, X, -0.7, Y), 0.3 * X + -0.7 * Y)
            out = X.copy()
            assert sparse.combine(0.3, out, -0.7, Y, out) is out
            np.testing.assert_array_equal(out, 0.3 * X + -0.7 * Y)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"of": "W"}, ValueError, "of must be one of 'U', 'V', got 'W'"),
        ({"ridge": [0.0, 0.0]}, ValueError, r"ridge must be an array of float64 of shape \(2,\)"),
        ({"ridge": np.zeros(3)}, ValueError, r"ridge must be an array of float64 of shape \(2,\)"),
        ({"ridge": np.zeros(2, "f4")}, ValueError, r"ridge must be an array of float64 of shape \(2,\)"),
        ({"ridge": np.array([0, -1.0])}, ValueError, "ridge must be finite and not negative"),
        ({"ridge": np.array([0, np.nan])}, ValueError, "ridge must be finite and not negative"),
        ({"ridge": np.array([0, np.inf])}, ValueError, "ridge must be finite and not negative"),
        ({"held": 4}, ValueError, "held must be a column of U, 0 to 3, got 4"),
        ({"held": -1}, ValueError, "held must be at least 0"),
    ],
)
def test_a_block_step_of_what_does_not_fit_is_refused(change, error, message):
    ratings = Ratings.from_arrays([0, 1], [0, 2], [1.0, 2.0], shape=(2, 3))
    given = {"of": "U", "ridge": np.zeros(2), "held": None} | change
    with pytest.raises(error, match=message):
        sparse.block_step(ratings, np.ones((2, 4)), np.ones((3, 4)), **given)
