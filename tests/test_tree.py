"""Sums over blocks: the same bits however the blocks are dealt out among workers."""

import numpy as np
import pytest

from mflib import tree


def dealt(rng, n_blocks):
    """Cut blocks into spans of neighbours."""
    cuts = np.flatnonzero(rng.random(n_blocks - 1) < rng.random()) + 1
    return [range(*pair) for pair in zip([0, *cuts], [*cuts, n_blocks], strict=True)]


def summed(values, spans, n_blocks):
    """What the workers of these spans find."""
    return [
        tree.summed(
            lambda entry: (float(entry[0]), entry.copy()),
            n_blocks,
            span.start,
            [True],
            tuple(values[b] for b in span),
        )
        for span in spans
    ]


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 5, 6, 7, 8, 13, 40])
def test_the_bits_of_a_sum_do_not_depend_on_who_has_which_blocks_nor_on_who_adds(n_blocks):
    rng = np.random.default_rng(n_blocks)
    values = [None if rng.random() < 0.2 else rng.normal(size=3).astype(np.float32) for _ in range(n_blocks)]
    values[rng.integers(n_blocks)] = np.ones(3, np.float32)
    expected = tree.total(n_blocks, summed(values, [range(n_blocks)], n_blocks))
    whole = np.sum([value for value in values if value is not None], axis=0, dtype=np.float64)
    np.testing.assert_allclose(expected[1], whole, rtol=0, atol=1e-5)
    for _ in range(20):
        partial = summed(values, dealt(rng, n_blocks), n_blocks)
        several = dealt(rng, len(partial))
        partial = [tree.merged(n_blocks, [partial[place] for place in group]) for group in several]
        found = tree.total(n_blocks, partial)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("n_workers", [1, 2, 3, 5, 10, 16, 27])
@pytest.mark.parametrize("each", [1, 2, 4])
def test_workers_with_a_power_of_two_of_blocks_send_one_sum_each_and_four_of_them_one(n_workers, each):
    n_blocks = n_workers * each
    spans = [range(first, first + each) for first in range(0, n_blocks, each)]
    partial = summed([np.ones(1)] * n_blocks, spans, n_blocks)
    assert [list(one) for one in partial] == [[(span.start, span.stop)] for span in spans]
    for place in range(0, n_workers, 4):
        assert len(tree.merged(n_blocks, partial[place : place + 4])) == 1


def test_with_another_number_of_blocks_they_send_some_more():
    values = [np.ones(1)] * 6
    found = [list(one) for one in summed(values, [range(3), range(3, 6)], 6)]
    assert found == [[(0, 2), (2, 3)], [(3, 4), (4, 6)]]


def test_sums_of_others_are_not_written_to():
    one, other = {(0, 1): (np.ones(2),)}, {(1, 2): (np.ones(2),)}
    assert tree.total(2, [one, other])[0].tolist() == [2, 2]
    assert one[0, 1][0].tolist() == other[1, 2][0].tolist() == [1, 1]


def test_a_block_without_an_argument_has_no_result_and_adds_nothing():
    assert tree.each_block(lambda a, b: a + b, [True, False], (1, None, 3), 10) == (11, None, 13)
    assert tree.total(2, [tree.summed(lambda a: (a,), 2, 0, [True], (None, None))]) is None
