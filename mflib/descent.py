"""Gradient descent on the observed ratings: a loop over a rule (E05, E09, E11, E19)."""

import time
from typing import NamedTuple

import numpy as np

from mflib import checks, rules
from mflib.objective import REG_WEIGHTINGS
from mflib.state import State
from mflib.training import Training

# The loss may rise for a while (momentum does that); past this multiple it never comes back.
DIVERGED = 1000

HISTORY = np.dtype(
    [
        ("iteration", np.int64),
        ("loss", np.float64),
        ("objective", np.float64),
        ("validation_rmse", np.float64),
        ("seconds", np.float64),
    ]
)


class DivergenceError(ArithmeticError):
    """The loss is no longer finite, or a thousand times that of the start: the learning rate is too large."""


class Descent(NamedTuple):
    """What a descent returns.

    Attributes
    ----------
    U : ndarray, shape (n_users, k)
    V : ndarray, shape (n_items, k)
        The last factors, or with validation ratings the best ones.
    history : ndarray with the fields of `HISTORY`, shape (iterations run + 1,)
        `iteration` (0 is the start), `loss` E (E04) and `objective` J (E16) after that many updates,
        `validation_rmse` (NaN without validation ratings), `seconds` since the start.
    stopped_because : str
        "iterations" (all were run), "converged" (no step lowers J any more), "patience", "callback" or
        "interrupted" (Ctrl-C).
    """

    U: np.ndarray
    V: np.ndarray
    history: np.ndarray
    stopped_because: str


def random_factors(shape, n_factors, seed=0, scale=0.1, mean=0.0, biases=False, dtype=np.float64):
    """Random factors to start from: normal entries, placed so that every prediction is about `mean`.

    The entries have the standard deviation `scale` and the expectation √(mean / k), so that u_i · v_j is
    about `mean`: on raw ratings the descent need not find their mean first.

    Parameters
    ----------
    shape : tuple of int
        (n_users, n_items).
    n_factors : int
        k.
    seed : int
    scale : float
        Greater than 0: at U = V = 0 the gradient is zero and no descent leaves it.
    mean : float
        In rating points, not negative.
    biases : bool
        Append the columns of E18: (b_i, 1) = (0, 1) to U and (1, c_j) = (1, 0) to V.
    dtype : float32 or float64

    Returns
    -------
    U : ndarray, shape (n_users, k), or (n_users, k + 2) with biases
    V : ndarray, shape (n_items, k), or (n_items, k + 2)

    Raises
    ------
    TypeError, ValueError
        Where an argument is out of its range.

    Examples
    --------
    >>> U, V = random_factors((4, 3), n_factors=2, seed=1)
    >>> U.shape, V.shape
    ((4, 2), (3, 2))
    """
    n_factors = checks.whole_number("n_factors", n_factors, 1)
    seed = checks.whole_number("seed", seed, 0)
    scale = checks.real_number("scale", scale, 0, np.inf, low_open=True, high_open=True)
    mean = checks.real_number("mean", mean, 0, np.inf, high_open=True)
    shape, dtype = checks.shape(shape), checks.float_dtype("dtype", dtype)
    rng = np.random.default_rng(seed)
    U, V = (np.sqrt(mean / n_factors) + rng.normal(0, scale, (rows, n_factors)) for rows in shape)
    if biases:
        U, V = (
            np.column_stack((W, np.tile(pair, (len(W), 1)))) for W, pair in ((U, (0.0, 1.0)), (V, (1.0, 0.0)))
        )
    return U.astype(dtype), V.astype(dtype)


def descend(
    ratings,
    U,
    V,
    rule="plain",
    *,
    learning_rate=None,
    iterations=100,
    momentum=0.9,
    reg=0.0,
    reg_weighting="plain",
    biases=False,
    scaling=None,
    validation=None,
    patience=None,
    callback=None,
    progress=False,
    checkpoint=None,
    checkpoint_every=50,
):
    """Descend from (U, V) along the gradient of J (E16, E17), both factors updated at once (E09, E11).

    Without a penalty J is the loss E (E04). With `rule="alternating"` U is solved for, then V.

    Parameters
    ----------
    ratings : Ratings
        To learn from.
    U : ndarray of float32 or float64, shape (n_users, k)
    V : ndarray of the dtype of U, shape (n_items, k)
        Where to start; they stay as they are.
    rule : {"plain", "momentum", "nesterov", "conjugate", "alternating"}
        What makes a step of a gradient: −η ∂J; the velocity v ← β v − η ∂J; that velocity with the gradient
        taken ahead; conjugate directions; or, without a gradient, the exact minimum over U, then over V.
    learning_rate : float or "exact", optional
        η > 0. Because of the 1/N in E, a good one grows with the number of ratings. "exact", for "plain" and
        "conjugate" and their default, goes to the minimum along the direction (E19): nothing to choose, and
        nothing diverges. "momentum" and "nesterov" need a number, "alternating" takes none.
    iterations : int
        At most this many updates.
    momentum : float
        β in [0, 1), for the rules "momentum" and "nesterov".
    reg : float
        λ ≥ 0 of the penalty (E16).
    reg_weighting : {"plain", "count", "sqrt"}
        Whether a row is penalized once, once for each of its ratings, or by the square root of their number.
    biases : bool
        The last two columns of U are (b_i, 1), those of V (1, c_j), and the ones stay (E18). Ratings then are
        less their mean.
    scaling : {None, "count", "block"}
        Whether each row of the gradient is divided by the number of its ratings over N/2, or by its k × k
        block of second derivatives: users and items with few ratings then move as fast as those with many.
    validation : Ratings, optional
        Held out: its RMSE is recorded at each iteration, and the factors with the lowest one are returned.
    patience : int, optional
        Stop when that RMSE has not fallen below its lowest for so many iterations.
    callback : callable, optional
        Called as `callback(row, U, V)` with the newest row of the history; returning True, Python's or
        NumPy's as of `row["loss"] < 0.1`, stops the descent.
    progress : bool
        Show a progress bar on stderr.
    checkpoint : str or path, optional
        A file that holds the state of the descent: where it exists, the descent goes on from it, with the
        bits of one that was never interrupted. So the same call again continues after a crash, and one with
        more `iterations` (or another patience) continues an end. A URL that fsspec knows (s3://…) will do.
    checkpoint_every : int
        After so many iterations it is written, and at the end, except after Ctrl-C.

    Returns
    -------
    Descent
        (U, V, history, stopped_because). Ctrl-C ends the descent and returns what there is.

    Raises
    ------
    DivergenceError
        When the loss or the validation RMSE is no longer finite, or the loss exceeds a thousand times max(its
        start, the mean of y²).
    TypeError, ValueError
        Where an argument does not fit; the message says which. Where the checkpoint is of other ratings,
        another start or other settings; the message says what differs.
    OSError
        Where the checkpoint cannot be written.

    Notes
    -----
    8 N k operations an iteration, as many again for the exact step, 4 N k² with "block" or "alternating",
    and 2 for each validation rating and factor.

    Examples
    --------
    >>> from mflib import datasets
    >>> ratings, *truth = datasets.planted(30, 20, 300, n_factors=2, noise=0, seed=0)
    >>> U, V = random_factors(ratings.shape, n_factors=2)
    >>> result = descend(ratings, U, V, "momentum", learning_rate=2, iterations=300)
    >>> bool(result.history["loss"][-1] < 1e-3 * result.history["loss"][0]), result.stopped_because
    (True, 'iterations')
    """
    settings = checked_settings(rule, learning_rate, momentum, reg, reg_weighting, biases, scaling)
    limits = checked_limits(iterations, patience, validation)
    check_start(ratings, U, V, biases, validation)
    training = Training(ratings, validation, reg, reg_weighting, biases)
    keep, state = None, State.start(U.copy(), V.copy())  # whatever the caller or a callback does with theirs
    if checkpoint is not None:
        from mflib import checkpoints

        about = checkpoints.about(settings, ratings, validation, U, V)
        place = checkpoints.Place(checkpoint, checkpoint_every, about)
        keep, state = place, place.load(U, V, limits.iterations) or state
    return follow(training, state, settings, limits, callback, progress, keep)


class Limits(NamedTuple):
    """When a descent ends."""

    iterations: int
    patience: int | None


def checked_settings(rule, learning_rate, momentum, reg, reg_weighting, biases, scaling):
    """What a descent computes, by name; errors as of `descend`."""
    learning_rate = rules.step_size(checks.choice("rule", rule, rules.RULES), learning_rate)
    if learning_rate not in (None, "exact"):
        learning_rate = checks.real_number(
            "learning_rate", learning_rate, 0, np.inf, low_open=True, high_open=True
        )
    momentum = checks.real_number("momentum", momentum, 0, 1, high_open=True)
    if checks.choice("scaling", scaling, rules.SCALINGS) is not None and rule == "alternating":
        raise ValueError(f"rule='alternating' takes no scaling, got {scaling!r}: leave it out")
    reg = checks.real_number("reg", reg, 0, np.inf, high_open=True)
    checks.choice("reg_weighting", reg_weighting, tuple(REG_WEIGHTINGS))
    return {
        "rule": rule,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "reg": reg,
        "reg_weighting": reg_weighting,
        "biases": checks.truth("biases", biases),
        "scaling": scaling,
    }


def checked_limits(iterations, patience, validation):
    """When a descent ends; errors as of `descend`."""
    iterations = checks.whole_number("iterations", iterations, 0)
    if patience is not None:
        patience = checks.whole_number("patience", patience, 1)
        if validation is None:
            raise ValueError("patience needs validation ratings to watch: give validation=, or no patience")
    return Limits(iterations, patience)


def follow(training, state, settings, limits, callback, progress, keep):
    """The loop of every descent, wherever its arrays lie.

    Parameters
    ----------
    training : Training
        Or whatever has its methods.
    state : State
        Where to begin.
    settings : dict
        From `checked_settings`.
    limits : Limits
    callback, progress
        As for `descend`.
    keep : callable or None
        keep(state) after every `keep.every` iterations; keep(state, last=True) at the end.

    Returns
    -------
    Descent
    """
    first, U, V, memory = state.iteration, state.U, state.V, dict(state.memory)
    rule = {name: settings[name] for name in ("rule", "learning_rate", "momentum", "scaling")}
    look = rules.look_around(training, memory=memory, **rule)
    watch = _Watch(training, settings["learning_rate"], limits.iterations, progress, state)
    stopped_because = "iterations"
    try:
        for iteration in range(first, limits.iterations + 1):
            if keep is not None:
                state = watch.state(iteration, U, V, memory)
                if iteration % keep.every == 0 and iteration > first:
                    keep(state)
            # Overflow is what divergence looks like: the watch reports it.
            with np.errstate(over="ignore", invalid="ignore"):
                E, J, move = look(U, V)
                row = watch.record(iteration, E, J, U, V)
            stop = callback(row, U, V) if callback is not None else False
            if isinstance(stop, (bool, np.bool_)) and stop:
                stopped_because = "callback"
                break
            if limits.patience is not None and iteration - watch.best_iteration >= limits.patience:
                stopped_because = "patience"
                break
            if iteration < limits.iterations:
                with np.errstate(over="ignore", invalid="ignore"):
                    moved = move()
                if moved is None:
                    stopped_because = "converged"
                    break
                U, V = moved
        if keep is not None:
            keep(state, last=True)
    except KeyboardInterrupt:
        stopped_because = "interrupted"
    finally:
        watch.close()
    return watch.result(stopped_because)


def check_start(ratings, U, V, biases, validation):
    """The start must fit the ratings and be finite: NaN in, NaN out otherwise."""
    checks.ratings("ratings", ratings)
    checks.float_factors(U, V, ratings.shape)
    check_entries(faults(U, -1), faults(V, -2), biases)
    if validation is not None:
        checks.same_shape("validation", validation, ratings)


def faults(W, column):
    """How many entries are not finite, and whether a column is not all ones."""
    return int(np.sum(~np.isfinite(W))), W.shape[1] < -column or not np.all(W[:, column] == 1)


def check_entries(of_U, of_V, biases):
    """Refuse a start with such `faults`."""
    for name, (not_finite, _) in (("U", of_U), ("V", of_V)):
        if not_finite:
            raise ValueError(f"{name} must be finite to start from, got {not_finite} other entries")
    if biases and (of_U[1] or of_V[1]):
        raise ValueError(
            "with biases the last column of U and the last but one of V must be all 1 (E18): "
            "start from random_factors(..., biases=True)"
        )


class _Watch:
    """Keeps the history and the factors to return, and guards against divergence."""

    def __init__(self, training, learning_rate, iterations, progress, state):
        self.training, self.learning_rate = training, learning_rate
        self.rows, self.limit = list(state.rows), state.limit
        # those of the start, for a Ctrl-C before the first row
        self.factors = (state.U, state.V) if state.best is None else state.best
        self.best_iteration, self.best_rmse = state.best_iteration, state.best_rmse
        self.start = time.perf_counter() - (self.rows[-1]["seconds"] if self.rows else 0)
        self.bar = None
        if progress:
            from tqdm import tqdm

            self.bar = tqdm(total=iterations, initial=max(0, state.iteration - 1), unit="iteration")

    def state(self, iteration, U, V, memory):
        """What is known before an iteration is looked at."""
        best = None if self.training.validation is None or not self.rows else self.factors
        rows, memory = tuple(self.rows), dict(memory)
        return State(iteration, U, V, memory, rows, self.limit, best, self.best_iteration, self.best_rmse)

    def record(self, iteration, E, J, U, V):
        """Add a row to the history and keep (U, V) where they are the ones to return."""
        if iteration == 0:
            self.limit = DIVERGED * max(J, self.training.mean_square)
        if not np.isfinite(J) or J > self.limit:
            raise DivergenceError(self._diverged("objective" if J > E else "loss", iteration, J))
        rmse, validated = self.training.validation_rmse(U, V), self.training.validation is not None
        if validated and not np.isfinite(rmse):
            raise DivergenceError(self._diverged("validation_rmse", iteration, rmse))
        if not validated or rmse < self.best_rmse:
            self.factors, self.best_iteration, self.best_rmse = (U, V), iteration, rmse
        row = np.array((iteration, E, J, rmse, time.perf_counter() - self.start), dtype=HISTORY)[()]
        self.rows.append(row)
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{E:.4g}", refresh=False)
            self.bar.update(int(iteration > 0))
        return row

    def _diverged(self, field, iteration, value):
        if iteration == 0:
            return (
                f"the {field} at the start is {value:.3g}: start from smaller U and V, or scale the ratings"
            )
        went = f"the {field} went from {self.rows[0][field]:.3g} to {value:.3g} at iteration {iteration}"
        if self.learning_rate in (None, "exact"):
            return f"{went}: use float64, or scale the ratings"
        return (
            f"{went} with learning_rate={self.learning_rate:g}: "
            f"try learning_rate={self.learning_rate / 2:g} or less"
        )

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def result(self, stopped_because):
        return Descent(*self.factors, np.array(self.rows, dtype=HISTORY), stopped_because)
