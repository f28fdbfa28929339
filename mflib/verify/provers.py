"""Three independent ways to prove that a function is what its equation says.

All three take a *subject*, a function of (Y, R, U, V) that returns one array or a tuple of them, and a
*reference*; each returns a `Finding`.

exact
    In Fractions the subject must equal the reference with `==`, at random integers up to 2⁶⁰ in size. In
    floats it is run at whole numbers so small that nothing rounds but the last operations, and must equal
    the exact rational answer to 4 units in the last place.
complex step
    Im E(w + i h)/h with h = 1e-200 is the derivative to rounding.
differences
    Central differences along every entry and the five-point stencil along a line, in float32 and float64, of
    the loss that belongs to the subject's own form.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mflib.verify import problems
from mflib.verify.differences import complex_step, derivative, exact_derivative
from mflib.verify.gradient import check_gradient
from mflib.verify.workbench import FLOATS, Workbench, as_tuple

ALL = ("exact", *FLOATS)
UNITS = 4  # roundings after the last exact operation: the division by N, and the product with it
CLOSE = 1e-10  # complex step: rounding of both sides, with room for cancellation


@dataclass(frozen=True)
class Subject:
    """A shipped function, brought into the form f(Y, R, U, V).

    Attributes
    ----------
    function : callable
    kinds : tuple of str
        The kinds of number it takes: "exact", "float64", "float32".
    loss : callable or None
        For a gradient: the loss of the same form, for the differences.
    """

    function: Callable
    kinds: tuple = ALL
    loss: Callable | None = None


@dataclass(frozen=True)
class Finding:
    """What one prover found.

    Attributes
    ----------
    holds : bool
    error : float
        The worst relative error; 0 where all comparisons were exact.
    units : float or None
        The same in units in the last place, where that was asked.
    n_compared : int
        Numbers compared.
    detail : str
        The first comparison that failed.
    """

    holds: bool
    error: float
    units: float | None
    n_compared: int
    detail: str = ""


def merge(findings):
    """One finding from several, up to the first that fails: the worst of each."""
    seen = []
    for finding in findings:
        seen.append(finding)
        if not finding.holds:
            break
    findings = seen
    units = [finding.units for finding in findings if finding.units is not None]
    return Finding(
        all(finding.holds for finding in findings),
        max(finding.error for finding in findings),
        max(units) if units else None,
        sum(finding.n_compared for finding in findings),
        findings[-1].detail,
    )


def exact(
    bench: Workbench,
    subject: Subject,
    reference: Callable,
    part: tuple = (),
    slack: Callable | None = None,
) -> Finding:
    """The subject equals the reference: with == in Fractions, to the last roundings in floats.

    Parameters
    ----------
    bench : Workbench
    subject : Subject
    reference : callable
        reference(Y, R, U, V) in Fractions.
    part : tuple of int
        Which of the arrays that the reference returns the subject must equal; all of them where empty.
    slack : callable, optional
        slack(problem) -> the size of what is added to the answer, where a sum rounds too.

    Returns
    -------
    Finding
    """
    return merge(
        itertools.chain(
            _in_fractions(bench, subject, reference, part) if "exact" in subject.kinds else (),
            *(
                _in_floats(bench, subject, reference, part, kind, slack)
                for kind in subject.kinds
                if kind in FLOATS
            ),
        )
    )


def _in_fractions(bench, subject, reference, part):
    for number, problem in enumerate(bench.exact):
        expected = bench.answer(reference, "exact", number, lambda p=problem: reference(*p), part)
        given = as_tuple(subject.function(*problem))
        yield _compare("Fractions", number, given, expected, lambda g, e: 0 if g == e else _relative(g, e), 0)


def _in_floats(bench, subject, reference, part, dtype, slack):
    eps = float(np.finfo(dtype).eps)
    for number, problem in enumerate(bench.whole[dtype]):
        expected = bench.answer(
            reference, dtype, number, lambda p=problem: reference(*_to_fractions(p)), part
        )
        given = as_tuple(subject.function(*problem))
        extra = Fraction(float(slack(problem))) if slack else 0

        def error(g, e, extra=extra):
            if not np.isfinite(g):
                return np.inf
            return float(abs(Fraction(float(g)) - e) / ((abs(e) + extra) or 1))

        yield _compare(dtype, number, given, expected, error, UNITS * eps, eps)


def _to_fractions(problem):
    Y, R, U, V = problem
    Y, U, V = problems.to_fractions(Y, U, V)
    return Y, R, U, V


def _compare(kind, number, given, expected, error, allowed, eps=None):
    """Entry by entry, shapes first."""
    shapes = [a.shape for a in given], [a.shape for a in expected]
    if shapes[0] != shapes[1]:
        return Finding(
            False, np.inf, None, 0, f"{kind}, problem {number}: shapes {shapes[0]}, not {shapes[1]}"
        )
    worst, detail, compared = 0.0, "", 0
    for g, e in zip(given, expected, strict=True):
        for index in np.ndindex(e.shape):
            off = error(g[index], e[index])
            compared += 1
            if not off <= allowed and not detail:
                place = f"{kind}, problem {number}, entry {list(index)}"
                detail = f"{place}: {_short(g[index])}, not {_short(e[index])}"
            worst = max(worst, off if off == off else np.inf)
    return Finding(not detail, worst, worst / eps if eps else None, compared, detail)


def _relative(given, expected):
    """Relative error of numbers that differ; infinite where they cannot be compared."""
    off = float(abs(given - expected) / (abs(expected) or 1))
    return off if 0 < off < np.inf else np.inf


def _short(number):
    return f"{float(number):.6g}" if isinstance(number, (float, Fraction, np.floating)) else str(number)


def by_complex_step(bench: Workbench, subject: Subject, f: Callable, part: tuple) -> Finding:
    """The subject is the derivative of f by U and V, in float64 by the complex step.

    Parameters
    ----------
    bench : Workbench
    subject : Subject
    f : callable
        f(Y, R, U, V), analytic.
    part : tuple of int
        Which of (∂U, ∂V), by place, the subject returns.

    Returns
    -------
    Finding
    """
    return merge(_complex_steps(bench, subject, f, part))


def _complex_steps(bench, subject, f, part):
    for number, (Y, R, U, V) in enumerate(bench.floats["float64"]):
        expected = bench.answer(
            f,
            "complex",
            number,
            lambda Y=Y, R=R, U=U, V=V: complex_step(lambda U, V: f(Y, R, U, V), U, V),
            part,
        )
        given = as_tuple(subject.function(Y, R, U, V))
        size = max(float(np.max(np.abs(e))) for e in expected) or 1.0

        def error(g, e, size=size):
            return float(abs(g - e) / size) if np.isfinite(g) else np.inf

        yield _compare("complex step", number, given, expected, error, CLOSE, np.spacing(1.0))


def by_differences(bench: Workbench, subject: Subject, part: tuple) -> Finding:
    """The subject is the derivative of its own form's loss, by differences in float32 and float64.

    Parameters
    ----------
    bench : Workbench
    subject : Subject
        With `loss`.
    part : tuple of int
        Which of (∂U, ∂V), by place, the subject returns.

    Returns
    -------
    Finding
    """
    return merge(
        finding
        for dtype in FLOATS
        for number, problem in enumerate(bench.floats[dtype])
        for finding in _differences(subject, part, dtype, number, problem)
    )


def _differences(subject, part, dtype, number, problem):
    Y, R, *factors = problem
    params = [factors[place] for place in part]

    def whole(moved):
        # the differences may be taken in float64: then all of it
        both = dict(enumerate(W.astype(moved[0].dtype) for W in factors)) | dict(
            zip(part, moved, strict=True)
        )
        return both[0], both[1]

    def f(*moved):
        return float(subject.loss(Y, R, *whole(moved)))

    def grad(*moved):
        return as_tuple(subject.function(Y, R, *whole(moved)))

    report = check_gradient(f, grad, *params)
    place = f"{dtype}, problem {number}"
    error = report.worst.error if report.worst and not report.problem else np.inf
    yield Finding(report.holds, error, None, report.n_checked, "" if report.holds else f"{place}: {report}")
    if report.holds and dtype == "float64":
        yield _along_a_line(f, grad(*params), params, place, number)


def _along_a_line(f, gradient, params, place, number):
    """The five-point stencil is exact along a line, where E has degree 4."""
    rng = np.random.default_rng(number)
    directions = [rng.normal(size=w.shape) for w in params]
    slope = sum(float(np.sum(g * p)) for g, p in zip(gradient, directions, strict=True))
    size = sum(float(np.sum(np.abs(g * p))) for g, p in zip(gradient, directions, strict=True)) or 1.0
    measured = derivative(
        lambda t: f(*(w + t * p for w, p in zip(params, directions, strict=True))), 4 * np.spacing(1.0), 1.0
    )
    off = abs(slope - measured.value)
    holds = bool(off <= measured.error + 1e-9 * size)
    detail = "" if holds else f"{place}, along a line: {slope:.6g}, not {measured.value:.6g}"
    return Finding(holds, off / size, None, 1, detail)


def derivative_reference(f: Callable) -> Callable:
    """Reference for `exact`: the exact derivative of f by U and V in Fractions.

    Parameters
    ----------
    f : callable
        f(Y, R, U, V), quadratic in each entry of U and V.

    Returns
    -------
    callable
    """

    def reference(Y, R, U, V):
        return exact_derivative(lambda U, V: f(Y, R, U, V), U, V)

    return reference
