"""The compiled loops under `sparse`: rows in vector registers, the same bits for any number of threads.

A row of k factors fills ⌈k / lanes⌉ vectors of 64 bytes, the last one in part. That number is known when a
kernel is compiled (the argument `width`, a tuple of that length), so a row stays in registers while a user's
ratings pass by. Where the processor's registers are shorter, LLVM takes several for one: the order of the
sums, and so the bits, stay.

Ratings are cut into chunks of CHUNK. One thread sums a chunk, and parts of rows that were cut are added in
the order of the chunks, whichever thread was done first; a user with half of all ratings holds nobody up.

Indices are unsigned: Numba asks of a signed one whether it counts from the end, at every access.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from mflib.compiled import compiled

CHUNK = 4096
# Rows of the other factor are asked for so many ratings before they are needed: about the time memory takes.
AHEAD = np.uint64(16)
# Four rows at a time share the additions of their products; more than so many vectors a row would not stay
# in the 32 registers.
FOUR_WIDE = 4
VECTOR_BYTES = 64

ZERO, ONE, TWO, THREE, FOUR = (np.uint64(number) for number in range(5))
INT1, INT32, INT64 = (ir.IntType(bits) for bits in (1, 32, 64))


class Vector(types.Type):
    """A vector register of 64 bytes, as a type of Numba."""

    def __init__(self, dtype):
        self.dtype, self.lanes = dtype, VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype})")

    @property
    def llvm(self):
        """Its type in LLVM."""
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), self.lanes)

    @property
    def suffix(self):
        """How LLVM's functions on it are called."""
        return f"v{self.lanes}f{self.dtype.bitwidth}"


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A Vector is held as what it is."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


def _row_type(matrix, width):
    return types.UniTuple(Vector(matrix.dtype), width.count)


def _call(builder, name, result, arguments):
    """Call a function of LLVM."""
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def _shuffle(builder, x, y, lanes):
    """The lanes of x and y, counted through, in another order."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, len(lanes)), lanes))


def _splat(builder, number, lanes):
    """The number in every lane."""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    return _shuffle(builder, builder.insert_element(undefined, number, INT32(0)), undefined, [0] * lanes)


def _multiply_add(builder, vector, x, y, z):
    """In each lane x y + z, rounded once."""
    return _call(builder, f"llvm.fma.{vector.suffix}", vector.llvm, [x, y, z])


def _row_pointers(context, builder, kind, matrix, i, width):
    """Where the vectors of row i are, and which lanes of the last one are of the row."""
    vector = Vector(kind.dtype)
    matrix = cgutils.create_struct_proxy(kind)(context, builder, matrix)
    k = builder.extract_value(matrix.shape, 1)
    start = builder.gep(matrix.data, [builder.mul(i, k)])
    pointers = [
        builder.bitcast(builder.gep(start, [INT64(t * vector.lanes)]), vector.llvm.as_pointer())
        for t in range(width)
    ]
    rest = builder.sub(k, INT64((width - 1) * vector.lanes))
    counted = ir.Constant(ir.VectorType(INT64, vector.lanes), list(range(vector.lanes)))
    return pointers, builder.icmp_unsigned("<", counted, _splat(builder, rest, vector.lanes))


@intrinsic
def take_turn(typing, turn):
    """The number in `turn`, which goes up by one at once: no two threads get the same."""

    def generate(context, builder, signature, arguments):
        place = cgutils.create_struct_proxy(turn)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", place, INT64(1), "monotonic")

    return types.int64(turn), generate


@intrinsic
def load_row(typing, A, i, width):
    """Row i of A."""
    row, vector = _row_type(A, width), Vector(A.dtype)

    def generate(context, builder, signature, arguments):
        pointers, mask = _row_pointers(context, builder, A, *arguments[:2], width.count)
        align = A.dtype.bitwidth // 8  # NumPy promises no more
        loaded = [builder.load(pointer, align=align) for pointer in pointers[:-1]]
        nothing = ir.Constant(vector.llvm, [0.0] * vector.lanes)
        name = f"llvm.masked.load.{vector.suffix}.p0"
        loaded.append(_call(builder, name, vector.llvm, [pointers[-1], INT32(align), mask, nothing]))
        return context.make_tuple(builder, row, loaded)

    return row(A, i, width), generate


@intrinsic
def store_row(typing, A, i, row):
    """Let row i of A be `row`."""
    vector = row.dtype

    def generate(context, builder, signature, arguments):
        pointers, mask = _row_pointers(context, builder, A, *arguments[:2], row.count)
        align = A.dtype.bitwidth // 8
        *whole, last = cgutils.unpack_tuple(builder, arguments[2])
        for pointer, value in zip(pointers[:-1], whole, strict=True):
            builder.store(value, pointer, align=align)
        name = f"llvm.masked.store.{vector.suffix}.p0"
        _call(builder, name, ir.VoidType(), [last, pointers[-1], INT32(align), mask])
        return context.get_dummy_value()

    return types.void(A, i, row), generate


@intrinsic
def prefetch_row(typing, A, i, width):
    """Ask the memory for row i of A."""

    def generate(context, builder, signature, arguments):
        pointers, _ = _row_pointers(context, builder, A, *arguments[:2], width.count)
        for pointer in pointers:  # to read (0), soon and more than once (3), as data (1)
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, INT32(0), INT32(3), INT32(1)])
        return context.get_dummy_value()

    return types.void(A, i, width), generate


@intrinsic
def zero_row(typing, A, width):
    """A row of zeros, of the kind of A."""
    row, vector = _row_type(A, width), Vector(A.dtype)

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(vector.llvm, [0.0] * vector.lanes)
        return context.make_tuple(builder, row, [zero] * row.count)

    return row(A, width), generate


@intrinsic
def add_multiple(typing, total, number, row):
    """The row total + number · row."""
    vector = row.dtype

    def generate(context, builder, signature, arguments):
        totals, values = (cgutils.unpack_tuple(builder, argument) for argument in arguments[::2])
        number = _splat(builder, arguments[1], vector.lanes)
        added = [_multiply_add(builder, vector, number, y, z) for z, y in zip(totals, values, strict=True)]
        return context.make_tuple(builder, row, added)

    return row(row, vector.dtype, row), generate


def _lane_sums(builder, vector, a, b, total=None):
    """The sums of a_s b_s over all s of one lane, on top of `total`."""
    for x, y in zip(a, b, strict=True):
        total = builder.fmul(x, y) if total is None else _multiply_add(builder, vector, x, y, total)
    return total


def _fold(builder, vector, sums):
    """Each vector's lanes added up; one vector, or a power of two of them together.

    At each turn the upper half of what is left of a sum is added to the lower half, alone or in company.
    """
    n_sums = len(sums)
    width = vector.lanes  # so many lanes are left of each sum
    while width > 1:
        half = width // 2
        # two vectors become one while there are two; then the one is folded
        couples = [(sums[0], sums[0])] if len(sums) == 1 else zip(sums[::2], sums[1::2], strict=True)
        lanes = sums[0].type.count * min(len(sums), 2)
        lower = [start + lane for start in range(0, lanes, width) for lane in range(half)]
        upper = [lane + half for lane in lower]
        sums = [
            builder.fadd(_shuffle(builder, x, y, lower), _shuffle(builder, x, y, upper)) for x, y in couples
        ]
        width = half
    return [builder.extract_element(sums[0], INT32(place)) for place in range(n_sums)]


@intrinsic
def inner_products(typing, a, rows):
    """The products a · r for one row r, or for four, whose lanes are added up together.

    How the lanes are added up does not depend on the company: the bits are the same.
    """
    vector = a.dtype

    def generate(context, builder, signature, arguments):
        first = cgutils.unpack_tuple(builder, arguments[0])
        sums = [
            _lane_sums(builder, vector, first, cgutils.unpack_tuple(builder, row))
            for row in cgutils.unpack_tuple(builder, arguments[1])
        ]
        products = _fold(builder, vector, sums)
        return context.make_tuple(builder, signature.return_type, products)

    return types.UniTuple(vector.dtype, rows.count)(a, rows), generate


@intrinsic
def line_products(typing, u, v, p, q):
    """The three products of E19: u · v, u · q + p · v, and p · q."""
    vector = u.dtype

    def generate(context, builder, signature, arguments):
        u, v, p, q = (cgutils.unpack_tuple(builder, argument) for argument in arguments)
        one_step = _lane_sums(builder, vector, u, q)
        one_step = _lane_sums(builder, vector, p, v, one_step)
        no_step, two_steps = _lane_sums(builder, vector, u, v), _lane_sums(builder, vector, p, q)
        products = _fold(builder, vector, [no_step, one_step, two_steps, two_steps])[:3]
        return context.make_tuple(builder, signature.return_type, products)

    return types.UniTuple(vector.dtype, 3)(u, v, p, q), generate


@intrinsic
def add_outer(typing, tile, B, p, r, row):
    """Rows r, r + 1, … of a matrix, plus those of bᵀb, where b is row p of B and comes as `row` too."""
    vector = row.dtype

    def generate(context, builder, signature, arguments):
        tiles, _, p, r, row = arguments
        matrix = cgutils.create_struct_proxy(B)(context, builder, arguments[1])
        k = builder.extract_value(matrix.shape, 1)
        place = builder.gep(matrix.data, [builder.add(builder.mul(p, k), r)])
        values = cgutils.unpack_tuple(builder, row)
        totals = []
        for t, total in enumerate(cgutils.unpack_tuple(builder, tiles)):
            number = builder.load(builder.gep(place, [INT64(t)]))
            number = _splat(builder, number, vector.lanes)
            added = [
                _multiply_add(builder, vector, number, y, z)
                for y, z in zip(values, cgutils.unpack_tuple(builder, total), strict=True)
            ]
            totals.append(context.make_tuple(builder, tile.dtype, added))
        return context.make_tuple(builder, tile, totals)

    return tile(tile, B, p, r, row), generate


@intrinsic
def load_tile(typing, A, i, width, height):
    """As many rows of A from row i on as `height` has entries."""
    vector = Vector(A.dtype)
    kind = types.UniTuple(_row_type(A, width), height.count)

    def generate(context, builder, signature, arguments):
        rows = []
        for t in range(height.count):
            pointers, _ = _row_pointers(
                context, builder, A, arguments[0], builder.add(arguments[1], INT64(t)), width.count
            )
            loaded = [builder.load(pointer, align=vector.dtype.bitwidth // 8) for pointer in pointers]
            rows.append(context.make_tuple(builder, kind.dtype, loaded))
        return context.make_tuple(builder, kind, rows)

    return kind(A, i, width, height), generate


@intrinsic
def store_tile(typing, A, i, tile):
    """Let the rows of A from row i on be `tile`."""
    vector = tile.dtype.dtype

    def generate(context, builder, signature, arguments):
        for t, row in enumerate(cgutils.unpack_tuple(builder, arguments[2])):
            place = builder.add(arguments[1], INT64(t))
            pointers, _ = _row_pointers(context, builder, A, arguments[0], place, tile.dtype.count)
            for pointer, value in zip(pointers, cgutils.unpack_tuple(builder, row), strict=True):
                builder.store(value, pointer, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(A, i, tile), generate


@numba.njit(inline="always")
def _four_rows(B, columns, p, width):
    return (
        load_row(B, np.uint64(columns[p]), width),
        load_row(B, np.uint64(columns[p + ONE]), width),
        load_row(B, np.uint64(columns[p + TWO]), width),
        load_row(B, np.uint64(columns[p + THREE]), width),
    )


@numba.njit(inline="always")
def _row(a, B, columns, values, p, end, width):
    """Ratings p to end, all of the row a: Σ Δ² in float64, and the row Σ_j Δ_j b_j."""
    squares, total = 0.0, zero_row(B, width)
    last = np.uint64(len(columns)) - ONE
    number = B.dtype.type
    while len(width) <= FOUR_WIDE and p + FOUR <= end:
        for t in range(4):
            prefetch_row(B, np.uint64(columns[min(p + AHEAD + np.uint64(t), last)]), width)
        b0, b1, b2, b3 = _four_rows(B, columns, p, width)
        y0, y1, y2, y3 = inner_products(a, (b0, b1, b2, b3))
        d0, d1 = number(values[p]) - y0, number(values[p + ONE]) - y1
        d2, d3 = number(values[p + TWO]) - y2, number(values[p + THREE]) - y3
        total = add_multiple(add_multiple(total, d0, b0), d1, b1)
        total = add_multiple(add_multiple(total, d2, b2), d3, b3)
        squares += (np.float64(d0) ** 2 + np.float64(d1) ** 2) + (np.float64(d2) ** 2 + np.float64(d3) ** 2)
        p += FOUR
    while p < end:
        prefetch_row(B, np.uint64(columns[min(p + AHEAD, last)]), width)
        b = load_row(B, np.uint64(columns[p]), width)
        (y,) = inner_products(a, (b,))
        d = number(values[p]) - y
        total = add_multiple(total, d, b)
        squares += np.float64(d) ** 2
        p += ONE
    return squares, total


@compiled(nogil=True)
def chunks_by_row(turn, starts, columns, values, A, B, width, scale, grad, parts, losses):
    """E12 and E13 (or E14) chunk by chunk: for row i of A, scale Σ_j Δ_ij b_j.

    Parameters
    ----------
    turn : ndarray of int64, shape (1,)
        The chunk that nobody has begun yet; shared by all threads.
    starts : ndarray of uint64, shape (rows + 1,)
    columns : ndarray of uint32 or uint64, shape (n_ratings,)
        Rows of B. Nobody looks whether they are within: `Ratings` has seen to it.
    values : ndarray of float32 or float64, shape (n_ratings,)
    A, B : ndarray of float32 or float64, C-contiguous, shapes (rows, k) and (…, k)
    width : tuple
        As many entries as a row has vectors.
    scale : float of A's dtype
    grad : ndarray of A's dtype, shape (rows, k), or None
        Written where a row has ratings and lies in one chunk. None: the loss alone is asked for.
    parts : ndarray of A's dtype, shape (2 chunks, k), or None
        Of rows that were cut: in place 2c what chunk c begins with, in 2c + 1 what it ends with.
    losses : ndarray of float64, shape (chunks,)
        Written: Σ Δ² of each chunk.
    """
    n_ratings = np.uint64(len(columns))
    chunk = take_turn(turn)
    while chunk < len(losses):
        start = np.uint64(chunk) * np.uint64(CHUNK)
        stop = min(start + np.uint64(CHUNK), n_ratings)
        i = np.uint64(np.searchsorted(starts, start, side="right") - 1)
        loss = 0.0
        p = start
        while p < stop:
            end = min(starts[i + ONE], stop)
            squares, total = _row(load_row(A, i, width), B, columns, values, p, end, width)
            if grad is not None:
                row = add_multiple(zero_row(A, width), scale, total)
                if starts[i] < start:
                    store_row(parts, np.uint64(chunk) * TWO, row)
                elif starts[i + ONE] > stop:
                    store_row(parts, np.uint64(chunk) * TWO + ONE, row)
                else:
                    store_row(grad, i, row)
            loss += squares
            p = end
            i += ONE
        losses[chunk] = loss
        chunk = take_turn(turn)


@compiled(nogil=True)
def line_by_chunk(turn, starts, columns, values, U, V, P, Q, width, sums):
    """E19 chunk by chunk: the coefficients of Σ Δ² along (U + t P, V + t Q).

    Parameters
    ----------
    turn, starts, columns, values, width
        As for `chunks_by_row`, by user.
    U, V, P, Q : ndarray of float32 or float64, C-contiguous, shapes (rows, k) and (…, k) twice
    sums : ndarray of float64, shape (chunks, 5)
        Written: of 1, t, t², t³ and t⁴.
    """
    n_ratings = np.uint64(len(columns))
    last = n_ratings - ONE
    number = U.dtype.type
    chunk = take_turn(turn)
    while chunk < len(sums):
        p = np.uint64(chunk) * np.uint64(CHUNK)
        stop = min(p + np.uint64(CHUNK), n_ratings)
        i = np.uint64(np.searchsorted(starts, p, side="right") - 1)
        c0, c1, c2, c3, c4 = 0.0, 0.0, 0.0, 0.0, 0.0
        while p < stop:
            end = min(starts[i + ONE], stop)
            u, step_u = load_row(U, i, width), load_row(P, i, width)
            while p < end:
                ahead = np.uint64(columns[min(p + AHEAD, last)])
                prefetch_row(V, ahead, width)
                prefetch_row(Q, ahead, width)
                j = np.uint64(columns[p])
                y, first, second = line_products(u, load_row(V, j, width), step_u, load_row(Q, j, width))
                # Δ(t) = d − a t − b t²
                d, a, b = np.float64(number(values[p]) - y), np.float64(first), np.float64(second)
                c0 += d * d
                c1 -= 2 * d * a
                c2 += a * a - 2 * d * b
                c3 += 2 * a * b
                c4 += b * b
                p += ONE
            i += ONE
        sums[chunk, 0], sums[chunk, 1], sums[chunk, 2] = c0, c1, c2
        sums[chunk, 3], sums[chunk, 4] = c3, c4
        chunk = take_turn(turn)


@compiled()
def join_parts(starts, grad, parts):
    """Add the parts of each row that was cut, in the order of the chunks, to the zeros in `grad`."""
    for chunk in range(1, len(parts) // 2):
        edge = np.uint64(chunk * CHUNK)
        i = np.searchsorted(starts, edge, side="right") - 1
        if starts[i] < edge:  # else no row is cut here
            if starts[i] >= edge - np.uint64(CHUNK):
                grad[i] += parts[2 * chunk - 1]
            grad[i] += parts[2 * chunk]


@compiled(nogil=True)
def products_of_pairs(turn, A, B, rows, columns, width, products):
    """E01 for each pair: `products[p]` becomes row rows[p] of A times row columns[p] of B."""
    n_pairs = np.uint64(len(rows))
    start = np.uint64(take_turn(turn)) * np.uint64(CHUNK)
    while start < n_pairs:
        for p in range(start, min(start + np.uint64(CHUNK), n_pairs)):
            ahead = min(p + AHEAD, n_pairs - ONE)
            prefetch_row(A, np.uint64(rows[ahead]), width)
            prefetch_row(B, np.uint64(columns[ahead]), width)
            b = load_row(B, np.uint64(columns[p]), width)
            (products[p],) = inner_products(load_row(A, np.uint64(rows[p]), width), (b,))
        start = np.uint64(take_turn(turn)) * np.uint64(CHUNK)


# Users whose best items are looked for together, and items that stay in the cache for all of them.
USERS, ITEMS = 16, 512


@compiled(nogil=True)
def best_items(turn, U, V, users, starts, seen, width, items, scores):
    """For each of the users the items of V with the highest u · v, those that the user has seen left out.

    Parameters
    ----------
    turn : ndarray of int64, shape (1,)
        The block of users that nobody has begun yet.
    U, V : ndarray of float32 or float64, C-contiguous, shapes (…, k) and (n_items, k)
    users : ndarray of uint64
        Rows of U, within.
    starts, seen : ndarray of uint64, and of uint32 or uint64
        The items that user i has seen are seen[starts[i] : starts[i + 1]], ascending.
    width : tuple
        As many entries as a row has vectors.
    items : ndarray of int64, shape (len(users), n)
        Full of −1. Written: best first, of equals the one that comes first in V.
    scores : ndarray of U's dtype, shape (len(users), n)
        Full of −∞. Written: u · v of each.
    """
    n_users, n_items, n = len(users), np.uint64(len(V)), items.shape[1]
    block = take_turn(turn)
    while block * USERS < n_users:
        for first in range(ZERO, n_items, np.uint64(ITEMS)):
            stop = min(first + np.uint64(ITEMS), n_items)
            for place in range(block * USERS, min((block + 1) * USERS, n_users)):
                i = users[place]
                u = load_row(U, i, width)
                after = starts[i + ONE]
                s = starts[i] + np.uint64(np.searchsorted(seen[starts[i] : after], first))
                for j in range(first, stop):
                    if s < after and np.uint64(seen[s]) == j:
                        s += ONE
                        continue
                    (score,) = inner_products(u, (load_row(V, j, width),))
                    if score > scores[place, n - 1]:
                        at = n - 1
                        while at > 0 and score > scores[place, at - 1]:
                            scores[place, at], items[place, at] = scores[place, at - 1], items[place, at - 1]
                            at -= 1
                        scores[place, at], items[place, at] = score, j
        block = take_turn(turn)


# Rows of the other factor that are gathered before their products are added: they stay in the cache.
GATHERED = 64
# Times the rounding of a pivot.
DAMPING = 4
# Vectors of their products that stay in the 32 registers.
TILE = 24


@numba.njit(inline="always")
def _gather(a, B, columns, values, p, end, held, width, gathered, errors):
    """Copy the rows of B that ratings p to end are of, without the held column, and find their errors."""
    last = np.uint64(len(columns)) - ONE
    for t in range(end - p):
        prefetch_row(B, np.uint64(columns[min(p + t + AHEAD, last)]), width)
        b = load_row(B, np.uint64(columns[p + t]), width)
        (y,) = inner_products(a, (b,))
        errors[t] = B.dtype.type(values[p + t]) - y
        store_row(gathered, t, b)
        if held >= 0:
            gathered[t, held] = 0


@numba.njit(inline="always")
def _add_products(gathered, n_rows, normal, width, height):
    """Add BᵀB of the gathered rows B to the normal matrix, as many rows at once as stay in registers."""
    for r in range(ZERO, np.uint64(len(normal)), np.uint64(len(height))):
        tile = load_tile(normal, r, width, height)
        for t in range(n_rows):
            tile = add_outer(tile, gathered, t, r, load_row(gathered, t, width))
        store_tile(normal, r, tile)


@numba.njit(inline="always")
def _damping(normal, n):
    """What is added to the diagonal so that rounding does not drown its smallest pivot."""
    trace = normal.dtype.type(0)
    for r in range(n):
        trace += normal[r, r]
    return normal.dtype.type(DAMPING * np.finfo(normal.dtype).eps) * trace


@numba.njit(inline="always")
def _solve(normal, right, n, width, solution):
    """Solve normal · solution = right for n unknowns by elimination; normal and right are overwritten.

    The matrix is symmetric without negative eigenvalues. Where a pivot is zero, so is the unknown.
    """
    for c in range(n):
        if not normal[c, c] > 0:
            normal[c, c] = 0
            continue
        row = load_row(normal, c, width)
        for r in range(c + ONE, n):
            share = normal[c, r] / normal[c, c]
            store_row(normal, r, add_multiple(load_row(normal, r, width), -share, row))
            right[ZERO, r] -= share * right[ZERO, c]
    store_row(solution, ZERO, zero_row(solution, width))
    for back in range(ONE, n + ONE):
        c = n - back
        if normal[c, c] > 0:
            (known,) = inner_products(load_row(normal, c, width), (load_row(solution, ZERO, width),))
            solution[ZERO, c] = (right[ZERO, c] - known) / normal[c, c]


@numba.njit(inline="always")
def _step_by_ratings(a, gathered, errors, n_ratings, ridge, width, normal, right, solution):
    """The step of a row with fewer ratings than factors: one equation a rating.

    Bᵀ (B Bᵀ + (ridge + damping) I)⁻¹ (Δ + pull B a) − pull a, where pull = ridge / (ridge + damping).
    """
    number = normal.dtype.type
    for s in range(n_ratings):
        store_row(normal, s, zero_row(normal, width))
    for s in range(n_ratings):
        b = load_row(gathered, s, width)
        for t in range(s + ONE):
            (product,) = inner_products(b, (load_row(gathered, t, width),))
            normal[s, t] = normal[t, s] = product
    total = ridge + _damping(normal, n_ratings)
    pull = ridge / total if total > 0 else number(0)
    for s in range(n_ratings):
        (y,) = inner_products(load_row(gathered, s, width), (a,))
        normal[s, s] += total
        right[ZERO, s] = errors[s] + pull * y
    _solve(normal, right, n_ratings, width, solution)
    step = add_multiple(zero_row(gathered, width), -pull, a)
    for s in range(n_ratings):
        step = add_multiple(step, solution[ZERO, s], load_row(gathered, s, width))
    return step


@compiled(nogil=True)
def block_steps(turn, n_chunks, starts, columns, values, A, B, ridge, held, width, height, steps):
    """For each row a of A the step p with the least Σ_j (y_j − (a + p) · b_j)² + ridge ‖a + p‖².

    It is found from normal equations (BᵀB + ridge I) p = Bᵀ Δ − ridge a, k of them; where fewer, one a
    rating. A multiple of the identity as small as rounding, the damping, is added to them: a step that the
    ratings do not determine stays short. A thread does all rows whose first rating is in its chunk.

    Parameters
    ----------
    turn, starts, columns, values, A, B, width
        As for `chunks_by_row`.
    n_chunks : int
    ridge : ndarray of float64, shape (rows,)
    held : int
        The column of A that does not move and is not penalized, or −1.
    height : tuple
        As many entries as rows of a k × k matrix are added to at once: a divisor of the lanes of a vector.
    steps : ndarray of A's dtype, shape (rows, k)
        Written.
    """
    k, number = np.uint64(A.shape[1]), A.dtype.type
    lanes = np.uint64(len(width) * VECTOR_BYTES // A.itemsize)
    gathered = np.empty((max(np.uint64(GATHERED), k), lanes), A.dtype)
    errors = np.empty(len(gathered), A.dtype)
    normal = np.zeros((lanes, lanes), A.dtype)
    right, solution = np.empty((1, lanes), A.dtype), np.empty((1, lanes), A.dtype)
    chunk = take_turn(turn)
    while chunk < n_chunks:
        first = np.uint64(np.searchsorted(starts[:-1], np.uint64(chunk) * np.uint64(CHUNK)))
        after = np.uint64(np.searchsorted(starts[:-1], np.uint64(chunk + 1) * np.uint64(CHUNK)))
        if chunk == n_chunks - 1:
            after = np.uint64(len(A))  # rows without ratings may stand at the end
        for i in range(first, after):
            a, p, stop = load_row(A, i, width), starts[i], starts[i + ONE]
            if TWO * (stop - p) < k:
                _gather(a, B, columns, values, p, stop, held, width, gathered, errors)
                step = _step_by_ratings(
                    a, gathered, errors, stop - p, number(ridge[i]), width, normal, right, solution
                )
            else:
                for r in range(lanes):
                    store_row(normal, r, zero_row(normal, width))
                total = add_multiple(zero_row(A, width), -number(ridge[i]), a)
                while p < stop:
                    end = min(p + np.uint64(GATHERED), stop)
                    _gather(a, B, columns, values, p, end, held, width, gathered, errors)
                    for t in range(end - p):
                        total = add_multiple(total, errors[t], load_row(gathered, t, width))
                    _add_products(gathered, end - p, normal, width, height)
                    p = end
                weight = number(ridge[i]) + _damping(normal, k)
                for r in range(k):
                    normal[r, r] += weight
                store_row(right, ZERO, total)
                if held >= 0:
                    right[ZERO, held] = 0
                _solve(normal, right, k, width, solution)
                step = load_row(solution, ZERO, width)
            store_row(steps, i, step)
            if held >= 0:
                steps[i, held] = 0
        chunk = take_turn(turn)


@compiled(nogil=True)
def equations(turn, starts, columns, values, A, B, held, width, height, sums):
    """BᵀB and Bᵀ Δ of each row a of A: what these ratings add to its normal equations.

    Parameters
    ----------
    turn, starts, columns, values, A, B, held, width, height
        As for `block_steps`; a turn is for one row, and `starts` may be those of some rows alone.
    sums : ndarray of A's dtype, shape (rows, k (k + 3) / 2)
        Written: of BᵀB, which is symmetric, the rows up to the diagonal, then Bᵀ Δ.
    """
    k = np.uint64(A.shape[1])
    lanes = np.uint64(len(width) * VECTOR_BYTES // A.itemsize)
    gathered = np.empty((GATHERED, lanes), A.dtype)
    errors = np.empty(GATHERED, A.dtype)
    normal, right = np.zeros((lanes, lanes), A.dtype), np.empty((1, lanes), A.dtype)
    i = np.uint64(take_turn(turn))
    while i < len(A):
        a, p, stop = load_row(A, i, width), starts[i], starts[i + ONE]
        for r in range(lanes):
            store_row(normal, r, zero_row(normal, width))
        total = zero_row(A, width)
        while p < stop:
            end = min(p + np.uint64(GATHERED), stop)
            _gather(a, B, columns, values, p, end, held, width, gathered, errors)
            for t in range(end - p):
                total = add_multiple(total, errors[t], load_row(gathered, t, width))
            _add_products(gathered, end - p, normal, width, height)
            p = end
        store_row(right, ZERO, total)
        place = ZERO
        for r in range(k):
            for c in range(r + ONE):
                sums[i, place] = normal[r, c]
                place += ONE
        for c in range(k):
            sums[i, place + c] = right[ZERO, c]
        i = np.uint64(take_turn(turn))


@compiled(nogil=True)
def solve_equations(turn, sums, A, ridge, held, width, steps):
    """The step of each row a of A from the sums of its equations, as in `block_steps`; they are as there."""
    k, number = np.uint64(A.shape[1]), A.dtype.type
    lanes = np.uint64(len(width) * VECTOR_BYTES // A.itemsize)
    normal = np.zeros((lanes, lanes), A.dtype)
    right, solution = np.empty((1, lanes), A.dtype), np.empty((1, lanes), A.dtype)
    i = np.uint64(take_turn(turn))
    while i < len(A):
        place = ZERO
        for r in range(k):
            for c in range(r + ONE):
                normal[r, c] = normal[c, r] = sums[i, place]
                place += ONE
        weight = number(ridge[i]) + _damping(normal, k)
        for c in range(k):
            normal[c, c] += weight
            right[ZERO, c] = sums[i, place + c] - number(ridge[i]) * A[i, c]
        if held >= 0:
            right[ZERO, held] = 0
        _solve(normal, right, k, width, solution)
        store_row(steps, i, load_row(solution, ZERO, width))
        if held >= 0:
            steps[i, held] = 0
        i = np.uint64(take_turn(turn))


# Entries of an array that one thread takes at a time.
ENTRIES = 1 << 17


@compiled(nogil=True)
def combine(turn, a, x, b, y, total):
    """Let `total` be a x + b y, entry by entry; all of one length, and `total` may be x or y itself."""
    n = np.uint64(len(total))
    start = np.uint64(take_turn(turn)) * np.uint64(ENTRIES)
    while start < n:
        for t in range(start, min(start + np.uint64(ENTRIES), n)):
            total[t] = a * x[t] + b * y[t]
        start = np.uint64(take_turn(turn)) * np.uint64(ENTRIES)
