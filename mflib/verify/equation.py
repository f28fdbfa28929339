"""What an entry of the ledger is, and how functions are brought into the form that the provers take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mflib.ratings import Ratings
from mflib.verify.provers import Subject

U_PART, V_PART, BOTH = (0,), (1,), (0, 1)  # which of (∂U, ∂V)


@dataclass(frozen=True)
class Equation:
    """One entry of the ledger.

    Attributes
    ----------
    id : str
        In the lecture's numbering, E01 to E15, and E16 to E19 for the model.
    statement : str
        In plain signs.
    latex : str
    subjects : mapping of str to Subject
        The functions it speaks of, by name.
    reference : callable
        What they must equal, in Fractions: a sum spelled out, or an exact derivative.
    mutants : mapping of str to callable
        Wrong versions that the proofs must refuse.
    derivative_of : callable or None
        For a statement about a derivative: f(Y, R, U, V).
    part : tuple of int
        Which of (∂U, ∂V) it is about.
    slack : callable or None
        See `provers.exact`.
    """

    id: str
    statement: str
    latex: str
    subjects: Mapping[str, Subject]
    reference: Callable
    mutants: Mapping[str, Callable]
    derivative_of: Callable | None = None
    part: tuple = BOTH
    slack: Callable | None = None


_latest = None  # (Y, R, dtype, ratings): differences ask for the same thousands of times


def ratings_of(Y, R, dtype):
    """The observed entries of a matrix that nobody changes, as Ratings."""
    global _latest
    if _latest is None or not (Y is _latest[0] and R is _latest[1] and dtype == _latest[2]):
        _latest = Y, R, dtype, Ratings.from_dense(Y, R).astype(dtype)
    return _latest[3]


def on_ratings(function):
    """A function of (ratings, U, V) as one of (Y, R, U, V)."""
    return lambda Y, R, U, V: function(ratings_of(Y, R, U.dtype), U, V)


def parts(subjects, part):
    """The same subjects, returning one of (∂U, ∂V) alone."""
    return {
        name: Subject(part_of(subject.function, part), subject.kinds, subject.loss)
        for name, subject in subjects.items()
    }


def part_of(function, part):
    def chosen(*problem):
        both = function(*problem)
        return tuple(both[place] for place in part)

    return chosen


def mutants_of(functions, part):
    return {name: part_of(function, part) for name, function in functions.items()}
