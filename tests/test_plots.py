"""Pictures show what they are given; how they look is seen in the notebooks."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from mflib import Ratings, datasets, plots, splits


@pytest.fixture(autouse=True)
def clean_canvas():
    with mpl.rc_context({"backend": "agg"}):
        plots.use_style()
        yield
        plt.close("all")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def hatched(axes):
    return sum(patch.get_hatch() is not None for patch in axes.patches)


def test_importing_mflib_imports_no_matplotlib():
    code = "import sys, mflib; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_matrix_writes_each_rating_and_hatches_each_gap():
    Y, R, users, items = datasets.toy()
    axes = plots.matrix(Y, R, title="Y", rows=users, columns=items).axes[0]
    assert texts(axes) == [f"{y:g}" for y in Y[R == 1]]
    assert hatched(axes) == np.sum(R == 0)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(users)


def test_a_number_in_an_unobserved_place_is_hatched_and_still_written():
    axes = plots.matrix(np.array([[1.0, 1e9]]), np.array([[1, 0]])).axes[0]
    assert (texts(axes), hatched(axes)) == (["1", "1e+09"], 1)


def test_fractions_and_none_are_drawn_like_floats_and_nan():
    from fractions import Fraction

    axes = plots.matrix(np.array([[Fraction(-1, 2), None]], dtype=object)).axes[0]
    assert (texts(axes), hatched(axes)) == (["−0.5"], 1)


def test_signs_stand_between_panels():
    A = np.eye(2)
    figure = plots.matrices([plots.Panel(name, A) for name in "abc"], ("·", "="))
    assert [text.get_text() for text in figure.texts] == ["·", "="]
    with pytest.raises(ValueError, match="3 panels need 2 signs between, got 1"):
        plots.matrices([plots.Panel(name, A) for name in "abc"], ("·",))


def test_theory_has_the_colour_of_its_curve_and_does_not_stretch_the_axis():
    x = np.array([1e-6, 1.0])
    series, theory = {"a": x, "b": x**2}, {"a": x, "b": x**20}
    figure = plots.curves(x, series, xlabel="h", ylabel="error", log="xy", dashed=theory)
    axes = figure.axes[0]
    assert [line.get_color() for line in axes.lines] == [plots.BLUE, plots.VERMILION] * 2
    assert axes.get_ylim()[0] > 1e-13
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_a_chord_joins_two_points_of_the_function():
    figure = plots.tangent(lambda w: w**2, 1.0, 2.0, [0.5], "w")
    chord = next(line for line in figure.axes[0].lines if line.get_label() == "chord, h = 0.5")
    np.testing.assert_allclose(chord.get_ydata(), [0.25, 2.25])


def test_times_are_written_beside_their_bars_and_one_is_marked():
    axes = plots.times({"loop": 190_234.0, "kernel": 8.214}, "ns", marked="kernel").axes[0]
    assert texts(axes) == ["190,000", "8.21"]
    assert [mpl.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches] == [
        plots.BLUE,
        plots.VERMILION,
    ]
    assert axes.get_xscale() == "log"


def test_each_bar_of_instructions_is_as_long_as_all_its_kinds():
    counts = {"plain": {"one": 20, "several": 1}, "kernel": {"one": 2, "several": 23}}
    axes = plots.instructions(counts).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == [20, 2, 21, 25]  # the first kind of each loop, then the second


def test_a_roof_rises_with_the_bandwidth_up_to_the_peak():
    points = {"kernel": (1.0, 2e10), "product": (64.0, 9e10)}
    lines = plots.roofline({"memory": 3e10}, 1e11, points).axes[0].lines
    x, roof = lines[0].get_data()
    np.testing.assert_allclose(roof, np.minimum(30 * x, 100))
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines[1:]] == [(1, 20), (64, 90)]


def test_every_picture_is_a_figure_that_can_be_saved(tmp_path):
    x = np.arange(1.0, 4.0)
    for figure in (
        plots.matrix(np.eye(2)),
        plots.curves(x, {"E": x}, xlabel="t", ylabel="E"),
        plots.tangent(lambda w: w**2, 0.0, 0.0, [1.0], "w"),
    ):
        assert isinstance(figure, Figure)
        figure.savefig(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_each_split_shows_its_own_held_out_ratings_in_the_order_of_time():
    pairs = [0, 0, 1, 1], [0, 1, 0, 1]
    ratings = Ratings.from_arrays(*pairs, [5, 3, 4, 2], times=[30, 40, 10, 20])
    last, later = splits.leave_last(ratings), splits.chronological(ratings, at=30)
    panels = plots.held_out({"last": last, "later": later}).axes
    dots = [axes.collections[0] for axes in panels]
    red = [np.all(one.get_facecolor() == mpl.colors.to_rgba(plots.VERMILION), axis=1) for one in dots]
    held_out = [one.get_offsets()[which].tolist() for one, which in zip(dots, red, strict=True)]
    assert held_out == [[[1, 0], [3, 1]], [[2, 1], [3, 1]]]  # user 1 was first, so stands in row 0
    assert [len(one.get_offsets()) for one in dots] == [4, 4]


def test_a_panel_of_held_out_ratings_shows_no_more_users_than_asked():
    ratings = Ratings.from_arrays([0, 0, 1, 1, 2, 2], [0, 1] * 3, [1.0] * 6, times=[1, 2, 3, 4, 5, 6])
    axes = plots.held_out({"last": splits.leave_last(ratings)}, n_users=2).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[0, 0], [1, 0], [2, 1], [3, 1]]


def test_the_steps_of_a_sum_go_from_its_first_part_to_the_sum():
    figure = plots.parts_of_sum({"mean": 3.5, "user": 0.25, "item": -0.5}, "sum", "points", ("rated", 4.0))
    (axes,) = figure.axes
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert ends == [(3.5, 3.75), (3.75, 3.25)]
    assert texts(axes) == ["3.50", "+0.25", "−0.50", "3.25"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["mean", "user", "item", "sum"]
    assert axes.lines[-1].get_xdata() == [4.0, 4.0]
