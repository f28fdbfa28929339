"""Update rules: how a descent goes on from (U, V).

A direction, a scaling of its rows and a step size are one idea each. A direction is made of two pairs, the
gradients (∂J/∂U, ∂J/∂V) and the same scaled, and is a pair itself. How far to go along it is in the
direction already (a learning rate), or the exact minimum (E19).
"""

import numpy as np

from mflib import sparse
from mflib.objective import line_minimum


def plain(learning_rate, momentum):
    """The rule of the lecture (E05): −η ∂J."""
    return lambda grads, scaled: [-learning_rate * g for g in scaled]


def heavy_ball(learning_rate, momentum):
    """Momentum (Polyak 1964): the velocity v ← β v − η ∂J, from v = 0."""
    velocity = []

    def direction(grads, scaled):
        if not velocity:
            velocity.extend(np.zeros_like(g) for g in scaled)
        for v, g in zip(velocity, scaled, strict=True):
            sparse.combine(momentum, v, -learning_rate, g, out=v)
        return velocity

    return direction


def nesterov(learning_rate, momentum):
    """Nesterov's momentum (1983): β v − η ∂J with v as of `heavy_ball`.

    (U, V) are the points that look ahead, where Nesterov takes his gradients (Bengio et al. 2013).
    """
    velocity = heavy_ball(learning_rate, momentum)

    def direction(grads, scaled):
        ahead = zip(velocity(grads, scaled), scaled, strict=True)
        return [sparse.combine(momentum, v, -learning_rate, g) for v, g in ahead]

    return direction


def conjugate(learning_rate, momentum):
    """Conjugate directions (Polak and Ribière 1969): d ← β d − s with s the scaled gradient g.

    β = (g − g′) · s / (g′ · s′), primes for the step before. It starts anew from −s where β is not positive
    or d would not descend.
    """
    before = None  # gradients, g · s, and direction

    def direction(grads, scaled):
        nonlocal before
        slope, along = _dot(grads, scaled), [-s for s in scaled]
        if before is not None and before[1] > 0:
            beta = (slope - _dot(before[0], scaled)) / before[1]
            if beta > 0:
                longer = [sparse.combine(beta, d, -1, s) for d, s in zip(before[2], scaled, strict=True)]
                along = longer if _dot(grads, longer) < 0 else along
        before = grads, slope, along
        return along

    return direction


DIRECTIONS = {"plain": plain, "momentum": heavy_ball, "nesterov": nesterov, "conjugate": conjugate}
RULES = (*DIRECTIONS, "alternating")
# Rules whose direction is a descent, so that an exact step along it is one.
EXACT = ("plain", "conjugate")
SCALINGS = (None, "count", "block")


def step_size(rule, learning_rate):
    """What `learning_rate` means for a rule: a number, "exact", or None for a rule without a step size.

    Raises
    ------
    ValueError
        Where the rule has no use for it, or needs one.
    """
    if rule == "alternating":
        if learning_rate is not None:
            raise ValueError(
                f"rule='alternating' solves for U and V and takes no learning_rate, got {learning_rate!r}: "
                "leave it out"
            )
        return None
    if rule in EXACT and learning_rate in (None, "exact"):
        return "exact"
    if rule == "conjugate":
        raise ValueError(
            f"rule='conjugate' needs the exact step, got learning_rate={learning_rate!r}: leave it out, "
            "or choose the rule 'momentum' or 'nesterov' for a number"
        )
    if learning_rate in (None, "exact"):
        raise ValueError(
            f"rule={rule!r} needs a number as learning_rate, got {learning_rate!r}: the exact step goes with "
            f"{' and '.join(map(repr, EXACT))}"
        )
    return learning_rate


def look_around(ratings, objective, rule, learning_rate, momentum, scaling):
    """The rule as a function of (U, V) that says where one is and how to go on.

    Parameters
    ----------
    ratings : Ratings
    objective : Objective
        On these ratings.
    rule : str
        Of `RULES`.
    learning_rate : float or "exact" or None
        From `step_size`.
    momentum : float
    scaling : str or None
        Of `SCALINGS`.

    Returns
    -------
    callable
        look(U, V) -> E, J, move; move() -> the next (U, V), or None where nothing lowers J any more.
    """
    if rule == "alternating":
        return _alternating(ratings, objective)
    exact = learning_rate == "exact"
    direction = DIRECTIONS[rule](1 if exact else learning_rate, momentum)
    scaled = _scaling(ratings, objective, scaling)

    def look(U, V):
        E, J, *grads = objective.evaluate(U, V)

        def move():
            P, Q = direction(grads, scaled(U, V, grads))
            t = line_minimum(objective.along(U, V, P, Q)) if exact else 1
            return (sparse.combine(1, U, t, P), sparse.combine(1, V, t, Q)) if t > 0 else None

        return E, J, move

    return look


def _alternating(ratings, objective):
    """The exact step of U, then that of V: J is quadratic in each while the other stays."""

    def look(U, V):
        E = objective.loss(U, V)

        def move():
            new_U = U + block_step(ratings, objective, U, V, "U")
            return new_U, V + block_step(ratings, objective, new_U, V, "V")

        return E, E + objective.penalty(U, V), move

    return look


def block_step(ratings, objective, U, V, of):
    """The step of one factor that makes its gradient zero (E17), the other staying (`sparse.block_step`)."""
    weights, held = (objective.a, U.shape[1] - 1) if of == "U" else (objective.b, V.shape[1] - 2)
    ridge = float(objective.reg) * weights.astype(np.float64)
    return sparse.block_step(ratings, U, V, of, ridge, held if objective.biases else None)


def _scaling(ratings, objective, scaling):
    """How the rows of the gradients are scaled: not at all, by their numbers of ratings, or by k × k blocks.

    A user with a thousand ratings has a gradient, and a curvature, a thousand times that of a user with one:
    "count" divides by that number, and "block" by the whole second derivative of the row, which makes of
    its gradient the step to its minimum.
    """
    if scaling is None:
        return lambda U, V, grads: grads
    if scaling == "block":
        return lambda U, V, grads: [-block_step(ratings, objective, U, V, of) for of in ("U", "V")]
    # times N/2, which leaves the mean over the ratings of the row: a learning rate does not depend on N then
    counts = ratings.user_counts, ratings.item_counts
    factors = [objective.N / (2 * np.maximum(count, 1))[:, None] for count in counts]
    return lambda U, V, grads: [g * f.astype(g.dtype) for g, f in zip(grads, factors, strict=True)]


def _dot(pair, other):
    """Σ of the products of all entries, in float64, the same for any number of threads: no BLAS."""
    return sum(float(np.einsum("is,is->", a, b, dtype=np.float64)) for a, b in zip(pair, other, strict=True))
