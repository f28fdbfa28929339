"""The random problems of one seed, shared by every proof, and what the references answer on them."""

from functools import cached_property

import numpy as np

from mflib.verify import problems

FLOATS = ("float64", "float32")


class Workbench:
    """The problems of one seed, and the answers that the references give on them, each computed once.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed):
        self.seed = seed
        self._answers = {}

    @cached_property
    def exact(self):
        """Problems in Fractions."""
        return list(problems.exact_problems(self._rng(0)))

    @cached_property
    def whole(self):
        """Problems in floats on which sums and products are exact, by dtype."""
        return {dtype: list(problems.whole_problems(self._rng(1), dtype)) for dtype in FLOATS}

    @cached_property
    def floats(self):
        """Problems with normal entries, by dtype."""
        return {dtype: list(problems.float_problems(self._rng(2), dtype)) for dtype in FLOATS}

    def _rng(self, stream):
        return np.random.default_rng([self.seed, stream])

    def answer(self, reference, group, number, compute, part=()):
        """What `compute` gives for this reference on this problem, remembered; of it, the wanted part."""
        key = (reference, group, number)
        if key not in self._answers:
            self._answers[key] = as_tuple(compute())
        both = self._answers[key]
        return tuple(both[place] for place in part) or both


def as_tuple(result):
    """One array or several, as a tuple of arrays."""
    return tuple(np.asarray(a) for a in (result if isinstance(result, tuple) else (result,)))
