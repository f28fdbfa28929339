"""Rating data, and what a model makes of it."""

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mflib.plots.style import BLUE, INK, VERMILION


def ratings_overview(ratings) -> Figure:
    """The values of ratings, and how many each user gave and each item got, in falling order.

    Parameters
    ----------
    ratings : Ratings

    Returns
    -------
    Figure

    Examples
    --------
    >>> from mflib import Ratings
    >>> len(ratings_overview(Ratings.from_arrays([0, 1], [0, 0], [5.0, 4.0], shape=(2, 1))).axes)
    2
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    levels, heights = np.unique(ratings.values, return_counts=True)
    if len(levels) <= 20:  # stars, a bar for each
        left.bar(levels, heights, width=0.8 * np.min(np.diff(levels), initial=1), color=BLUE)
    else:
        left.hist(ratings.values, bins=30, color=BLUE)
    left.set(xlabel="rating (points)", ylabel="number of ratings", title="Values")
    for who, counts, line in (("user", ratings.user_counts, "-"), ("item", ratings.item_counts, "--")):
        counts = np.sort(counts[counts > 0])[::-1]
        right.plot(np.arange(1, len(counts) + 1), counts, line, label=f"of each {who}")
    right.set(xlabel="place in the order", ylabel="number of ratings", title="Activity and popularity")
    right.set(xscale="log", yscale="log")
    right.legend()
    return figure


def bars(values: Mapping[str, float], xlabel: str, level: tuple[str, float] | None = None) -> Figure:
    """A bar for each number, the number beside it; the lowest is set apart.

    Parameters
    ----------
    values : mapping of str to float
    xlabel : str
    level : tuple of (str, float), optional
        Name and place of a line to compare with.

    Returns
    -------
    Figure

    Examples
    --------
    >>> [text.get_text() for text in bars({"mean": 1.0, "model": 0.875}, "RMSE").axes[0].texts]
    ['1.000', '0.875']
    """
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(values) + 1))
    lowest = min(values.values())
    colors = [VERMILION if value == lowest else BLUE for value in values.values()]
    axes.bar_label(axes.barh([*values], [*values.values()], color=colors), fmt="%.3f", padding=3)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.set(xlabel=xlabel)
    if level is not None:
        axes.axvline(level[1], color=INK, linewidth=1.2, linestyle="--", label=level[0])
        figure.legend(loc="outside right upper")
    return figure


def item_map(
    x: np.ndarray, y: np.ndarray, counts: np.ndarray, names: Mapping[int, str], xlabel: str, ylabel: str
) -> Figure:
    """Items in the plane of two factors, coloured by their number of ratings, some with their name.

    Parameters
    ----------
    x, y, counts : ndarray, shape (n_items,)
    names : mapping of int to str
        Place in the arrays → the name to write there.
    xlabel, ylabel : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> xy = np.array([0.0, 1.0])
    >>> [text.get_text() for text in item_map(xy, xy, np.array([3, 9]), {1: "Brook"}, "x", "y").axes[0].texts]
    ['Brook']
    """
    figure, axes = plt.subplots(figsize=(7.5, 4.8))
    points = axes.scatter(x, y, c=counts, s=20, cmap="cividis_r", norm="log", linewidths=0)
    figure.colorbar(points, ax=axes, label="number of ratings")
    for place, item in enumerate(sorted(names, key=lambda item: y[item])):
        side = "left" if x[item] < (np.min(x) + np.max(x)) / 2 else "right"  # towards the middle
        axes.plot(x[item], y[item], "o", markerfacecolor="none", color=VERMILION, markersize=7, zorder=4)
        axes.annotate(
            textwrap.shorten(names[item], 32, placeholder=" …"),
            (x[item], y[item]),
            xytext=(6 if side == "left" else -6, (-9, 4)[place % 2]),  # below and above by turns
            textcoords="offset points",
            fontsize=8,
            ha=side,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure
