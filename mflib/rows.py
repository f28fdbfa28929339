"""Rows of factors with two columns more, so that a product of two is the prediction for any pair (E18).

With biases they are (u_i, b_i, 1) · (v_j, 1, c_j); those of whatever is unknown are (0, 0, 1) and (0, 1, 0).
Without, they are (u_i, s_i, 0) · (v_j, 0, s_j): the shrunken means s count where the other side is unknown.
Users are side 0, items side 1.
"""

import numpy as np

# A mean of a user's or an item's ratings counts so many ratings of the mean of all as well.
SHRINKAGE = 5


def shrunken_means(ratings, side, mean):
    """How far the ratings of each user or item lie above the mean of all, shrunken towards it."""
    indices, counts = ((ratings.users, ratings.user_counts), (ratings.items, ratings.item_counts))[side]
    sums = np.bincount(indices, weights=ratings.values, minlength=len(counts))
    return (sums - counts * mean) / (counts + SHRINKAGE)


def extended(W, biases, held, side):
    """Factors with two columns more: (u_i, b_i, held) for users, (v_j, held, c_j) for items."""
    wide = np.empty((len(W), W.shape[1] + 2), W.dtype)
    wide[:, :-2] = W
    wide[:, side - 2] = biases
    wide[:, -1 - side] = held
    return wide


def unknown_row(W, side):
    """The row of what is unknown, for a side whose rows are those of W."""
    row = np.zeros(W.shape[1], W.dtype)
    row[-1 - side] = 1
    return row
