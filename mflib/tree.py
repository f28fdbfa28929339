"""What a worker does for all its blocks at once, and sums over blocks along a tree.

The number of blocks alone decides the tree: the order of the additions, and so the bits, are the same
whichever worker has which of them. A node is the blocks from one to another; its first child has the largest
power of two that is less than their number. So a worker with 2, 4, 8, … blocks, as many as each before it,
has one node, and workers with as many, four by four, again have one.
"""

import numpy as np


def each_block(function, per_block, *arguments):
    """What function finds for each block: a tuple.

    Parameters
    ----------
    function : callable
    per_block : list of bool
        Which of the arguments are tuples with one for each block; the others are the same for all.
    *arguments

    Returns
    -------
    tuple
        None for a block of which an argument is None.
    """
    return tuple(function(*row) if row else None for row in _rows(per_block, arguments))


def summed(function, n_blocks, first, per_block, *arguments):
    """Sums of the tuples that function finds for the blocks of a worker, from the block `first` on.

    Parameters
    ----------
    function, per_block, *arguments
        As for `each_block`.
    n_blocks : int
        Of all workers.
    first : int

    Returns
    -------
    dict
        The sum of each node whose blocks are all there and whose parent's are not; None where no block has
        anything to add.

    Examples
    --------
    >>> summed(lambda x: (x,), 6, 2, [True], (1.0, 2.0, 4.0))
    {(2, 4): (3.0,), (4, 5): (4.0,)}
    """
    rows = _rows(per_block, arguments)

    def known(node):
        row = rows[node[0] - first]
        return {} if node[1] - node[0] > 1 else {node: function(*row) if row else None}

    return _climbed((0, n_blocks), (first, first + len(rows)), known, in_place=True)


def merged(n_blocks, partial):
    """The sums of several workers (`summed`), added where that makes a node.

    Parameters
    ----------
    n_blocks : int
    partial : list of dict

    Returns
    -------
    dict

    Examples
    --------
    >>> merged(6, [{(2, 4): (3.0,), (4, 5): (4.0,)}, {(0, 2): (8.0,)}])
    {(0, 4): (11.0,), (4, 5): (4.0,)}
    """
    held = {node: value for one in partial for node, value in one.items()}
    span = min(held)[0], max(held)[1]
    return _climbed((0, n_blocks), span, lambda node: {node: held[node]} if node in held else {})


def total(n_blocks, partial):
    """The sum over all blocks, from those of all workers."""
    return merged(n_blocks, partial)[0, n_blocks]


def later(before, function, *arguments):
    """function(*arguments), for a task that takes the result of another one only to come after it."""
    return function(*arguments)


def _rows(per_block, arguments):
    """The arguments for each block; None where one of them is."""
    n_blocks = len(arguments[per_block.index(True)])
    columns = [A if own else [_aligned(A)] * n_blocks for A, own in zip(arguments, per_block, strict=True)]
    rows = zip(*columns, strict=True)
    return [None if any(A is None for A in row) else row for row in rows]


def _aligned(A):
    """An array as kernels want it: once for all blocks, for what Dask has received may begin at any byte."""
    return np.require(A, requirements=("C", "A")) if isinstance(A, np.ndarray) else A


def _climbed(node, span, known, in_place=False):
    """The sums of the highest nodes, from this one down and of blocks in `span`, that `known` leads to."""
    first, after = node
    if after <= span[0] or span[1] <= first:
        return {}
    found = known(node) if span[0] <= first and after <= span[1] else {}
    if found or after - first == 1:
        return found
    middle = first + (1 << (after - first - 1).bit_length() - 1)
    found = _climbed((first, middle), span, known, in_place) | _climbed(
        (middle, after), span, known, in_place
    )
    if {(first, middle), (middle, after)} == found.keys():
        return {node: _added(found.pop((first, middle)), found.pop((middle, after)), in_place)}
    return found


def _added(one, other, in_place):
    """The sum of two tuples; in place those arrays that nobody else has."""
    if one is None or other is None:
        return other if one is None else one
    sums = list(one)
    with np.errstate(over="ignore", invalid="ignore"):
        for place, number in enumerate(other):
            if in_place:
                sums[place] += number
            else:
                sums[place] = sums[place] + number
    return tuple(sums)
