"""Checking the ledger: an entry holds when its proofs pass on every form and refuse every mutant."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from mflib import checks
from mflib.verify.ledger import LEDGER
from mflib.verify.provers import Finding, Subject, by_complex_step, by_differences, exact, merge
from mflib.verify.workbench import Workbench

IDS = tuple(equation.id for equation in LEDGER)
METHODS = ("exact", "complex step", "differences")


@dataclass(frozen=True)
class Verdict:
    """What the proofs of one equation gave.

    Attributes
    ----------
    id, statement, latex : str
    functions : tuple of str
        The functions it was proved on.
    findings : dict of str to Finding or None
        By method; None where the method does not apply (a definition has no derivative).
    refused : dict of str to bool
        For each mutant, whether every method that applies refuses it.
    seconds : float
    """

    id: str
    statement: str
    latex: str
    functions: tuple
    findings: dict
    refused: dict
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every proof passed and every mutant was refused."""
        return all(self.refused.values()) and not self.failures

    @property
    def failures(self) -> list[str]:
        """What failed, a line each."""
        lines = [f"{method}: {f.detail}" for method, f in self.findings.items() if f and not f.holds]
        return lines + [
            f"mutant not refused: {name}" for name, refused in self.refused.items() if not refused
        ]

    @property
    def error(self) -> float:
        """The worst relative error of all proofs."""
        return max(finding.error for finding in self.findings.values() if finding)

    def __repr__(self):
        return f"{self.id} {'holds' if self.holds else 'FAILS'}: {self._evidence()}"

    def _repr_markdown_(self):
        mark = "✓" if self.holds else "✗ **does not hold**"
        return f"**{self.id}** {mark} &ensp; $\\displaystyle {self.latex}$\n\n{self._evidence()}"

    def _evidence(self):
        """In words that are the same on every machine: which proofs, on how many numbers, which mutants."""
        if not self.holds:
            return "; ".join(self.failures)
        words = {
            "exact": "equal in exact arithmetic",
            "complex step": "by the complex step to 10 digits",
            "differences": "by differences in float32 and float64",
        }
        proofs = ", ".join(
            f"{words[method]} ({finding.n_compared} numbers)"
            for method, finding in self.findings.items()
            if finding
        )
        return f"{proofs}; {sum(self.refused.values())} of {len(self.refused)} wrong versions refused"


def check(id: str, seed: int = 0, bench: Workbench | None = None) -> Verdict:
    """Prove one equation of the ledger, on every function it speaks of, and try its mutants.

    Parameters
    ----------
    id : str
        "E01" to "E19".
    seed : int
        Of the random problems.
    bench : Workbench, optional
        Problems to share between equations.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        Where there is no such equation.

    Examples
    --------
    >>> check("E13").holds
    True
    """
    equation = LEDGER[IDS.index(checks.choice("id", id, IDS))]
    bench = bench or Workbench(checks.whole_number("seed", seed, 0))
    start = time.perf_counter()
    methods = provers_of(equation)
    findings = {
        method: merge(
            guarded(method, name, prove, bench, subject) for name, subject in equation.subjects.items()
        )
        if (prove := methods.get(method))
        else None
        for method in METHODS
    }
    # The mutant takes the place of the most general form, and is judged by the same proofs.
    model = next(iter(equation.subjects.values()))
    refused = {
        name: all(
            not guarded(method, name, prove, bench, Subject(mutant, model.kinds, model.loss)).holds
            for method, prove in methods.items()
        )
        for name, mutant in equation.mutants.items()
    }
    return Verdict(
        equation.id,
        equation.statement,
        equation.latex,
        tuple(equation.subjects),
        findings,
        refused,
        time.perf_counter() - start,
    )


def check_all(seed: int = 0, ids: Iterable[str] = IDS) -> list[Verdict]:
    """Prove the equations of the ledger.

    Parameters
    ----------
    seed : int
    ids : iterable of str

    Returns
    -------
    list of Verdict

    Raises
    ------
    ValueError
        Where there is no such equation.
    """
    bench = Workbench(checks.whole_number("seed", seed, 0))
    return [check(id, bench=bench) for id in ids]


def provers_of(equation):
    """The methods that apply to an equation."""
    part = equation.part if equation.derivative_of else ()
    methods = {"exact": partial(exact, reference=equation.reference, part=part, slack=equation.slack)}
    if equation.derivative_of:
        methods["complex step"] = partial(by_complex_step, f=equation.derivative_of, part=equation.part)
        methods["differences"] = partial(by_differences, part=equation.part)
    return methods


def guarded(method, name, prove, bench, subject):
    """A function that raises has not been proved; the finding says what it raised."""
    try:
        finding = prove(bench, subject)
    except Exception as error:
        return Finding(False, float("inf"), None, 0, f"{name} raises {type(error).__name__}: {error}")
    if finding.holds:
        return finding
    return Finding(False, finding.error, finding.units, finding.n_compared, f"{name}, {finding.detail}")
