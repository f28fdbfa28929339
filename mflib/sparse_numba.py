"""The compiled form of `sparse`: what it needs is allocated here, and the loops of `kernels` fill it.

Arguments are those of `sparse`, checked there.
"""

import numpy as np

from mflib import kernels
from mflib.threads import share_out


def predict_pairs(U, V, users, items):
    """E01 for each pair."""
    predicted = np.empty(len(users), dtype=U.dtype)
    pairs = _frozen(_unsigned(users)), _frozen(_unsigned(items))
    n_chunks = -(-len(users) // kernels.CHUNK)
    share_out(kernels.products_of_pairs, n_chunks, _frozen(U), _frozen(V), *pairs, _width(U), predicted)
    return predicted


def loss(ratings, U, V):
    """E04, the very sum of `loss_and_gradients`."""
    by_user = ratings.user_starts, ratings.items, ratings.values
    return _pass(by_user, U, V, want_gradient=False)[0]


def loss_and_gradients(ratings, U, V):
    """E04 and E13 in one pass by user, E14 in one by item."""
    E, grad_U = loss_and_gradient(ratings, U, V, "U")
    return E, grad_U, loss_and_gradient(ratings, U, V, "V")[1]


def loss_and_gradient(ratings, U, V, of):
    """E04 and E13 in one pass by user, or E04 and E14 in one by item."""
    if of == "U":
        return _pass((ratings.user_starts, ratings.items, ratings.values), U, V)
    return _pass((ratings.item_starts, ratings.users_by_item, ratings.values_by_item), V, U)


def line(ratings, U, V, P, Q):
    """E19 in one pass by user."""
    sums = np.empty((-(-ratings.n_ratings // kernels.CHUNK), 5))
    order = _unsigned(ratings.user_starts), _unsigned(ratings.items), ratings.values
    rows = (_frozen(A) for A in (U, V, P, Q))
    share_out(kernels.line_by_chunk, len(sums), *order, *rows, _width(U), sums)
    return np.add.accumulate(sums)[-1] / ratings.n_ratings


def block_step(ratings, U, V, of, ridge, held):
    """The normal equations of each row, solved by one thread."""
    A, B, order = U, V, (ratings.user_starts, ratings.items, ratings.values)
    if of == "V":
        A, B, order = V, U, (ratings.item_starts, ratings.users_by_item, ratings.values_by_item)
    starts, columns, values = order
    steps, n_chunks = np.empty_like(A), -(-len(values) // kernels.CHUNK)
    width = _width(A)
    rows = _unsigned(starts), _unsigned(columns), values, _frozen(A), _frozen(B), _frozen(ridge)
    share_out(kernels.block_steps, n_chunks, n_chunks, *rows, held, width, _height(width), steps)
    return steps


def equations(ratings, U, V, first, after, held):
    """The sums of the normal equations of some items."""
    starts, A = ratings.item_starts[first : after + 1], V[first:after]
    k = V.shape[1]
    sums = np.empty((len(A), k * (k + 3) // 2), dtype=V.dtype)
    order = _frozen(_unsigned(starts)), _unsigned(ratings.users_by_item), ratings.values_by_item
    width = _width(A)
    rows = *order, _frozen(A), _frozen(U), held, width, _height(width)
    share_out(kernels.equations, len(A), *rows, sums)
    return sums


def solved(sums, V, ridge, held):
    """The step of each item from its equations."""
    steps = np.empty_like(V)
    known = (_frozen(W) for W in (sums, V, ridge))
    share_out(kernels.solve_equations, len(V), *known, held, _width(V), steps)
    return steps


def top_n(U, V, users, n, seen):
    """The best items of many users, some users and some items at a time."""
    if seen is None:
        starts, items_seen = np.zeros(len(U) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    else:
        starts, items_seen = seen.user_starts, seen.items
    items, scores = np.full((len(users), n), -1), np.full((len(users), n), -np.inf, dtype=U.dtype)
    share_out(
        kernels.best_items,
        -(-len(users) // kernels.USERS),
        _frozen(U),
        _frozen(V),
        _frozen(_unsigned(users)),
        _frozen(_unsigned(starts)),
        _frozen(_unsigned(items_seen)),
        _width(U),
        items,
        scores,
    )
    return items, scores


def combine(a, X, b, Y, out):
    """The sum a X + b Y in one pass over them."""
    number, n_chunks = X.dtype.type, -(-X.size // kernels.ENTRIES)
    x, y = _frozen(X.reshape(-1)), _frozen(Y.reshape(-1))
    share_out(kernels.combine, n_chunks, number(a), x, number(b), y, out.reshape(-1))
    return out


def _pass(order, A, B, want_gradient=True):
    """The loss, and −(2/N) Σ_j Δ_ij b_j for each row i of A."""
    starts, columns, values = order
    n_ratings = len(values)
    n_chunks = -(-n_ratings // kernels.CHUNK)
    losses, grad, parts = np.empty(n_chunks), None, None
    if want_gradient:
        grad, parts = np.zeros(A.shape, dtype=A.dtype), np.empty((2 * n_chunks, A.shape[1]), dtype=A.dtype)
    starts = _unsigned(starts)
    scale = A.dtype.type(-2 / n_ratings)
    order = starts, _unsigned(columns), values
    factors = _frozen(A), _frozen(B), _width(A)
    share_out(kernels.chunks_by_row, n_chunks, *order, *factors, scale, grad, parts, losses)
    if want_gradient:
        kernels.join_parts(starts, grad, parts)
    # one after another: np.sum adds in an order that depends on the processor
    return float(np.add.accumulate(losses)[-1]) / n_ratings, grad


def _width(A):
    """A tuple of as many entries as a row of A has vectors: a kernel is compiled for that length."""
    return (0,) * -(-A.shape[1] * A.itemsize // kernels.VECTOR_BYTES)


def _height(width):
    """A tuple of as many entries as rows of a k × k matrix are added to at once."""
    return (0,) * next(h for h in (8, 4, 2, 1) if h * len(width) <= kernels.TILE or h == 1)


def _unsigned(indices):
    """The same indices, none of them negative, as unsigned ones: no copy."""
    return indices.view(f"u{indices.itemsize}")


def _frozen(A):
    """A view that cannot be written, or a kernel would be compiled for either kind."""
    view = np.asarray(A).view()
    view.flags.writeable = False
    return view
