"""Proofs by machine that the lecture's equations hold on the functions that are shipped."""

from mflib.verify.differences import complex_step, derivative, exact_derivative
from mflib.verify.gradient import Entry, GradientError, Report, check_gradient

__all__ = [
    "Entry",
    "GradientError",
    "Report",
    "check_gradient",
    "complex_step",
    "derivative",
    "exact_derivative",
]
