"""Ratings to work with: the lecture's toy, planted low-rank ratings whose truth is known, and MovieLens."""

from typing import NamedTuple

import numpy as np

from mflib import checks, columns
from mflib.movielens import MovieLens, movielens, movielens_file
from mflib.ratings import Ratings

__all__ = ["MovieLens", "Planted", "Toy", "movielens", "movielens_file", "planted", "toy"]


class Toy(NamedTuple):
    """A matrix that fits on a page: Y (NaN where unobserved), its mask R, and names for rows and columns."""

    Y: np.ndarray
    R: np.ndarray
    users: tuple
    items: tuple


class Planted(NamedTuple):
    """Ratings made from known factors: y_ij = u_i · v_j + noise."""

    ratings: Ratings
    U: np.ndarray
    V: np.ndarray


def toy():
    """Ratings of five people on four films: two tastes, a zero that is a rating, and gaps that are none.

    Returns
    -------
    Toy
        Y is float64 of shape (5, 4) with NaN where nothing is observed, R its mask (E02), N = 14.

    Examples
    --------
    >>> Y, R, users, items = toy()
    >>> Y.shape, int(R.sum()), users[1], items[3]
    ((5, 4), 14, 'Ben', 'Dunes')
    """
    gap = np.nan
    Y = np.array(
        [
            [5.0, 4.0, gap, 1.0],
            [4.0, gap, 1.0, 0.0],
            [gap, 5.0, 2.0, gap],
            [1.0, 0.0, 5.0, gap],
            [0.0, gap, 4.0, 5.0],
        ]
    )
    R = np.where(np.isnan(Y), 0, 1).astype(np.int8)
    return Toy(Y, R, ("Ada", "Ben", "Cleo", "Dan", "Eve"), ("Aurora", "Brook", "Cosmos", "Dunes"))


def planted(n_users, n_items, n_ratings, n_factors, noise=0.1, mean=0.0, skew=0.8, seed=0):
    """Ratings of known low rank plus noise, with the uneven activity and popularity of real ratings.

    The truth is y_ij = u_i · v_j + ε, with u_i · v_j around `mean` with standard deviation 1, and ε normal
    with standard deviation `noise`. Where a mean is asked for, the first factor carries it, held at √mean in
    both U and V (with n_factors=1 nothing else is left).

    Parameters
    ----------
    n_users, n_items, n_ratings, n_factors : int
        n, m, N, k. N is at most half of n m.
    noise : float
        Standard deviation of the noise, in rating points: no model can have a lower expected test RMSE.
    mean : float
        Mean rating, not negative.
    skew : float
        The r-th most active user (most popular item) is drawn with weight 1/(r + 10)^skew; 0 draws evenly.
    seed : int

    Returns
    -------
    Planted
        (ratings, U, V), float64; users and items in random order of activity, without labels.

    Raises
    ------
    TypeError, ValueError
        Where an argument is out of its range.

    Examples
    --------
    >>> ratings, U, V = planted(50, 40, 600, n_factors=2, noise=0, seed=0)
    >>> np.allclose(ratings.values, np.sum(U[ratings.users] * V[ratings.items], axis=1))
    True
    """
    sizes = {"n_users": n_users, "n_items": n_items, "n_ratings": n_ratings, "n_factors": n_factors}
    n, m, N, k = (checks.whole_number(name, value, 1) for name, value in sizes.items())
    if 2 * N > n * m:
        raise ValueError(f"n_ratings must be at most half of n_users × n_items = {n * m}, got {N}")
    noise = checks.real_number("noise", noise, 0, np.inf, high_open=True)
    mean = checks.real_number("mean", mean, 0, np.inf, high_open=True)
    skew = checks.real_number("skew", skew, 0, 2)
    # A stream of its own: from the same seed, random_factors would start at a multiple of the truth.
    rng = np.random.default_rng((checks.whole_number("seed", seed, 0), 1))

    free = k - (mean > 0)
    # each of the free terms has variance 1/free, so their sum has variance 1
    U, V = (rng.normal(0, max(free, 1) ** -0.25, (rows, k)) for rows in (n, m))
    if mean > 0:
        U[:, 0] = V[:, 0] = np.sqrt(mean)
    users, items = _pairs(n, m, N, skew, rng)
    values = rng.normal(0, noise, N)
    for u, i, y in zip(*map(columns.chunks, (users, items, values)), strict=True):
        y += np.sum(U[u] * V[i], axis=1)
    return Planted(Ratings.from_arrays(users, items, values, shape=(n, m)), U, V)


# Rounds of drawing; where that many are not enough, the rest is rare.
ROUNDS = 20


def _pairs(n, m, N, skew, rng):
    """N distinct (user, item) pairs, drawn with uneven weights until enough are different."""
    weights = [(rng.permutation(rows) + 10.0) ** -skew for rows in (n, m)]
    user_edges, item_edges = (np.cumsum(w) / np.sum(w) for w in weights)
    cells = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        draws = max(1000, 2 * (N - len(cells)))
        drawn = _drawn(user_edges, draws, rng)
        drawn *= m
        drawn += _drawn(item_edges, draws, rng)
        cells = np.concatenate((cells, drawn))
        cells.sort()  # np.unique takes ten times as long
        cells = cells[np.concatenate(([True], cells[1:] != cells[:-1]))]
        if len(cells) >= N:
            break
    else:
        cells = np.concatenate((cells, _first_drawn(weights, cells, N - len(cells), rng)))
    cells = rng.permutation(cells)[:N]
    return cells // m, cells % m


def _drawn(edges, draws, rng):
    """Rows drawn with the weights between the edges."""
    rows = np.empty(draws, dtype=np.int64)
    for chunk in columns.chunks(rows):
        # the right side: a draw below the first edge is row 0; rounding must not give row n
        chunk[:] = np.searchsorted(edges, rng.random(len(chunk)), side="right")
    return np.minimum(rows, len(edges) - 1, out=rows)


def _first_drawn(weights, seen, missing, rng):
    """The cells that would be drawn next, without drawing for each of them again and again.

    A cell of weight w is first drawn after an exponential time of rate w: the earliest ones count.
    """
    user_weights, item_weights = weights
    n, m = len(user_weights), len(item_weights)
    times, cells, latest = np.empty(0), np.empty(0, dtype=np.int64), np.inf
    rows = max(1, columns.CHUNK // m)
    for begin in range(0, n, rows):
        w = np.outer(user_weights[begin : begin + rows], item_weights).ravel()
        new = rng.exponential(size=len(w)) / w
        known = slice(*np.searchsorted(seen, [begin * m, begin * m + len(w)]))
        new[seen[known] - begin * m] = np.inf
        early = np.flatnonzero(new < latest)
        times = np.concatenate((times, new[early]))
        cells = np.concatenate((cells, begin * m + early))
        if len(times) > 2 * missing:
            earliest = np.argpartition(times, missing - 1)[:missing]
            times, cells = times[earliest], cells[earliest]
            latest = times.max()
    return cells[np.argpartition(times, missing - 1)[:missing]]
