"""Proofs by machine that the lecture's equations hold on the functions that are shipped.

`check_gradient` is for anybody's loss. `check("E08")` and `check_all()` prove the ledger: every equation, on
every function that claims it, by up to three independent methods, each of which must refuse the wrong
versions that a person could write.
"""

from mflib.verify.differences import complex_step, derivative, exact_derivative
from mflib.verify.equation import Equation
from mflib.verify.gradient import Entry, GradientError, Report, check_gradient
from mflib.verify.ledger import LEDGER
from mflib.verify.report import FALSE_PASS_IN_WORDS, as_json, metrics, rows
from mflib.verify.verdict import IDS, Verdict, check, check_all
from mflib.verify.workbench import Workbench

__all__ = [
    "FALSE_PASS_IN_WORDS",
    "IDS",
    "LEDGER",
    "Entry",
    "Equation",
    "GradientError",
    "Report",
    "Verdict",
    "Workbench",
    "as_json",
    "check",
    "check_all",
    "check_gradient",
    "complex_step",
    "derivative",
    "exact_derivative",
    "metrics",
    "rows",
]
