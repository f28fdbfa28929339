"""Is this function the gradient of that one? For anybody's loss, with a verdict that knows its own errors."""

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mflib import checks
from mflib.verify.differences import Measured, derivative, exact_derivative

# A gradient may differ by this share of the true entry; rounding, which is measured, comes on top.
RELATIVE = {"float64": 1e-6, "float32": 2e-4}
DIRECTIONS = 8  # random ones, for the entries of a large param that are not checked one by one
PERTURBATIONS = 6  # evaluations of the gradient at points a few units in the last place away


class GradientError(AssertionError):
    """A gradient does not hold; the message is the report."""


@dataclass(frozen=True)
class Entry:
    """One derivative, as the gradient gives it and as measured.

    Attributes
    ----------
    param : int
        Which of the params; -1 for a derivative along a random direction of all of them.
    index : tuple of int
    given, measured : number
    error : float
        Their difference, relative to the larger of the two.
    allowed : float
        How large that difference might be for a right gradient, from rounding and `RELATIVE`.
    """

    param: int
    index: tuple
    given: object
    measured: object
    error: float
    allowed: float

    @property
    def place(self) -> str:
        """Which derivative it is, in words."""
        return "a random direction" if self.param < 0 else f"param {self.param}, entry {list(self.index)}"

    def __str__(self):
        return (
            f"{self.place}: grad gives {_show(self.given)}, measured {_show(self.measured)} "
            f"(relative difference {self.error:.2g}, allowed {self.allowed:.2g})"
        )


@dataclass(frozen=True)
class Report:
    """What `check_gradient` found.

    Attributes
    ----------
    holds : bool
    worst : Entry or None
        The entry whose difference is largest for what is allowed; None where nothing could be compared.
    n_checked : int
        Number of derivatives compared.
    problem : str
        Where f or grad is no function to compare (wrong shape, not finite, not deterministic): what is wrong.
    n_unresolved : int
        How many of the derivatives are as small as the rounding of f lets them be measured: a wrong value as
        small as that cannot be told from a right one. At a stationary point it is all of them.
    """

    holds: bool
    worst: Entry | None
    n_checked: int
    problem: str = ""
    n_unresolved: int = 0

    def __str__(self):
        if self.problem:
            return f"not a gradient to check: {self.problem}"
        verdict = "holds" if self.holds else "does not hold"
        lost = f", {self.n_unresolved} of them lost in rounding" if self.n_unresolved else ""
        return f"the gradient {verdict} ({self.n_checked} derivatives{lost}); worst: {self.worst}"


def check_gradient(
    f: Callable,
    grad: Callable,
    *params: np.ndarray,
    max_entries: int = 200,
    seed: int = 0,
    raise_on_failure: bool = False,
) -> Report:
    """Check that grad(*params) is the gradient of f at params.

    Every entry is compared with a derivative measured by differences (`differences.derivative`), relative to
    its own size: zero is refused for a tiny true gradient. What rounding can explain is measured, not
    guessed: f and grad are evaluated at points close by, and a correct gradient at a stationary point, where
    only rounding is left, is accepted. For float32 params the differences are taken in float64 where f
    accepts it. In Fractions the comparison is `==`.

    Parameters
    ----------
    f : callable
        f(*params) -> a real number; smooth.
    grad : callable
        grad(*params) -> an array shaped as the param, or a tuple with one for each of several params.
    params : ndarray of float32 or float64, all alike, or object arrays of Fraction
        The point. For Fractions f must be a polynomial of degree at most 2 in each entry, as E04 is.
    max_entries : int
        Of a larger param so many entries are checked, half of them the largest, half drawn; the others only
        together, along random directions: there a small error in one of them can go unseen.
    seed : int
        Of these draws.
    raise_on_failure : bool
        Raise `GradientError` where the verdict is no.

    Returns
    -------
    Report
        With `.holds`, `.worst` (the entry, both numbers) and `.problem`: a function that returns a wrong
        shape or a value that is not finite, or that differs from call to call, is reported as that.

    Raises
    ------
    TypeError
        Where params are of another or of mixed kinds.
    GradientError
        On request.

    Notes
    -----
    24 evaluations of f an entry.

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> check_gradient(lambda w: np.sum(w**3), lambda w: 3 * w**2, w).holds
    True
    >>> report = check_gradient(lambda w: np.sum(w**3), lambda w: 3.003 * w**2, w)
    >>> report.holds, report.worst.param, bool(report.worst.error > 9e-4)
    (False, 0, True)
    """
    kind = _kind(params)
    max_entries = checks.whole_number("max_entries", max_entries, 1)
    rng = np.random.default_rng(checks.whole_number("seed", seed, 0))
    problem, value, given = _evaluate(f, grad, params)
    entries = []
    if not problem:
        compare = _compare_exactly if kind == "exact" else _compare
        entries = compare(f, grad, params, given, max_entries, rng)
        problem = _unmeasured(entries) or _changed(f, grad, params, value, given)
    report = Report(False, None, len(entries), problem) if problem else _report(entries)
    if raise_on_failure and not report.holds:
        raise GradientError(str(report))
    return report


def _report(entries):
    """The verdict on entries that could all be measured."""
    worst = max(entries, key=_excess)
    unresolved = sum(2 * entry.allowed > 1 for entry in entries)
    return Report(_excess(worst) <= 1, worst, len(entries), n_unresolved=unresolved)


def _excess(entry):
    """How many times larger the difference is than allowed."""
    if entry.error == 0:
        return 0.0
    return entry.error / entry.allowed if entry.allowed > 0 else np.inf


def _unmeasured(entries):
    """What to say where f has no finite values on both sides of the point."""
    for entry in entries:
        if not np.isfinite(float(entry.allowed)):
            return f"f has no finite values on both sides of the point: {entry.place}"
    return ""


def _changed(f, grad, params, value, given):
    """What to say where f or grad, asked again, answers differently."""
    for _ in range(2):
        again = f(*params), *_as_tuple(grad(*params))
        if any(not np.array_equal(one, two) for one, two in zip((value, *given), again, strict=True)):
            return "calls at the same params differ: f or grad is not deterministic"
    return ""


def _kind(params):
    """Float32, float64 or exact: one for all params."""
    if not params:
        raise TypeError("no params: give the arrays at which to check, after f and grad")
    for param in params:
        if not isinstance(param, np.ndarray):
            raise TypeError(f"params must be NumPy arrays, got {type(param).__name__}: use np.asarray")
        if param.size == 0:
            raise ValueError(f"params must have entries, got shape {param.shape}")
    dtypes = {param.dtype.name for param in params}
    if len(dtypes) > 1:
        raise TypeError(f"params must be of one kind, got {', '.join(sorted(dtypes))}: use .astype(...)")
    if dtypes == {"object"}:
        kinds = {type(value) for param in params for value in param.flat}
        if kinds != {Fraction}:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise TypeError(f"object arrays must hold Fractions alone, got {names}: convert every entry")
        return "exact"
    if not dtypes <= RELATIVE.keys():
        raise TypeError(f"params must be float32, float64 or Fractions, got {dtypes.pop()}")
    return dtypes.pop()


def _as_tuple(gradient):
    return tuple(gradient) if isinstance(gradient, (tuple, list)) else (gradient,)


def _evaluate(f, grad, params):
    """What is wrong with f or grad, if anything, and their values at params."""
    value, gradient = f(*params), _as_tuple(grad(*params))
    if np.ndim(value) != 0:
        return f"f returns an array of shape {np.shape(value)}, expected one number", None, None
    if len(gradient) != len(params):
        return f"grad returns {len(gradient)} arrays for {len(params)} params", None, None
    gradient = tuple(np.asarray(array) for array in gradient)
    for place, (array, param) in enumerate(zip(gradient, params, strict=True)):
        if array.shape != param.shape:
            return f"grad returns shape {array.shape} for param {place} of shape {param.shape}", None, None
    if not _finite(value):
        return f"f returns {value!r}, expected a finite real number", None, None
    for place, array in enumerate(gradient):
        if not all(map(_finite, array.flat)):
            return f"grad returns a value that is no finite real number for param {place}", None, None
    return _changed(f, grad, params, value, gradient), value, gradient


def _finite(value):
    value = value.item() if isinstance(value, np.ndarray) else value
    if isinstance(value, numbers.Rational):
        return True
    return isinstance(value, numbers.Real) and bool(np.isfinite(value))


def _compare_exactly(f, grad, params, given, max_entries, rng):
    """Every entry, with ==."""
    entries = []
    for place, (array, measured) in enumerate(zip(given, exact_derivative(f, *params), strict=True)):
        for index in np.ndindex(array.shape):
            entries.append(_entry(place, index, array[index], measured[index], 0))
    return entries


def _compare(f, grad, params, given, max_entries, rng):
    """Entry by entry, with what rounding allows."""
    relative = RELATIVE[params[0].dtype.name]
    points = _points(f, params)
    noise, spread = _noise(f, points, rng), _spread(grad, params, given, rng)

    def measure(move, scale):
        def phi(t):
            with np.errstate(all="ignore"):  # long steps may leave the domain of f; they are passed over
                return float(f(*move(t)))

        resolution = float(np.finfo(points[0].dtype).eps) * scale
        return derivative(phi, noise, 1024 * max(scale, 1.0), resolution)

    entries, complete = [], True
    for place, param in enumerate(params):
        indices = list(np.ndindex(param.shape))
        if len(indices) > max_entries:
            complete = False
            indices = _chosen(indices, given[place], max_entries, rng)
        for index in indices:
            measured = measure(_move_entry(points, place, index), abs(float(param[index])))
            value = float(given[place][index])
            entries.append(_bounded(place, index, value, measured, relative, float(spread[place][index])))
    if not complete:
        for _ in range(DIRECTIONS):
            entries.append(_along_direction(measure, points, given, relative, spread, rng))
    return entries


def _chosen(indices, gradient, number, rng):
    """Of many entries the largest, and some of the others at random."""
    order = np.argsort(-np.abs(gradient), axis=None, kind="stable")
    largest, others = order[: (number + 1) // 2], order[(number + 1) // 2 :]
    drawn = rng.choice(others, number - len(largest), replace=False)
    return [indices[i] for i in (*largest, *drawn)]


def _move_entry(params, place, index):
    """The params with one entry moved by t."""

    def move(t):
        moved = list(params)
        moved[place] = params[place].copy()
        moved[place][index] += moved[place].dtype.type(t)
        return moved

    return move


def _along_direction(measure, params, given, relative, spread, rng):
    """The derivative along a random direction of all params: entries that were not drawn count too."""
    directions = [rng.choice([-1, 1], param.shape).astype(param.dtype) for param in params]
    along = sum(float(np.sum(g * p, dtype=np.float64)) for g, p in zip(given, directions, strict=True))
    measured = measure(
        lambda t: [w + w.dtype.type(t) * p for w, p in zip(params, directions, strict=True)], 1.0
    )
    allowed = float(np.sqrt(sum(np.sum(np.square(s, dtype=np.float64)) for s in spread)))
    return _bounded(-1, (), along, measured, relative, allowed)


def _bounded(place, index, value, measured: Measured, relative, spread):
    size = max(abs(value), abs(measured.value))
    return _entry(place, index, value, measured.value, relative * size + measured.error + spread)


def _entry(place, index, given, measured, allowed):
    """Differences relative to the larger number; absolute where both are zero."""
    size = max(abs(given), abs(measured)) or 1
    return Entry(place, index, given, measured, float(abs(given - measured) / size), float(allowed / size))


def _points(f, params):
    """The params in float64 where f takes them so: differences then measure more than float32 could show."""
    if params[0].dtype == np.float64:
        return params
    points = [param.astype(np.float64) for param in params]
    try:
        value = float(f(*points))
    except (TypeError, ValueError):
        return params
    return points if np.isfinite(value) else params


def _noise(f, points, rng):
    """Relative rounding error of f, from fourth differences over short steps in a random direction.

    Over such steps a smooth function changes like a polynomial of low degree, which a fourth difference
    removes; what remains is rounding (J. Moré and S. Wild, Estimating computational noise, 2011).
    """
    signs = [rng.choice([-1, 1], w.shape) for w in points]
    values = []
    for t in range(9):
        moved = [
            (w * (1 + 2.0**-20 * t * sign)).astype(w.dtype) for w, sign in zip(points, signs, strict=True)
        ]
        values.append(f(*moved))
    kind = np.result_type(*values)
    eps = float(np.finfo(kind if kind in (np.float32, np.float64) else points[0].dtype).eps)
    values = np.array(values, dtype=np.float64)
    rounding = np.max(np.abs(np.diff(values, 4))) / np.sqrt(70)  # 70: its weights, squared and added
    size = np.max(np.abs(values))
    return max(eps, rounding / size if size else 0.0)


def _spread(grad, params, given, rng):
    """Rounding error of each entry of the gradient.

    Measured by moving every param by up to two units in the last place: a backward stable evaluation moves
    about as much as its rounding errors do.
    """
    eps = float(np.finfo(params[0].dtype).eps)
    gradients = [given]
    for _ in range(PERTURBATIONS):
        moved = [w * (1 + eps * rng.integers(-2, 3, w.shape)).astype(w.dtype) for w in params]
        gradients.append(_as_tuple(grad(*moved)))
    return [
        2 * np.ptp([np.asarray(g[place], dtype=np.float64) for g in gradients], axis=0)
        + 4 * eps * np.abs(given[place])
        + float(np.finfo(params[0].dtype).tiny)  # below it numbers vanish
        for place in range(len(params))
    ]


def _show(number):
    return f"{number:.6g}" if isinstance(number, float) else str(number)
