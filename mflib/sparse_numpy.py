"""The readable twin of `sparse_numba`, in NumPy and SciPy: used where Numba is switched off, and by tests.

Arguments are those of `sparse`, checked there.
"""

import itertools

import numpy as np

# Ratings whose rows are gathered at once: small enough for the two blocks of rows to stay in cache at k = 32.
BLOCK = 4096
# As in `kernels`.
DAMPING = 4
# Users whose predictions for all items are held at once.
USERS = 64


def predict_pairs(U, V, users, items):
    """E01 block by block, or the gathered rows would be two N × k arrays."""
    predicted = np.empty(len(users), dtype=U.dtype)
    for start in range(0, len(users), BLOCK):
        block = slice(start, start + BLOCK)
        np.einsum("ps,ps->p", U[users[block]], V[items[block]], out=predicted[block])
    return predicted


def loss(ratings, U, V):
    """E04, summed in float64."""
    return _mean_square(_residual(ratings, U, V))


def loss_and_gradients(ratings, U, V):
    """E04, and E13 and E14 as products of a sparse matrix with a dense one."""
    from scipy.sparse import csr_array  # a third of a second, so not at import

    D = _residual(ratings, U, V)
    D_by_user = csr_array((D, ratings.items, ratings.user_starts), shape=ratings.shape)
    grad_U, grad_V = D_by_user @ V, D_by_user.T.tocsr() @ U
    for gradient in (grad_U, grad_V):
        gradient *= -2 / ratings.n_ratings  # in place: one array less
    return _mean_square(D), grad_U, grad_V


def loss_and_gradient(ratings, U, V, of):
    """E04, and E13 or E14."""
    E, grad_U, grad_V = loss_and_gradients(ratings, U, V)
    return E, grad_U if of == "U" else grad_V


def line(ratings, U, V, P, Q):
    """E19 from the products of every rating."""
    users, items = ratings.users, ratings.items
    d = _residual(ratings, U, V).astype(np.float64)
    a = predict_pairs(U, Q, users, items).astype(np.float64) + predict_pairs(P, V, users, items)
    b = predict_pairs(P, Q, users, items).astype(np.float64)
    return np.array([np.sum(c) for c in (d * d, -2 * d * a, a * a - 2 * d * b, 2 * a * b, b * b)]) / len(d)


def block_step(ratings, U, V, of, ridge, held):
    """The normal equations (BᵀB + (ridge + damping) I) p = Bᵀ Δ − ridge a of each row a."""
    A, B, order = U, V, (ratings.user_starts, ratings.items, ratings.values)
    if of == "V":
        A, B, order = V, U, (ratings.item_starts, ratings.users_by_item, ratings.values_by_item)
    starts, columns, values = order
    steps = np.zeros_like(A)
    free = np.delete(np.arange(A.shape[1]), held if held >= 0 else [])
    for i, (start, end) in enumerate(itertools.pairwise(starts)):
        rows = B[columns[start:end]]
        errors = values[start:end].astype(A.dtype) - rows @ A[i]
        normal = rows[:, free].T @ rows[:, free]
        damping = DAMPING * np.finfo(A.dtype).eps * np.trace(normal)
        if ridge[i] + damping > 0:
            normal[np.diag_indices_from(normal)] += A.dtype.type(ridge[i] + damping)
            right = rows[:, free].T @ errors - A.dtype.type(ridge[i]) * A[i, free]
            steps[i, free] = np.linalg.solve(normal, right)
    return steps


def equations(ratings, U, V, first, after, held):
    """The sums of the normal equations of some items, 0 in the column held."""
    k = V.shape[1]
    sums, triangle = np.zeros((after - first, k * (k + 3) // 2), V.dtype), np.tril_indices(k)
    for place, j in enumerate(range(first, after)):
        own = slice(ratings.item_starts[j], ratings.item_starts[j + 1])
        rows = U[ratings.users_by_item[own]]
        errors = ratings.values_by_item[own].astype(V.dtype) - rows @ V[j]
        if held >= 0:
            rows[:, held] = 0
        sums[place] = np.concatenate(((rows.T @ rows)[triangle], rows.T @ errors))
    return sums


def solved(sums, V, ridge, held):
    """The step of each item from its equations."""
    steps, k = np.zeros_like(V), V.shape[1]
    (rows, columns), right = np.tril_indices(k), sums[:, -k:]
    normal = np.empty((len(V), k, k), V.dtype)
    normal[:, rows, columns] = normal[:, columns, rows] = sums[:, :-k]
    free = np.delete(np.arange(V.shape[1]), held if held >= 0 else [])
    for j, own in enumerate(normal[:, free][:, :, free]):
        total = ridge[j] + DAMPING * np.finfo(V.dtype).eps * np.trace(own)
        if total > 0:
            equations = own + V.dtype.type(total) * np.eye(len(free), dtype=V.dtype)
            steps[j, free] = np.linalg.solve(equations, right[j, free] - V.dtype.type(ridge[j]) * V[j, free])
    return steps


def top_n(U, V, users, n, seen):
    """The best items of some users at a time, by a stable sort."""
    items, scores = np.empty((len(users), n), dtype=np.int64), np.empty((len(users), n), dtype=U.dtype)
    for start in range(0, len(users), USERS):
        block = slice(start, start + USERS)
        predicted = np.einsum("us,is->ui", U[users[block]], V)
        predicted[np.isnan(predicted)] = -np.inf
        if seen is not None:
            for row, user in zip(predicted, users[block], strict=True):
                row[seen.items[seen.user_starts[user] : seen.user_starts[user + 1]]] = -np.inf
        items[block] = np.argsort(-predicted, axis=1, kind="stable")[:, :n]
        scores[block] = np.take_along_axis(predicted, items[block], axis=1)
    items[scores == -np.inf] = -1
    return items, scores


def combine(a, X, b, Y, out):
    """The sum a X + b Y, with the bits of the compiled form."""
    return np.add(a * X, b * Y, out=out)


def _residual(ratings, U, V):
    """E12 on the observed entries."""
    return ratings.values.astype(U.dtype) - predict_pairs(U, V, ratings.users, ratings.items)


def _mean_square(D):
    """(1/N) Σ Δ², summed in float64."""
    return float(np.sum(np.square(D, dtype=np.float64)) / len(D))
