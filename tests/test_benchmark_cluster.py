"""The model of an iteration on many machines, fitted to what is measured; a missed goal is said to be."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
import cluster_model as model
import cluster_report as report

from mflib import blocked, tree

TRUTH = {"α": 0.02, "β": 0.003, "γ": 1e-9, "ε": 1e-9, "δ": 2e-9}


def measured():
    """What workers would measure of which the model is exactly true."""
    found = {"k": 16, "seconds_a_byte": [1.0, TRUTH["δ"], 0.0], "cases": []}
    for size, n_ratings, n_items in (("1e6", 10**6, 4000), ("2.5e7", 25 * 10**6, 60_000)):
        for workers, n_blocks in ((2, 1), (2, 2), (2, 3), (2, 8), (2, 16), (1, 1), (8, 8)):
            case = {"size": size, "rule": "plain", "n_blocks": n_blocks, "n_ratings": n_ratings, "one": []}
            case |= {"workers": workers, "V_bytes": 64 * n_items, "moved": [5 * 64 * n_items]}
            case["two"] = [model.fitted(found, TRUTH, case)]
            found["cases"].append(case)
    return found


def test_the_fit_finds_the_coefficients_of_times_that_obey_the_model():
    found = measured()
    coefficients = model.fit(found)
    assert coefficients == pytest.approx(TRUTH, rel=1e-6)
    assert model.largest_error(found, coefficients) < 1e-6


def test_no_coefficient_is_negative_whatever_was_measured():
    found = measured()
    for case in found["cases"]:
        case["two"] = [1 / case["n_blocks"] ** 2]
    assert min(model.fit(found).values()) >= 0


@pytest.mark.parametrize(("n_workers", "expected"), [(1, 2), (2, 4), (4, 7), (5, 9), (16, 12), (1000, 27)])
def test_a_V_goes_over_links_as_often_as_the_tree_has_it(n_workers, expected):
    n_blocks = model.BLOCKS_A_WORKER * n_workers
    sums = [
        tree.summed(lambda one: (one,), n_blocks, first, [True], (1.0,) * model.BLOCKS_A_WORKER)
        for first in range(0, n_blocks, model.BLOCKS_A_WORKER)
    ]
    up = 0
    while len(sums) > blocked.BRANCHES:
        groups = [sums[place : place + blocked.BRANCHES] for place in range(0, len(sums), blocked.BRANCHES)]
        up += max(sum(map(len, others)) for _, *others in groups)
        sums = [tree.merged(n_blocks, group) for group in groups]
    down = 1 + (n_workers - 1).bit_length()
    assert model.hops(n_workers, model.Form()) == down + up + sum(map(len, sums)) == expected
    assert model.hops(n_workers, model.Form(in_parts=True)) == 2


def test_half_the_bytes_are_half_the_network_and_twice_the_workers_half_the_computing():
    truth = TRUTH | {"ε": 0}
    whole, half = (model.predicted(truth, "10⁹", 100, 16, model.Form(size=size)) for size in (4, 2))
    assert half.network == pytest.approx(whole.network / 2)
    assert model.predicted(truth, "10⁹", 200, 16, model.Form()).compute == pytest.approx(whole.compute / 2)
    of_blocks = model.predicted(TRUTH, "10⁹", 100, 16, model.Form()).compute - whole.compute
    assert of_blocks == pytest.approx(2 * TRUTH["ε"] * 4 * 16 * 10**6)
    assert whole.total == pytest.approx(whole.compute + whole.scheduler + whole.network)


def test_computing_is_what_takes_most_up_to_the_turning_point():
    turn = model.turning_point(TRUTH, "10¹¹", 16, model.Form())
    assert model.predicted(TRUTH, "10¹¹", turn - 1, 16, model.Form()).limit == "compute"
    assert model.predicted(TRUTH, "10¹¹", turn, 16, model.Form()).limit != "compute"


def test_a_goal_that_is_missed_is_said_to_be():
    found = measured()
    case = next(case for case in found["cases"] if (case["size"], case["n_blocks"]) == ("2.5e7", 8))
    case |= {"one": [0.1], "two": [0.2], "memory": [10**9], "blocks_bytes": 10**8}
    said = {
        what.split(",")[0]: met for what, _, _, met in report.goals(found) if what.endswith("plain, 2.5e7")
    }
    assert list(said.values()) == [False, True, False]
    assert report.report(found).count("NOT MET") == 2
