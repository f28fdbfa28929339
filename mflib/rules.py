"""Update rules: how a descent goes on from (U, V).

A direction, a scaling of its rows and a step size are one idea each. A direction is made of two pairs, the
gradients (∂J/∂U, ∂J/∂V) and the same scaled, and is a pair itself. How far to go along it is in the
direction already (a learning rate), or the exact minimum (E19).

What a direction remembers from step to step is in `memory`, by name, pairs and numbers: a checkpoint holds
it. No rule looks into an array, so U may lie in blocks on other machines (`arrays`).
"""

from mflib import arrays
from mflib.objective import line_minimum


def plain(learning_rate, momentum, memory=None):
    """The rule of the lecture (E05): −η ∂J."""
    return lambda grads, scaled: [arrays.scale(g, -learning_rate) for g in scaled]


def heavy_ball(learning_rate, momentum, memory=None):
    """Momentum (Polyak 1964): the velocity v ← β v − η ∂J, from v = 0."""
    memory = {} if memory is None else memory

    def direction(grads, scaled):
        velocity = memory.get("velocity") or [arrays.scale(g, 0) for g in scaled]
        memory["velocity"] = [
            arrays.combine(v, momentum, g, -learning_rate, out=v)
            for v, g in zip(velocity, scaled, strict=True)
        ]
        return memory["velocity"]

    return direction


def nesterov(learning_rate, momentum, memory=None):
    """Nesterov's momentum (1983): β v − η ∂J with v as of `heavy_ball`.

    (U, V) are the points that look ahead, where Nesterov takes his gradients (Bengio et al. 2013).
    """
    velocity = heavy_ball(learning_rate, momentum, memory)

    def direction(grads, scaled):
        ahead = zip(velocity(grads, scaled), scaled, strict=True)
        return [arrays.combine(v, momentum, g, -learning_rate) for v, g in ahead]

    return direction


def conjugate(learning_rate, momentum, memory=None):
    """Conjugate directions (Polak and Ribière 1969): d ← β d − s with s the scaled gradient g.

    β = (g − g′) · s / (g′ · s′), primes for the step before. It starts anew from −s where β is not positive
    or d would not descend.
    """
    memory = {} if memory is None else memory

    def direction(grads, scaled):
        along = [arrays.scale(s, -1) for s in scaled]
        if memory.get("slope", 0) > 0:
            old, before = memory["gradients"], memory["direction"]
            slope, changed, ahead = _dots((grads, scaled), (old, scaled), (grads, before))
            beta = (slope - changed) / memory["slope"]
            if beta > 0 and beta * ahead < slope:  # else it would not descend
                along = [arrays.combine(d, beta, s, -1) for d, s in zip(before, scaled, strict=True)]
        else:
            (slope,) = _dots((grads, scaled))
        memory.update(gradients=grads, slope=slope, direction=along)
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


def look_around(training, rule, learning_rate, momentum, scaling, memory):
    """The rule as a function of (U, V) that says where one is and how to go on.

    Parameters
    ----------
    training : Training
        Or whatever has its methods.
    rule : str
        Of `RULES`.
    learning_rate : float or "exact" or None
        From `step_size`.
    momentum : float
    scaling : str or None
        Of `SCALINGS`.
    memory : dict
        What the rule remembers; empty at the start, and changed.

    Returns
    -------
    callable
        look(U, V) -> E, J, move; move() -> the next (U, V), or None where nothing lowers J any more.
    """
    if rule == "alternating":
        return _alternating(training)
    exact = learning_rate == "exact"
    direction = DIRECTIONS[rule](1 if exact else learning_rate, momentum, memory)
    scaled = _scaling(training, scaling)

    def look(U, V):
        E, J, *grads = training.evaluate(U, V)

        def move():
            P, Q = direction(grads, scaled(U, V, grads))
            t = line_minimum(training.along(U, V, P, Q)) if exact else 1
            return (arrays.combine(U, 1, P, t), arrays.combine(V, 1, Q, t)) if t > 0 else None

        return E, J, move

    return look


def _alternating(training):
    """The exact step of U, then that of V: J is quadratic in each while the other stays."""

    def look(U, V):
        E, J = training.loss_and_objective(U, V)

        def move():
            new_U = arrays.combine(U, 1, training.block_step(U, V, "U"), 1)
            return new_U, arrays.combine(V, 1, training.block_step(new_U, V, "V"), 1)

        return E, J, move

    return look


def _scaling(training, scaling):
    """How the rows of the gradients are scaled: not at all, by their numbers of ratings, or by k × k blocks.

    A user with a thousand ratings has a gradient, and a curvature, a thousand times that of a user with one:
    "count" divides by that number, and "block" by the whole second derivative of the row, which makes of
    its gradient the step to its minimum.
    """
    if scaling is None:
        return lambda U, V, grads: grads
    if scaling == "block":
        return lambda U, V, grads: [arrays.scale(training.block_step(U, V, of), -1) for of in ("U", "V")]
    return lambda U, V, grads: training.by_count(*grads)


def _dots(*products):
    """Σ of the products of all entries, for each pair and another one."""
    of_U, of_V = (arrays.dots(*(pair[side] for product in products for pair in product)) for side in (0, 1))
    return [u + v for u, v in zip(of_U, of_V, strict=True)]
