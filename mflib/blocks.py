"""Ratings in blocks of users, and what each block adds to a sum over all: functions of arrays alone.

`cluster` runs them on its workers. A user lies in one block, so the rows of U and their penalties are of one
block; N and the numbers of ratings of items are of all.
"""

from typing import NamedTuple

import numpy as np

from mflib import arrays, normal, sorting, sparse, training, tree
from mflib.columns import index_dtype
from mflib.objective import REG_WEIGHTINGS, add_penalty, free_columns, weighted_products
from mflib.ratings import Ratings

# The most ratings of a block where nobody says otherwise: 128 MB with float32, 0.1 s of a thread's work.
RATINGS = 1 << 23


class Terms(NamedTuple):
    """What of the objective is the same in all blocks.

    Attributes
    ----------
    N : int
        Number of ratings of all blocks (E03).
    reg : float
        λ (E16).
    reg_weighting : str
        Of `objective.REG_WEIGHTINGS`.
    biases : bool
    """

    N: int
    reg: float
    reg_weighting: str
    biases: bool

    def weights(self, counts):
        """The weights of the penalty of rows with these numbers of ratings."""
        return REG_WEIGHTINGS[self.reg_weighting](counts)


def cut(user_starts, n_blocks=None):
    """Where to cut the users into blocks of about equally many ratings, each with one rating at least.

    Parameters
    ----------
    user_starts : ndarray of int64, shape (n_users + 1,)
    n_blocks : int, optional
        At most so many: a user is never cut. By default the power of two with which none has more than
        RATINGS, because sums over blocks are then fewest (`tree`).

    Returns
    -------
    list of int
        Block b is of the users from edge b to edge b + 1.

    Examples
    --------
    >>> cut(np.array([0, 4, 5, 6, 8]), 2)
    [0, 1, 4]
    """
    N = int(user_starts[-1])
    n_blocks = 1 << ((N - 1) // RATINGS).bit_length() if n_blocks is None else n_blocks
    edges = [0]
    for edge in np.searchsorted(user_starts, [N * b // n_blocks for b in range(1, n_blocks)]):
        if user_starts[edges[-1]] < user_starts[edge] < N:
            edges.append(int(edge))
    return [*edges, len(user_starts) - 1]


def part(ratings, first, after):
    """The ratings of some users: (starts, items, values) by user, or None where there are none."""
    starts = ratings.user_starts[first : after + 1]
    place = slice(starts[0], starts[-1])
    items = ratings.items[place]
    return (starts - starts[0], items, ratings.values[place]) if len(items) else None


def sizes(counts, edges, n_items, dtype):
    """Bytes of the ratings of each block on its worker, in both orders, from their numbers."""
    per_rating = 2 * (index_dtype(n_items).itemsize + np.dtype(dtype).itemsize)
    return (per_rating * np.asarray(counts) + 8 * (np.diff(edges) + n_items + 2)).tolist()


def both_orders(by_user, n_items):
    """The six arrays of a block from the three of `part`."""
    by_user = aligned(*by_user)
    return *by_user, *sorting.transposed(by_user, n_items)


def aligned(*arrays):
    """Arrays as kernels want them: what Dask has received may begin at any byte."""
    return [np.require(A, requirements=("C", "A")) for A in arrays]


def _ratings(block):
    block = aligned(*block)  # it may have been sent on
    return Ratings._of(block[:3], block[3:], None, None, None)


def user_gradient(block, U, V, terms):
    """∂J/∂U (E17) of the users of one block, with N of all."""
    ratings, (U, V) = _ratings(block), aligned(U, V)
    with np.errstate(over="ignore", invalid="ignore"):
        _, grad = sparse.loss_and_gradient(ratings, U, V, "U")
        grad *= grad.dtype.type(ratings.n_ratings / terms.N)
        if terms.reg:
            weights, (free, _) = terms.weights(ratings.user_counts), free_columns(terms.biases)
            add_penalty(grad, U, weights, free, terms.reg, terms.N)
    if terms.biases:
        grad[:, -1] = 0
    return grad


def evaluate(block, U, V, terms):
    """What one block adds to E (E04), to the penalty of U times N/λ, and to ∂E/∂V (E14), with N of all."""
    ratings, (U, V) = _ratings(block), aligned(U, V)
    with np.errstate(over="ignore", invalid="ignore"):
        E, grad = sparse.loss_and_gradient(ratings, U, V, "V")
        share = ratings.n_ratings / terms.N
        grad *= grad.dtype.type(share)
        return E * share, _penalty(ratings, U, terms), grad


def _penalty(ratings, U, terms):
    """The penalty of U times N/λ."""
    if not terms.reg:
        return 0.0
    return weighted_products(U, U, terms.weights(ratings.user_counts), free_columns(terms.biases)[0])


def loss_and_penalty(block, U, V, terms):
    """What one block adds to E and to the penalty of U times N/λ."""
    ratings, (U, V) = _ratings(block), aligned(U, V)
    with np.errstate(over="ignore", invalid="ignore"):
        E = sparse.loss(ratings, U, V) * (ratings.n_ratings / terms.N)
        return E, _penalty(ratings, U, terms)


def squares(block, U, V):
    """Σ Δ² of one block."""
    ratings, (U, V) = _ratings(block), aligned(U, V)
    with np.errstate(over="ignore", invalid="ignore"):
        return (sparse.loss(ratings, U, V) * ratings.n_ratings,)


def along(block, U, V, P, factor, Q, terms):
    """The coefficients of E along a line (E19), and the three products of the penalty of U, of one block.

    The direction of U is P times a factor.
    """
    ratings, (U, V, P, Q) = _ratings(block), aligned(U, V, scale(P, factor), Q)
    with np.errstate(over="ignore", invalid="ignore"):
        coefficients = sparse.line(ratings, U, V, P, Q) * (ratings.n_ratings / terms.N)
        if not terms.reg:
            return coefficients, np.zeros(3)
        weights, (free, _) = terms.weights(ratings.user_counts), free_columns(terms.biases)
        pairs = (U, U), (U, P), (P, P)
        return coefficients, np.array([weighted_products(W, D, weights, free) for W, D in pairs])


def user_step(block, U, V, terms):
    """The exact step of the rows of U (`sparse.block_step`)."""
    ratings, (U, V) = _ratings(block), aligned(U, V)
    ridge = terms.reg * terms.weights(ratings.user_counts).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return sparse.block_step(ratings, U, V, "U", ridge, U.shape[1] - 1 if terms.biases else None)


def item_equations(block, U, V, first, after, terms):
    """What a block adds to the normal equations of some items (`normal.equations`)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (normal.equations(_ratings(block), *aligned(U, V), first, after, _held(V, terms)),)


def item_step(n_blocks, sums, V, first, after, ridge, terms):
    """The exact step of some rows of V from what all blocks add to their equations (`normal.step`)."""
    (equations,) = tree.total(n_blocks, sums)
    with np.errstate(over="ignore", invalid="ignore"):
        return normal.step(*aligned(equations, V[first:after], ridge), _held(V, terms))


def _held(V, terms):
    return V.shape[1] - 2 if terms.biases else None


def by_count(block, grad_U, N):
    """The rows of ∂J/∂U over their numbers of ratings (`training.by_count`)."""
    return training.by_count(grad_U, np.diff(block[0]), N)


def scale(X, a):
    """The product a X of one block."""
    with np.errstate(over="ignore", invalid="ignore"):
        return a * X


def combine(X, a, Y, b):
    """The sum a X + b Y of one block."""
    X, Y = aligned(X, Y)
    return sparse.combine(a, X, b, Y)


def dots(*pairs):
    """Σ of the products of all entries, for each two (`arrays.dots`)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return tuple(arrays.dots(*pairs))


def picked(spans, skip, n_blocks):
    """So many blocks of those of some spans, without the first ones."""
    return tuple(rows for span in spans for rows in span)[skip : skip + n_blocks]
