"""Descent: rules by hand, what is kept, and every way in which it ends."""

import contextlib
import itertools
import os
import re
import signal
import threading
import time
from unittest import mock

import numpy as np
import pytest
import tqdm
from problems import problem

from mflib import DivergenceError, Ratings, datasets, dense, descend, descent, random_factors, rules, sparse


@pytest.fixture(scope="module")
def data():
    """Planted ratings in two parts and a start: (train, validation, U, V)."""
    ratings, *_ = datasets.planted(60, 40, 1000, n_factors=2, noise=0.3, seed=1)
    train, validation, _ = ratings.split(0.3)
    return train, validation, *random_factors(ratings.shape, n_factors=3, seed=2, scale=0.3)


def test_plain_descent_is_the_update_of_the_lecture():
    p = problem("small")
    U, V = p.U, p.V
    for _ in range(3):
        U, V = dense.update(p.Y, p.R, U, V, 0.1)
    result = descend(p.ratings, p.U, p.V, learning_rate=0.1, iterations=3)
    np.testing.assert_allclose(result.U, U, rtol=1e-12)
    np.testing.assert_allclose(result.V, V, rtol=1e-12)


def test_momentum_keeps_a_velocity_from_zero():
    """By hand: v ← β v − η ∂E and w ← w + v, with v = 0 at first."""
    p = problem("small")
    eta, beta = 0.1, 0.7
    U, V, v_U, v_V = p.U, p.V, 0, 0
    for _ in range(3):
        grad_U, grad_V = dense.gradients(p.Y, p.R, U, V)
        v_U, v_V = beta * v_U - eta * grad_U, beta * v_V - eta * grad_V
        U, V = U + v_U, V + v_V
    result = descend(p.ratings, p.U, p.V, "momentum", learning_rate=eta, momentum=beta, iterations=3)
    np.testing.assert_allclose(result.U, U, rtol=1e-12)
    np.testing.assert_allclose(result.V, V, rtol=1e-12)


def test_momentum_of_one_entry_by_hand():
    """y = 1, u = v = 2: ∂E/∂u = −2 (1 − 4) 2 = 12, so u is 2 − 0.6 = 1.4, then with y − u² = −0.96 …"""
    ratings = Ratings.from_arrays([0], [0], [1.0], shape=(1, 1))
    start = np.array([[2.0]])
    steps = []
    descend(
        ratings, start, start, "momentum", learning_rate=0.05, momentum=0.5, iterations=2,
        callback=lambda row, U, V: steps.append(U[0, 0]),
    )  # fmt: skip
    second = 1.4 + 0.5 * -0.6 - 0.05 * -2 * (1 - 1.96) * 1.4
    np.testing.assert_allclose(steps, [2, 1.4, second], rtol=1e-14)


def test_momentum_0_is_plain_and_09_the_default(data):
    train, _, *start = data
    options = {"learning_rate": 1.0, "iterations": 20}
    plain = descend(train, *start, "plain", **options)
    np.testing.assert_array_equal(descend(train, *start, "momentum", momentum=0, **options).U, plain.U)
    by_default = descend(train, *start, "momentum", **options)
    np.testing.assert_array_equal(by_default.U, descend(train, *start, "momentum", momentum=0.9, **options).U)
    np.testing.assert_array_equal(descend(train, *start, **options).U, plain.U)
    assert np.any(by_default.U != plain.U)


def test_a_step_needs_no_copy_of_what_it_is_given():
    gradient = np.array([[1.0, -2.0]])
    for rule, first in (("plain", 0.5), ("momentum", 0.5), ("nesterov", 0.95), ("conjugate", 1)):
        direction = rules.DIRECTIONS[rule](0.5, 0.9)
        for step in direction([gradient] * 2, [gradient] * 2):
            np.testing.assert_array_equal(step, -first * gradient)
        direction([gradient] * 2, [gradient] * 2)
        np.testing.assert_array_equal(gradient, [[1, -2]])


def test_the_history_has_a_row_for_the_start_and_each_iteration(data):
    train, validation, U, V = data
    seen = []
    result = descend(
        train, U, V, learning_rate=1.0, iterations=4, validation=validation,
        callback=lambda row, *W: seen.append((row, sparse.loss(train, *W), sparse.loss(validation, *W))),
    )  # fmt: skip
    history = result.history
    assert history.dtype == descent.HISTORY
    np.testing.assert_array_equal(history["iteration"], range(5))
    np.testing.assert_array_equal(history["loss"], [E for _, E, _ in seen])
    np.testing.assert_array_equal(history["validation_rmse"], np.sqrt([E for *_, E in seen]))
    assert np.all(np.diff(history["seconds"]) > 0)
    assert 0 < history["seconds"][0] < 60
    assert [row.tolist() for row, *_ in seen] == history.tolist()
    assert type(seen[0][0]["loss"]) is np.float64
    assert result.stopped_because == "iterations"


def test_without_validation_the_last_factors_are_returned_and_its_rmse_is_nan(data):
    train, _, U, V = data
    last = []
    result = descend(
        train, U, V, learning_rate=1.0, iterations=7, callback=lambda row, U, V: last.append((U, V))
    )
    np.testing.assert_array_equal(result.U, last[-1][0])
    np.testing.assert_array_equal(result.V, last[-1][1])
    assert len(last) == 8
    assert np.all(np.isnan(result.history["validation_rmse"]))


def test_the_default_is_100_iterations(data):
    train, _, U, V = data
    assert len(descend(train, U, V, learning_rate=0.1).history) == 101


def test_no_iterations_return_the_start_but_not_the_same_arrays(data):
    train, _, U, V = data
    result = descend(train, U, V, learning_rate=1.0, iterations=0)
    np.testing.assert_array_equal(result.U, U)
    np.testing.assert_array_equal(result.V, V)
    assert not np.shares_memory(result.U, U)
    assert not np.shares_memory(result.V, V)
    np.testing.assert_array_equal(result.history["iteration"], [0])
    np.testing.assert_array_equal(result.history["loss"], sparse.loss(train, U, V))


@pytest.mark.parametrize("rule", ["plain", "momentum", "nesterov"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_start_stays_as_it_is_and_its_dtype_is_kept(data, rule, dtype):
    train, validation, *start = data
    U, V = (W.astype(dtype) for W in start)
    copies = U.copy(), V.copy()
    result = descend(train, U, V, rule, learning_rate=np.float64(1.0), iterations=5, validation=validation)
    np.testing.assert_array_equal(U, copies[0])
    np.testing.assert_array_equal(V, copies[1])
    assert (result.U.dtype, result.V.dtype) == (dtype, dtype)


def test_the_same_call_gives_the_same_bits(data):
    train, _, U, V = data
    one, other = (descend(train, U, V, "momentum", learning_rate=1.0, iterations=9) for _ in range(2))
    np.testing.assert_array_equal(one.U, other.U)
    np.testing.assert_array_equal(one.V, other.V)
    np.testing.assert_array_equal(one.history["loss"], other.history["loss"])


def test_plain_descent_lowers_the_loss_at_each_step(data):
    train, _, U, V = data
    assert np.all(np.diff(descend(train, U, V, learning_rate=1.0).history["loss"]) < 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_planted_matrix_returns(dtype):
    ratings, U, V = datasets.planted(40, 30, 600, n_factors=2, noise=0, seed=3)
    start = random_factors(ratings.shape, n_factors=2, seed=0, scale=0.5, dtype=dtype)
    result = descend(ratings, *start, "momentum", learning_rate=3.0, iterations=1500)
    known = np.outer(ratings.user_counts > 4, ratings.item_counts > 4)
    error = (dense.predict(result.U, result.V) - dense.predict(U, V))[known]
    assert np.sqrt(np.mean(error**2)) < 0.01


def overfitting(data, **more):
    train, validation, U, V = data
    return descend(train, U, V, "momentum", learning_rate=2.0, validation=validation, **more)


def test_with_validation_the_factors_of_the_lowest_rmse_are_returned(data):
    result = overfitting(data, iterations=300)
    rmse = result.history["validation_rmse"]
    assert 0 < np.argmin(rmse) < 300
    np.testing.assert_array_equal(np.sqrt(sparse.loss(data[1], result.U, result.V)), np.min(rmse))
    assert (len(result.history), result.stopped_because) == (301, "iterations")


@pytest.mark.parametrize("patience", [1, 2, 10])
def test_patience_stops_so_many_iterations_after_the_lowest(data, patience):
    rmse = overfitting(data, iterations=300).history["validation_rmse"]
    best, stop = 0, None
    for iteration, value in enumerate(rmse):
        best = iteration if value < rmse[best] else best
        if iteration - best == patience:
            stop = iteration
            break
    result = overfitting(data, iterations=300, patience=patience)
    assert (len(result.history) - 1, result.stopped_because) == (stop, "patience")
    np.testing.assert_array_equal(np.sqrt(sparse.loss(data[1], result.U, result.V)), rmse[best])


def test_a_patience_that_is_over_already_ends_a_descent_that_goes_on(data, tmp_path):
    """From a checkpoint that a longer patience has left."""
    kept = tmp_path / "descent.npz"
    long = overfitting(data, iterations=300, patience=10, checkpoint=kept)
    short = overfitting(data, iterations=300, patience=4, checkpoint=kept)
    assert (short.stopped_because, len(short.history)) == ("patience", len(long.history))


@pytest.mark.parametrize("patience", [3, 300])
def test_patience_waits_where_the_rmse_only_stays_the_same(patience):
    """Equal is not lower: a validation rating of a user and an item that never move."""
    train = Ratings.from_arrays([0], [0], [1.0], shape=(2, 2))
    validation = Ratings.from_arrays([1], [1], [1.0], shape=(2, 2))
    start = np.ones((2, 1)), np.zeros((2, 1))
    result = descend(
        train, *start, learning_rate=0.1, iterations=400, validation=validation, patience=patience
    )
    assert (len(result.history), result.stopped_because) == (patience + 1, "patience")
    np.testing.assert_array_equal(result.V, 0)


@pytest.mark.parametrize("kind", [bool, np.bool_])
def test_a_callback_that_returns_true_stops(data, kind):
    """A comparison of NumPy numbers gives NumPy's True: it used not to count."""
    train, _, U, V = data
    result = descend(train, U, V, learning_rate=1.0, callback=lambda row, U, V: kind(row["iteration"] == 3))
    assert (len(result.history), result.stopped_because) == (4, "callback")
    np.testing.assert_array_equal(result.U, descend(train, U, V, learning_rate=1.0, iterations=3).U)


def test_a_callback_may_compare_the_loss(data):
    train, _, U, V = data
    result = descend(train, U, V, learning_rate=1.0, callback=lambda row, U, V: row["loss"] < 0.8)
    assert result.history["loss"][-1] < 0.8 <= result.history["loss"][-2]


@pytest.mark.parametrize("other", [None, 1, "stop", [True], np.ones(3)])
def test_a_callback_that_returns_something_else_does_not_stop(data, other):
    train, _, U, V = data
    result = descend(train, U, V, learning_rate=1.0, iterations=2, callback=lambda row, U, V: other)
    assert (len(result.history), result.stopped_because) == (3, "iterations")


def test_an_error_in_a_callback_passes_through(data):
    train, _, U, V = data
    with pytest.raises(ZeroDivisionError):
        descend(train, U, V, learning_rate=1.0, callback=lambda row, U, V: 1 / 0)


@pytest.fixture
def ctrl_c():
    """SIGINT as of a terminal: a shell's background job, and what it starts, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("with_validation", [False, True])
def test_ctrl_c_in_a_callback_returns_what_there_is(data, with_validation):
    train, validation, U, V = data

    def interrupt(row, U, V):
        if row["iteration"] == 3:
            signal.raise_signal(signal.SIGINT)

    more = {"validation": validation} if with_validation else {}
    result = descend(train, U, V, learning_rate=1.0, callback=interrupt, **more)
    assert (len(result.history), result.stopped_because) == (4, "interrupted")
    np.testing.assert_array_equal(result.U, descend(train, U, V, learning_rate=1.0, iterations=3).U)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_at_any_moment_returns_what_there_is(data):
    train, _, U, V = data
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    result = descend(train, U, V, learning_rate=0.01, iterations=50_000)
    timer.join()
    assert result.stopped_because == "interrupted"
    assert time.perf_counter() - started < 5
    assert np.all(np.isfinite(result.U))
    assert len(result.history) > 1


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_first_loss_returns_the_start(data, monkeypatch):
    """The first pass over many ratings takes long: there used to be nothing to return, a TypeError."""
    train, _, U, V = data

    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sparse, "loss_and_gradients", interrupted)
    result = descend(train, U, V, learning_rate=1.0)
    np.testing.assert_array_equal(result.U, U)
    np.testing.assert_array_equal(result.V, V)
    assert (len(result.history), result.stopped_because) == (0, "interrupted")
    assert result.history.dtype == descent.HISTORY


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", ["plain", "momentum", "nesterov"])
@pytest.mark.parametrize("learning_rate", [201.0, 1e10, 1e300])
def test_a_learning_rate_that_is_too_large_is_named_with_what_to_try(data, rule, dtype, learning_rate):
    train, _, U, V = data
    named = re.escape(
        f"with learning_rate={learning_rate:g}: try learning_rate={learning_rate / 2:g} or less"
    )
    with pytest.raises(
        DivergenceError, match=r"the loss went from 0\.88 to \S+ at iteration \d+ " + named
    ) as caught:
        descend(train, U.astype(dtype), V.astype(dtype), rule, learning_rate=learning_rate, iterations=2000)
    assert isinstance(caught.value, ArithmeticError)


def losses(monkeypatch, *values):
    """Make the loss run through these values, with a gradient of zero."""
    rest = iter(values)
    monkeypatch.setattr(
        sparse, "loss_and_gradients", lambda ratings, U, V: (next(rest), np.zeros_like(U), np.zeros_like(V))
    )


@pytest.mark.parametrize("start", [0.5, 9.0])
def test_the_loss_may_rise_to_a_thousand_times_its_start_or_the_mean_square(monkeypatch, start):
    """y = 2, so the mean of y² is 4."""
    ratings = Ratings.from_arrays([0], [0], [2.0], shape=(1, 1))
    one, limit = np.ones((1, 1)), 1000 * max(start, 4)
    losses(monkeypatch, start, limit, start)
    np.testing.assert_array_equal(
        descend(ratings, one, one, learning_rate=1, iterations=2).history["loss"][1], limit
    )
    losses(monkeypatch, start, np.nextafter(limit, np.inf))
    with pytest.raises(DivergenceError, match="at iteration 1 "):
        descend(ratings, one, one, learning_rate=1, iterations=2)


def test_the_mean_square_of_float32_ratings_does_not_overflow():
    """As float32, (1e20)² is inf, and no loss would be too large."""
    ratings = Ratings.from_arrays([0], [0], np.array([1e20], dtype=np.float32), shape=(1, 1))
    with pytest.raises(DivergenceError, match=r"the loss went from 1e\+40 to \S+ at iteration 1 "):
        descend(ratings, np.ones((1, 1)), np.ones((1, 1)), learning_rate=1.0, iterations=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_divergence(monkeypatch, bad):
    ratings = Ratings.from_arrays([0], [0], [2.0], shape=(1, 1))
    losses(monkeypatch, 1.0, 1.0, bad)
    with pytest.raises(
        DivergenceError, match=f"the loss went from 1 to {bad} at iteration 2 with learning_rate=1:"
    ):
        descend(ratings, np.ones((1, 1)), np.ones((1, 1)), learning_rate=1)


def test_a_start_or_ratings_that_overflow_are_named():
    """Ratings of 1e200 used to warn of an overflow first."""
    ratings = Ratings.from_arrays([0], [0], [1e200], shape=(1, 1))
    with pytest.raises(DivergenceError, match="the loss at the start is inf: start from smaller U and V"):
        descend(ratings, np.ones((1, 1)), np.ones((1, 1)), learning_rate=1.0)


def test_a_validation_rmse_that_overflows_is_named():
    """There used to be no best factors to return, a TypeError."""
    train = Ratings.from_arrays([0], [0], [1.0], shape=(2, 1))
    validation = Ratings.from_arrays([1], [0], [1.0], shape=(2, 1))
    U, V = np.array([[1], [3e38]], dtype=np.float32), np.array([[2]], dtype=np.float32)
    with pytest.raises(DivergenceError, match="the validation_rmse at the start is inf: start from smaller"):
        descend(train, U, V, learning_rate=0.1, validation=validation)


def test_the_progress_bar_counts_iterations_and_ends_with_the_descent(data, capsys):
    train, _, U, V = data
    descend(train, U, V, learning_rate=1.0, iterations=4, progress=True)
    shown = capsys.readouterr()
    assert "100%" in shown.err
    assert "4/4" in shown.err
    assert "loss=" in shown.err
    assert "iteration/s" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("learning_rate", [1.0, 1e9])
def test_the_progress_bar_is_closed_also_on_divergence(data, monkeypatch, learning_rate):
    train, _, U, V = data
    closed = []

    class Bar(tqdm.tqdm):
        def close(self):
            closed.append(self.n)
            super().close()

        def __del__(self):
            pass  # a bar closes itself in the end: too late

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    with contextlib.suppress(DivergenceError):
        descend(train, U, V, learning_rate=learning_rate, iterations=4, progress=True)
    assert closed == [4 if learning_rate == 1 else 0]


def test_the_progress_bar_is_drawn_now_and_then_and_not_at_each_iteration(data, capsys):
    train, _, U, V = data
    descend(train, U, V, learning_rate=1.0, iterations=2000, progress=True)
    assert capsys.readouterr().err.count("\r") < 1000


def test_no_bar_is_shown_where_the_factors_do_not_fit(data, capsys):
    train, _, U, _ = data
    with pytest.raises(ValueError, match="V must have one row for each of the 40 items"):
        descend(train, U, np.ones((39, 3)), learning_rate=1.0, progress=True)
    assert capsys.readouterr().err == ""


def test_seconds_count_from_the_start(data, monkeypatch):
    train, _, U, V = data
    monkeypatch.setattr(descent, "time", mock.Mock(perf_counter=itertools.count(10, 5).__next__))
    history = descend(train, U, V, learning_rate=1.0, iterations=3).history
    np.testing.assert_array_equal(history["seconds"], [5, 10, 15, 20])


def test_nothing_is_shown_unless_asked_for(data, capsys):
    train, _, U, V = data
    descend(train, U, V, learning_rate=1.0, iterations=4)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ratings": np.eye(3)}, TypeError, "ratings must be Ratings, got ndarray: make them with"),
        (
            {"rule": "adam"},
            ValueError,
            "rule must be one of 'plain', 'momentum', 'nesterov', 'conjugate', 'alternating', got 'adam'",
        ),
        ({"learning_rate": 0}, ValueError, r"learning_rate must lie in \(0, inf\), got 0"),
        ({"learning_rate": -1.0}, ValueError, r"learning_rate must lie in \(0, inf\), got -1"),
        ({"learning_rate": np.nan}, ValueError, r"learning_rate must lie in \(0, inf\), got nan"),
        ({"learning_rate": np.inf}, ValueError, r"learning_rate must lie in \(0, inf\), got inf"),
        ({"learning_rate": "1e-3"}, TypeError, r"learning_rate must be a number, got '1e-3' \(str\)"),
        ({"learning_rate": True}, TypeError, "learning_rate must be a number, got True"),
        ({"momentum": 1}, ValueError, r"momentum must lie in \[0, 1\), got 1"),
        ({"momentum": -0.1}, ValueError, r"momentum must lie in \[0, 1\), got -0.1"),
        ({"iterations": -1}, ValueError, "iterations must be at least 0, got -1"),
        ({"iterations": 10.0}, TypeError, r"iterations must be a whole number, got 10.0 \(float\)"),
        ({"patience": 3}, ValueError, "patience needs validation ratings to watch: give validation="),
        ({"validation": "self", "patience": 0}, ValueError, "patience must be at least 1, got 0"),
        ({"validation": np.eye(3)}, TypeError, "validation must be Ratings, got ndarray"),
        (
            {"validation": "other"},
            ValueError,
            r"validation must have the shape .* got \(1, 1\) and \(60, 40\): make both",
        ),
        ({"U": np.ones((60, 2))}, ValueError, r"same number of factors \(axis 1\), got U \(60, 2\) and V"),
        ({"V": np.ones((39, 3))}, ValueError, "V must have one row for each of the 40 items"),
        ({"U": np.ones((60, 3), int)}, TypeError, "U and V must both be float32 or both float64, got int64"),
        (
            {"U": np.full((60, 3), np.nan)},
            ValueError,
            "U must be finite to start from, got 180 other entries",
        ),
        (
            {"V": np.diag([np.inf] * 40)[:, :3]},
            ValueError,
            "V must be finite to start from, got 3 other entries",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(data, change, error, message):
    train, _, U, V = data
    others = {"self": train, "other": Ratings.from_arrays([0], [0], [1], shape=(1, 1))}
    if isinstance(change.get("validation"), str):
        change = change | {"validation": others[change["validation"]]}
    with pytest.raises(error, match=message):
        descend(**{"ratings": train, "U": U, "V": V, "learning_rate": 1.0, "progress": False, **change})


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
def test_a_learning_rate_must_be_given_where_there_is_no_exact_step(data, rule):
    train, _, U, V = data
    with pytest.raises(ValueError, match=f"rule='{rule}' needs a number as learning_rate, got None"):
        descend(train, U, V, rule)


def test_random_factors_have_the_asked_for_spread_and_mean():
    U, V = random_factors((4000, 3000), n_factors=5, seed=1, scale=0.2, mean=3.5)
    assert (U.shape, V.shape, U.dtype, V.dtype) == ((4000, 5), (3000, 5), np.float64, np.float64)
    np.testing.assert_allclose([U.std(), V.std()], 0.2, rtol=0.02)
    np.testing.assert_allclose([U.mean(), V.mean()], np.sqrt(3.5 / 5), rtol=0.02)
    np.testing.assert_allclose(dense.predict(U[:500], V[:500]).mean(), 3.5, rtol=0.02)
    zero, _ = random_factors((4000, 3000), n_factors=5)
    np.testing.assert_allclose([zero.mean(), zero.std()], [0, 0.1], atol=0.003)


def test_random_factors_are_the_draws_of_numpys_generator_first_for_the_users():
    rng = np.random.default_rng(5)
    for W, rows in zip(random_factors((4, 3), n_factors=2, seed=5, scale=0.2, mean=8), (4, 3), strict=True):
        np.testing.assert_array_equal(W, 2 + rng.normal(0, 0.2, (rows, 2)))


def test_random_factors_are_those_of_their_seed():
    U, V = random_factors((4, 4), n_factors=2, seed=1)
    again, _ = random_factors((4, 4), n_factors=2, seed=1, dtype="float32")
    np.testing.assert_array_equal(again, U.astype(np.float32))
    assert again.dtype == np.float32
    assert np.any(U != V)
    assert np.any(U != random_factors((4, 4), n_factors=2, seed=2)[0])
    np.testing.assert_array_equal(
        random_factors((4, 4), n_factors=2)[0], random_factors((4, 4), 2, seed=0)[0]
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shape": (2, 3, 4)}, ValueError, r"shape must be a tuple \(n_users, n_items\), got \(2, 3, 4\)"),
        ({"shape": 5}, ValueError, "shape must be a tuple"),
        ({"shape": (2, 0)}, ValueError, r"shape\[1\] must be at least 1, got 0"),
        ({"n_factors": 0}, ValueError, "n_factors must be at least 1, got 0"),
        ({"n_factors": 2.0}, TypeError, "n_factors must be a whole number, got 2.0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"scale": 0}, ValueError, r"scale must lie in \(0, inf\), got 0"),
        ({"scale": np.inf}, ValueError, r"scale must lie in \(0, inf\), got inf"),
        ({"mean": -1}, ValueError, r"mean must lie in \[0, inf\), got -1"),
        ({"mean": np.inf}, ValueError, r"mean must lie in \[0, inf\), got inf"),
        ({"dtype": int}, ValueError, "dtype must be float32 or float64, got <class 'int'>"),
    ],
)
def test_random_factors_that_cannot_be_are_refused(change, error, message):
    """dtype=int used to give zeros, from which no descent leaves."""
    with pytest.raises(error, match=message):
        random_factors(**{"shape": (2, 3), "n_factors": 2, **change})
