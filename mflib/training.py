"""What a descent asks of its data: the objective on the training ratings, and the validation RMSE.

`cluster` asks the same of blocks on many machines.
"""

from functools import cached_property

import numpy as np

from mflib import sparse
from mflib.objective import Objective


class Training:
    """Ratings of one process, and what is to be lowered on them.

    Parameters
    ----------
    ratings : Ratings
    validation : Ratings or None
    reg, reg_weighting, biases
        As for `Objective.of_ratings`.
    """

    def __init__(self, ratings, validation=None, reg=0.0, reg_weighting="plain", biases=False):
        self.ratings, self.validation = ratings, validation
        self.objective = Objective.of_ratings(ratings, reg, reg_weighting, biases)
        self.evaluate, self.along = self.objective.evaluate, self.objective.along

    @cached_property
    def mean_square(self):
        """The mean of y²."""
        with np.errstate(over="ignore"):
            return float(np.mean(np.square(self.ratings.values, dtype=np.float64)))

    def loss_and_objective(self, U, V):
        """E (E04) and J (E16)."""
        E = self.objective.loss(U, V)
        return E, E + self.objective.penalty(U, V)

    def validation_rmse(self, U, V):
        """√E on the validation ratings; NaN where there are none."""
        return np.nan if self.validation is None else float(np.sqrt(sparse.loss(self.validation, U, V)))

    def block_step(self, U, V, of):
        """The step of one factor that makes its gradient zero (E17), by `sparse.block_step`."""
        objective = self.objective
        weights, held = (objective.a, U.shape[1] - 1) if of == "U" else (objective.b, V.shape[1] - 2)
        ridge = float(objective.reg) * weights.astype(np.float64)
        return sparse.block_step(self.ratings, U, V, of, ridge, held if objective.biases else None)

    def by_count(self, grad_U, grad_V):
        """Each row of the gradients over its number of ratings; the pair."""
        counts = self.ratings.user_counts, self.ratings.item_counts
        return [
            by_count(grad, count, self.objective.N)
            for grad, count in zip((grad_U, grad_V), counts, strict=True)
        ]


def by_count(grad, counts, N):
    """The rows of a gradient over their numbers of ratings and times N/2.

    That leaves the mean over the ratings of a row: a learning rate does not depend on N then.
    """
    return grad * (N / (2 * np.maximum(counts, 1))).astype(grad.dtype)[:, None]
