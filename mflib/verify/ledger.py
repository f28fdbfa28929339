"""The ledger: every equation with its statement, the functions it speaks of, its proofs and its mutants."""

from mflib.verify.lecture import LECTURE
from mflib.verify.model import MODEL

LEDGER = (*LECTURE, *MODEL)
