"""The benchmark of models scores as it says: folds, clipping, and what is read from a curve."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mflib import Ratings, datasets

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
import curves
import models_contenders
import models_report
from models_grid import GRIDS


def curve_of(*points):
    return [{"step": step, "seconds": s, "cpu_seconds": s, "rmse": rmse} for step, s, rmse in points]


def test_folds_test_each_rating_once_and_repeat_with_the_seed():
    ratings = datasets.planted(30, 20, 203, n_factors=2, seed=3).ratings
    splits = list(curves.folds(ratings, 5, seed=1))
    rows = lambda part: set(zip(part.users.tolist(), part.items.tolist(), strict=True))  # noqa: E731
    assert [split.test.n_ratings for split in splits] == [41, 41, 41, 40, 40]
    for split in splits:
        assert not rows(split.train) & rows(split.test)
        assert rows(split.train) | rows(split.test) == rows(ratings)
        assert split.train.shape == split.test.shape == ratings.shape
    assert set.union(*(rows(split.test) for split in splits)) == rows(ratings)
    assert [rows(split.test) for split in curves.folds(ratings, 5, seed=1)] == [rows(s.test) for s in splits]
    assert rows(next(curves.folds(ratings, 5, seed=2)).test) != rows(splits[0].test)


def test_predictions_are_clipped_to_the_range_of_the_ratings():
    ratings = Ratings.from_arrays([0, 0, 1, 1], [0, 1, 0, 1], [1.0, 5.0, 2.0, 4.0])
    split = curves.split(ratings.subset([2, 3]), ratings.subset([0, 1]))
    assert (split.low, split.high) == (1, 5)
    assert split.rmse(np.array([-7.0, 99.0])) == 0
    assert split.rmse(np.array([-7.0, 3.0])) == pytest.approx(2**0.5)


def test_time_to_an_rmse_is_read_along_the_line_between_two_points():
    curve = curve_of((1, 2.0, 1.0), (2, 4.0, 0.8), (3, 6.0, 0.9), (4, 8.0, 0.6))
    assert curves.seconds_to(curve, 1.0) == 2
    assert curves.seconds_to(curve, 1.5) == 2  # there is no earlier point to read from
    assert curves.seconds_to(curve, 0.9) == pytest.approx(3)
    assert curves.seconds_to(curve, 0.8) == pytest.approx(4)
    assert curves.seconds_to(curve, 0.7) == pytest.approx(6 + 2 * 2 / 3)
    assert curves.seconds_to(curve, 0.59) is None
    assert curves.best(curve)["step"] == 4
    other = curve_of((1, 3.0, 0.85))
    assert curves.least_seconds_to([curve, other], 0.85) == 3
    assert curves.least_seconds_to([curve, other], 0.5) is None


def test_folds_are_averaged_step_by_step():
    found = curves.over_folds(
        [
            curve_of((1, 1.0, 0.9), (5, 2.0, 0.8)),
            curve_of((1, 9.0, 0.7), (5, 4.0, 0.6)),
            curve_of((1, 2.0, 0.8)),
        ]
    )
    assert [(point["step"], point["seconds"]) for point in found] == [(1, 2.0), (5, 3.0)]
    assert [point["rmse"] for point in found] == pytest.approx([0.8, 0.7])


def turn(name, setting, *points, size=models_report.REAL):
    return {"size": size, "name": name, "fold": 0, "load": 0, "setting": setting, "curve": curve_of(*points)}


def test_goals_compare_with_the_best_and_the_fastest_peer():
    turns = [
        turn("mflib", {"k": 1}, (1, 1.0, 0.88), (2, 2.0, 0.86)),
        turn("mflib", {"k": 2}, (1, 4.0, 0.87), (2, 8.0, 0.84)),
        turn("cmfrec", {"k": 1}, (1, 5.0, 0.89), (2, 10.0, 0.85)),
        turn("LIBMF", {"k": 1}, (1, 4.0, 0.86)),
        turn("Surprise SVD", {"k": 1}, (1, 90.0, 0.85)),
        turn("Surprise SVD", {"k": 2}, (1, 60.0, 0.91)),
    ]
    measured = {"turns": turns, "lecture": {"speed_up": 12.5}}
    assert models_report.fastest_peer(measured, models_report.REAL) == "LIBMF"
    assert models_report.chosen(measured, models_report.REAL, "Surprise SVD") == {"k": 1}
    values = [(value, met) for _, _, value, met in models_report.goals(measured)]
    to_085 = 4 + 4 * 2 / 3  # of the second setting, between its two points
    assert values[:2] == [(0.84, True), (pytest.approx(-0.01), True)]
    assert values[2:] == [(0.5, True), (pytest.approx(to_085 / 90), True), (None, None), (12.5, False)]


def test_a_peer_that_is_never_reached_is_a_goal_not_met():
    turns = [turn("mflib", {}, (1, 1.0, 0.9)), turn("LIBMF", {}, (1, 1.0, 0.85))]
    met = {what: (value, met) for what, _, value, met in models_report.goals({"turns": turns})}
    assert met[f"time to the RMSE of the fastest peer (LIBMF), over its time, {models_report.REAL}"] == (
        np.inf,
        False,
    )


def test_no_peer_has_fewer_settings_than_mflib_to_choose_from():
    for size, grid in GRIDS.items():
        for peer in models_report.PEERS:
            if (size, peer) not in {("2.5e7", "cmfrec"), ("2.5e7", "Surprise SVD")}:
                assert len(grid[peer]) >= len(grid["mflib"]), f"{peer} on {size}"


def test_where_mflib_learns_no_biases_cmfrec_need_not_either():
    for grid in GRIDS.values():
        plain = any(not entry.get("biases", True) for entry in grid["mflib"])
        assert all(entry.get("user_bias", True) != plain for entry in grid["cmfrec"])


@pytest.mark.parametrize("biased", [False, True])
def test_cmfrec_predicts_with_and_without_biases_and_the_mean_for_ids_without_ratings(biased):
    train = Ratings.from_arrays([0, 1], [0, 0], [1.0, 2.0], shape=(3, 2))
    test = Ratings.from_arrays([0, 1, 2], [0, 1, 0], [1.0, 1.0, 1.0], shape=(3, 2))
    model = SimpleNamespace(
        glob_mean_=3.0,
        A_=np.array([[1.0, 2.0], [1.0, 1.0], [9.0, 9.0]]),
        B_=np.array([[0.5, 0.25], [9.0, 9.0]]),
        user_bias_=np.array([0.125, 0.0, 9.0]) if biased else np.empty(0),
        item_bias_=np.array([0.25, 9.0]) if biased else np.empty(0),
    )
    found = models_contenders._cmfrec_predicted(model, train, test)
    assert found.tolist() == ([4.375, 3.0, 3.25] if biased else [4.0, 3.0, 3.0])
