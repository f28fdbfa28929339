"""The state of a descent: all that decides how it goes on."""

from typing import NamedTuple

import numpy as np


class State(NamedTuple):
    """What a descent knows before it looks at an iteration; arrays of U may lie in blocks elsewhere.

    Attributes
    ----------
    iteration : int
    U, V : ndarray
    memory : dict
        What the rule remembers (`rules`), pairs of arrays and numbers by name.
    rows : tuple
        The history so far.
    limit : float
        The objective above which it has diverged.
    best : tuple of ndarray, or None
        (U, V) of the lowest validation RMSE.
    best_iteration : int
    best_rmse : float
    """

    iteration: int
    U: np.ndarray
    V: np.ndarray
    memory: dict
    rows: tuple
    limit: float
    best: tuple | None
    best_iteration: int
    best_rmse: float

    @classmethod
    def start(cls, U, V):
        """Nothing has been computed."""
        return cls(0, U, V, {}, (), np.inf, None, 0, np.inf)

    def mapped(self, of_U, of_V):
        """The same state with another form of each array: of those of the kind of U, and of V."""
        both = lambda pair: [of_U(pair[0]), of_V(pair[1])]  # noqa: E731
        memory = {name: both(kept) if is_pair(kept) else kept for name, kept in self.memory.items()}
        U, V = both((self.U, self.V))
        best = None if self.best is None else tuple(both(self.best))
        return self._replace(U=U, V=V, memory=memory, best=best)


def is_pair(kept):
    """Whether what a rule remembers is a pair of arrays, and not a number."""
    return isinstance(kept, (list, tuple))
