"""The compiled loops: the same bits for any number of threads, and kept on disk."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mflib import (
    Ratings,
    compiled,
    get_num_threads,
    kernels,
    loss,
    loss_and_gradients,
    predict_pairs,
    set_num_threads,
    sparse_numba,
    sparse_numpy,
)

MANY = 2 * kernels.CHUNK + 700


# in one vector, in two, in five and six, and in the most
FACTORS = [(3, "float64"), (32, "float32"), (33, "float64"), (90, "float32"), (512, "float32")]


def spread(rng, n, m, N):
    cells = rng.choice(n * m, N, replace=False)
    return cells // m, cells % m


def shapes(seed):
    """Ratings that are hard to share out among threads, and factors for them."""
    rng = np.random.default_rng(seed)
    n, m = (int(rows) for rows in rng.integers(90, 600, 2))
    users, items = spread(rng, n, m, min(MANY, n * m // 2))
    some = rng.random(len(users)) < 0.5
    kinds = {
        "any": (users, items),
        "one rating": (users[:1], items[:1]),
        "empty rows and columns": (users // 7 * 7, items // 3 * 3),
        "one user with half of all": (np.where(some, 5, users), np.where(some, np.arange(len(users)), items)),
        "one item has all": (np.arange(3 * kernels.CHUNK), np.zeros(3 * kernels.CHUNK, dtype=int)),
        "a chunk to the rating": (np.zeros(kernels.CHUNK, dtype=int), np.arange(kernels.CHUNK)),
    }
    for kind, (rows, columns) in kinds.items():
        cells = np.unique(np.stack((rows, columns), axis=1), axis=0)
        k, dtype = FACTORS[rng.integers(len(FACTORS))]
        shape = tuple(cells.max(axis=0) + 1 + rng.integers(0, 5, 2))
        values = rng.normal(3, 1, len(cells)).astype(dtype)
        ratings = Ratings.from_arrays(*cells.T, values, shape=shape)
        yield kind, ratings, *(rng.normal(0, 1, (rows, k)).astype(dtype) for rows in shape)


@pytest.fixture
def threads(monkeypatch):
    """Set the number of threads; afterwards it is what it was."""
    monkeypatch.setattr("mflib.threads._number", get_num_threads())
    monkeypatch.setattr("mflib.threads.EACH", 0.1)  # a few chunks too are shared out
    return set_num_threads


@pytest.mark.parametrize("seed", range(4))
def test_one_and_two_threads_give_the_same_bits_and_those_of_the_twin_up_to_rounding(threads, seed):
    for kind, ratings, U, V in shapes(seed):
        results = []
        for number in (1, 2, 5, 2):
            threads(number)
            results.append(loss_and_gradients(ratings, U, V))
        assert results[0][0] == results[1][0] == loss(ratings, U, V), kind
        tolerance = 2e-5 if U.dtype == np.float32 else 1e-12
        for grad, *others, twin in zip(*results, sparse_numpy.loss_and_gradients(ratings, U, V), strict=True):
            for other in others:
                np.testing.assert_array_equal(grad, other, err_msg=kind)
            scale = np.max(np.abs(twin))
            np.testing.assert_allclose(grad, twin, rtol=tolerance, atol=tolerance * scale, err_msg=kind)


def test_every_number_of_factors_gives_the_gradients():
    """Each number of lanes in the last vector, and rows of one vector, of some and of 64."""
    ratings = Ratings.from_arrays([0, 0, 1, 1, 1, 1, 1], [0, 1, 0, 1, 2, 3, 4], np.arange(7.0), shape=(2, 5))
    rng = np.random.default_rng(0)
    for k in (*range(1, 18), 40, 512):
        U, V = rng.normal(size=(2, k)), rng.normal(size=(5, k))
        found = sparse_numba.loss_and_gradients(ratings, U, V)
        for grad, twin in zip(found, sparse_numpy.loss_and_gradients(ratings, U, V), strict=True):
            np.testing.assert_allclose(grad, twin, rtol=1e-12, atol=1e-12)


def test_what_lies_behind_the_last_row_is_neither_read_nor_written():
    """A row of 3 factors fills a vector of 8 in part: its neighbours are NaN here, and must not matter."""
    ratings = Ratings.from_arrays([0, 1, 1], [0, 0, 1], [5.0, 0.0, 1.0], shape=(2, 2))
    rng = np.random.default_rng(0)
    memory = np.full(70, np.nan)
    U, V, grad = (memory[start : start + 6].reshape(2, 3) for start in (1, 20, 40))
    U[:], V[:] = rng.normal(size=(2, 2, 3))
    unsigned = [array.view(f"u{array.itemsize}") for array in (ratings.user_starts, ratings.items)]
    losses, parts = np.empty(1), np.empty((2, 3))
    turn, width, scale = np.zeros(1, dtype=np.int64), (0,), -2 / 3
    kernels.chunks_by_row(turn, *unsigned, ratings.values, U, V, width, scale, grad, parts, losses)
    E, twin, _ = sparse_numpy.loss_and_gradients(ratings, U, V)
    np.testing.assert_allclose(losses, 3 * E, rtol=1e-12)
    np.testing.assert_allclose(grad, twin, rtol=1e-12)
    assert np.all(np.isnan(memory[46:]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_has_the_same_bits_alone_and_in_company(dtype):
    """What was predicted one by one has no residual where four products are summed at once."""
    rng = np.random.default_rng(0)
    U, V = (rng.normal(size=(rows, 21)).astype(dtype) for rows in (1, 7))
    predicted = predict_pairs(U, V, [0] * 7, range(7))
    assert loss(Ratings.from_arrays([0] * 7, range(7), predicted, shape=(1, 7)), U, V) == 0


RUN = """
import numpy as np
from mflib import Ratings, loss_and_gradients
ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
print(loss_and_gradients(ratings, np.array([[1.0]]), np.array([[4.0]]))[0])
"""


def run(code=RUN, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_where_numba_is_switched_off_the_twin_answers_without_it():
    code = RUN + "import sys; print('mflib.sparse_numpy' in sys.modules, 'mflib.kernels' in sys.modules)"
    assert run(code, NUMBA_DISABLE_JIT="1").stdout.split() == ["1.0", "True", "False"]


def kept(folder):
    """What is on disk of compiled kernels, and when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}


def test_a_second_process_compiles_nothing(tmp_path):
    assert run(NUMBA_CACHE_DIR=str(tmp_path)).stderr == ""
    first = kept(tmp_path)
    assert any("chunks_by_row" in name for name in first)
    run(NUMBA_CACHE_DIR=str(tmp_path))
    assert kept(tmp_path) == first


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path):
    """No file may grow beyond nothing: the folder is there, but nothing can be kept in it."""
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))" + RUN
    done = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout == "1.0\n"
    assert "UserWarning: compiled kernels cannot be kept on disk" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["nbi", pytest.param("nbc", marks=pytest.mark.soak)])
def test_a_damaged_cache_costs_a_warning(tmp_path, kind):
    run(NUMBA_CACHE_DIR=str(tmp_path))
    for path in tmp_path.rglob(f"*.{kind}"):
        path.write_bytes(b"")
    done = run(NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout == "1.0\n"
    assert "Traceback" not in done.stderr


def test_a_value_of_the_switch_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "true")
    with pytest.raises(ValueError, match="NUMBA_DISABLE_JIT must be 0 or 1, got 'true'"):
        predict_pairs(np.ones((1, 1)), np.ones((1, 1)), [0], [0])


def test_where_there_is_no_folder_for_a_cache_a_kernel_is_compiled_without(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR to another folder"):

        @compiled.compiled()
        def double(x):
            return 2 * x

    assert double(4) == 8
