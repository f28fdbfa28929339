"""Verdicts as metrics of a run, as rows of a table, as plain values for a JSON file."""

import math
from collections.abc import Iterable
from dataclasses import asdict

from mflib.verify import problems
from mflib.verify.verdict import Verdict

FALSE_PASS_IN_WORDS = (
    f"exact: a false equation holds at the random points of one mask with a chance below "
    f"2^{math.ceil(math.log2(problems.FALSE_PASS))} (Schwartz-Zippel, for functions that are polynomials)"
)


def metrics(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """Metrics of a run: `proof.E08.holds` (1 or 0) and `proof.E08.error` (the worst relative error).

    Parameters
    ----------
    verdicts : iterable of Verdict

    Returns
    -------
    dict of str to float
    """
    numbers = {}
    for verdict in verdicts:
        numbers[f"proof.{verdict.id}.holds"] = float(verdict.holds)
        numbers[f"proof.{verdict.id}.error"] = min(verdict.error, 1e308)
    return numbers


def rows(verdicts: Iterable[Verdict]) -> list[dict]:
    """The ledger as a table: a dict for each verdict, of plain values.

    Parameters
    ----------
    verdicts : iterable of Verdict

    Returns
    -------
    list of dict
    """
    return [
        {
            "id": verdict.id,
            "statement": verdict.statement,
            "exact": _cell(verdict.findings["exact"], "="),
            "complex step": _cell(verdict.findings["complex step"]),
            "differences": _cell(verdict.findings["differences"]),
            "mutants refused": f"{sum(verdict.refused.values())}/{len(verdict.refused)}",
            "seconds": round(verdict.seconds, 2),
        }
        for verdict in verdicts
    ]


def _cell(finding, equal=""):
    if finding is None:
        return "n/a"
    if not finding.holds:
        return "FAILS"
    if equal:
        return equal if finding.error == 0 else f"{equal} ({finding.units:.1f} ulp)"
    return f"{finding.error:.0e}" + (f" ({finding.units:.0f} ulp)" if finding.units is not None else "")


def as_json(verdicts: Iterable[Verdict], seed: int) -> dict:
    """Everything, as plain values for a JSON file.

    Parameters
    ----------
    verdicts : iterable of Verdict
    seed : int

    Returns
    -------
    dict
    """
    return {
        "seed": seed,
        "holds": all(verdict.holds for verdict in verdicts),
        "chance_of_a_false_pass_per_mask": float(problems.FALSE_PASS),
        "equations": [
            {
                "id": verdict.id,
                "statement": verdict.statement,
                "latex": verdict.latex,
                "holds": verdict.holds,
                "functions": list(verdict.functions),
                "findings": {m: f and _plain(asdict(f)) for m, f in verdict.findings.items()},
                "mutants": verdict.refused,
                "failures": verdict.failures,
                "seconds": verdict.seconds,
            }
            for verdict in verdicts
        ],
    }


def _plain(finding):
    """JSON has no infinity."""
    return {key: None if value == float("inf") else value for key, value in finding.items()}
