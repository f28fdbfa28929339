"""Pictures of the lecture: matrices with their gaps, curves, tangents. Every function returns its Figure.

Never imported by `mflib` itself: computing needs no matplotlib. A notebook calls `use_style()` once and ends
the cell of a picture with `plt.show()`.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from mflib import dense

# Okabe and Ito's colours: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
COLORS = (BLUE, VERMILION, GREEN, ORANGE, PINK, SKY)
INK, GREY, PALE = "#222222", "#767676", "#F2F2F2"
_MARKERS = "osD^vP"
_UNSIGNED = LinearSegmentedColormap.from_list("unsigned", ["#F1F6FA", SKY, BLUE])
_SIGNED = LinearSegmentedColormap.from_list("signed", [VERMILION, "#F7F7F7", BLUE])

STYLE = {
    "figure.figsize": (7, 3.6),
    "figure.dpi": 90,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "text.color": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}
_CELL = (0.62, 0.4)  # width and height of a matrix entry, inches


def use_style() -> None:
    """Give every picture drawn from now on the look of mflib."""
    plt.rcParams.update(STYLE)


class Panel(NamedTuple):
    """A matrix to draw.

    Attributes
    ----------
    title : str
    A : ndarray, shape (n_rows, n_columns)
        Numbers; NaN or None is a gap.
    R : ndarray of 0 and 1, shape of A, optional
        Mask: places where it is 0 are hatched, and what stands there is written in grey.
    rows, columns : sequence of str
        Names along the two axes; none are drawn where empty.
    outline : sequence of (row, column)
        What to frame; None stands for all, so (2, None) is row 2.
    """

    title: str
    A: np.ndarray
    R: np.ndarray | None = None
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    outline: Sequence[tuple[int | None, int | None]] = ()


def matrix(A, R=None, *, title="", rows=(), columns=(), outline=()) -> Figure:
    """One matrix, its values written in and its unobserved places hatched.

    Parameters
    ----------
    A, R, title, rows, columns, outline
        As in `Panel`.

    Returns
    -------
    Figure

    Examples
    --------
    >>> [text.get_text() for text in matrix(np.array([[5.0, np.nan]])).axes[0].texts]
    ['5']
    """
    return matrices([Panel(title, A, R, rows, columns, outline)])


def matrices(panels: Sequence[Panel], between: Sequence[str] = ()) -> Figure:
    """Matrices side by side, each with its own colour scale: blue is positive, vermilion negative.

    Parameters
    ----------
    panels : sequence of Panel
    between : sequence of str
        Signs between neighbours, such as ("·", "=").

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Where `between` is given and is not one shorter than `panels`.

    Examples
    --------
    >>> one, two = np.ones((2, 2)), 2 * np.ones((2, 2))
    >>> len(matrices([Panel("a", one), Panel("b", one), Panel("a + b", two)], ("+", "=")).axes)
    3
    """
    if between and len(between) != len(panels) - 1:
        raise ValueError(f"{len(panels)} panels need {len(panels) - 1} signs between, got {len(between)}")
    sizes = [np.multiply(np.shape(panel.A)[::-1], _CELL) for panel in panels]
    margins = [0.15 + 0.085 * max(map(len, panel.rows), default=0) for panel in panels]
    gap, above, below = 0.3 + 0.25 * bool(between), 0.65, 0.1
    height = max(size[1] for size in sizes)
    total = np.array(
        [sum(margins) + sum(size[0] for size in sizes) + gap * len(panels), above + height + below]
    )
    figure = plt.figure(figsize=total, layout="none")
    left = 0.0
    for p, (panel, size, margin) in enumerate(zip(panels, sizes, margins, strict=True)):
        left += margin
        corner = (left, below + (height - size[1]) / 2)
        _draw(figure.add_axes((*(corner / total), *(size / total))), panel)
        left += size[0]
        if p < len(between):
            spot = np.array([left + gap / 2, below + height / 2]) / total
            figure.text(*spot, between[p], fontsize=16, ha="center", va="center")
        left += gap
    return figure


def _draw(axes, panel: Panel) -> None:
    """A panel: coloured squares, hatched gaps, the numbers, the frames."""
    there = dense.observed(panel.A) == 1
    seen = there if panel.R is None else there & (np.asarray(panel.R) == 1)
    values = np.where(there, panel.A, 0).astype(float)
    limit = np.max(np.abs(values[seen]), initial=0) or 1.0
    signed = np.any(values[seen] < 0)
    for (i, j), value in np.ndenumerate(values):
        color, ink = PALE, GREY
        if seen[i, j]:
            color = _SIGNED(0.5 + 0.5 * value / limit) if signed else _UNSIGNED(0.9 * value / limit)
            ink = INK if np.dot(color[:3], (0.30, 0.59, 0.11)) > 0.5 else "white"
        hatch = None if seen[i, j] else "////"
        axes.add_patch(
            Rectangle((j, i), 1, 1, facecolor=color, hatch=hatch, edgecolor="#CFCFCF", linewidth=0)
        )
        axes.add_patch(Rectangle((j, i), 1, 1, fill=False, edgecolor="white", linewidth=2))
        if there[i, j]:
            plate = None if seen[i, j] else {"facecolor": PALE, "edgecolor": "none", "pad": 1}
            axes.text(
                j + 0.5, i + 0.53, _text(value), color=ink, fontsize=9, ha="center", va="center", bbox=plate
            )
    n, m = values.shape
    for i, j in panel.outline:
        (y, h), (x, w) = (0, n) if i is None else (i, 1), (0, m) if j is None else (j, 1)
        axes.add_patch(
            Rectangle((x, y), w, h, fill=False, edgecolor=INK, linewidth=2, clip_on=False, zorder=3)
        )
    axes.set(xlim=(0, m), ylim=(n, 0), title=panel.title)
    axes.set_xticks(np.arange(len(panel.columns)) + 0.5, panel.columns)
    axes.set_yticks(np.arange(len(panel.rows)) + 0.5, panel.rows)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False, labelsize=9)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _text(value: float) -> str:
    """Three significant digits, a true minus sign, no minus zero."""
    return f"{value + 0.0:.3g}".replace("-", "−")


def curves(
    x,
    series: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    dashed: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Named curves over one axis, each with its own colour and marker; dashed ones are what theory says.

    Parameters
    ----------
    x : array_like, shape (n,)
    series : mapping of str to array_like, shape (n,)
        NaN leaves a point out.
    xlabel, ylabel : str
        With units.
    title : str
    log : {"", "x", "y", "xy"}
        The logarithmic axes.
    dashed : mapping of str to array_like, shape (n,), optional
        Drawn without markers; a name that is in `series` too takes the colour of that curve.

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = curves([1, 2, 3], {"E": [3.0, 2.0, 1.5]}, xlabel="iteration", ylabel="E")
    >>> figure.axes[0].get_xlabel()
    'iteration'
    """
    figure, axes = plt.subplots()
    colors = {}
    for (name, y), color, marker in zip(series.items(), COLORS, _MARKERS, strict=False):
        axes.plot(x, y, color=color, marker=marker if len(x) <= 60 else None, label=name)
        colors[name] = color
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    if "x" in log and len(x) <= 8:  # few enough to name each
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.set_xticks([], minor=True)
    limits = axes.get_ylim()  # those of the curves, however far theory runs
    for name, y in (dashed or {}).items():
        label = None if name in colors else name
        color = colors.get(name, GREY)
        axes.plot(x, y, "--", color=color, linewidth=1.2, alpha=0.8, label=label, zorder=1)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, ylim=limits)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        figure.legend(loc="outside right upper")
    return figure


def tangent(
    f: Callable[[float], float], w: float, slope: float, steps: Sequence[float], xlabel: str
) -> Figure:
    """A function of one number, its tangent at w, and the chords from w − h to w + h.

    Parameters
    ----------
    f : callable
        Of a float.
    w : float
        Where the tangent touches.
    slope : float
        Its slope.
    steps : sequence of float
        The h of each chord.
    xlabel : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> tangent(lambda w: w * w, 1.0, 2.0, [0.5], "w").axes[0].get_xlabel()
    'w'
    """
    figure, axes = plt.subplots()
    reach = 1.25 * max(steps)
    x = np.linspace(w - reach, w + reach, 101)
    y = [float(f(at)) for at in x]
    axes.plot(x, y, color=BLUE, label="E")
    axes.plot(x, f(w) + slope * (x - w), color=INK, linewidth=1.2, label="tangent")
    for h, color in zip(steps, (VERMILION, ORANGE, GREEN, PINK), strict=False):
        ends = np.array([w - h, w + h])
        axes.plot(ends, [float(f(end)) for end in ends], "o--", color=color, label=f"chord, h = {h:g}")
    axes.plot([w], [f(w)], "o", color=INK, markersize=7)
    axes.set(xlabel=xlabel, ylabel="E, rating points squared", title="Every chord is parallel to the tangent")
    figure.legend(loc="outside right upper")
    return figure


def walks(
    f: Callable[[float], float],
    paths: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str = "E (rating points²)",
) -> Figure:
    """The steps of several descents on the graph of a function of one number, a panel for each.

    Parameters
    ----------
    f : callable
        Of a float.
    paths : mapping of str to ndarray
        Title → the places visited, the start first.
    xlabel, ylabel : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> len(walks(lambda w: w * w, {"slow": np.array([2.0, 1.0]), "fast": np.array([2.0, 0.0])}, "w").axes)
    2
    """
    places = np.concatenate([*paths.values()])
    margin = 0.08 * np.ptp(places)
    x = np.linspace(places.min() - margin, places.max() + margin, 201)
    graph = [float(f(at)) for at in x]
    figure, row = plt.subplots(1, len(paths), figsize=(8, 2.8), sharey=True, squeeze=False)
    for axes, (title, path) in zip(row[0], paths.items(), strict=True):
        axes.plot(x, graph, color=GREY, linewidth=1.2)
        heights = [float(f(at)) for at in path]
        axes.plot(path, heights, "o-", color=BLUE, linewidth=1, label="steps")
        axes.plot(path[0], heights[0], "s", color=VERMILION, markersize=8, label="start")
        axes.set(xlabel=xlabel, ylabel=ylabel if axes is row[0, 0] else "", title=title)
    figure.legend(*row[0, 0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def learning_rates(rates: np.ndarray, losses: np.ndarray, start: float, limit: float) -> Figure:
    """The loss that descents end with over their learning rates, and the limit that theory sets.

    Parameters
    ----------
    rates, losses : ndarray, shape (n,)
        A NaN is a descent that diverged; it is drawn on top.
    start : float
        The loss that all of them began with.
    limit : float
        Of the learning rate.

    Returns
    -------
    Figure

    Examples
    --------
    >>> learning_rates(np.array([1.0, 9.0]), np.array([0.1, np.nan]), 1.0, 5.0).axes[0].get_xlabel()
    'learning rate η'
    """
    gone = np.isnan(losses)
    figure, axes = plt.subplots()
    axes.plot(rates[~gone], losses[~gone], "o", color=BLUE, label="loss at the end")
    axes.plot(
        rates[gone], np.full(np.sum(gone), 10 * start), "X", color=VERMILION, markersize=7, label="diverged"
    )
    axes.axhline(start, color=GREY, linewidth=1.2, linestyle="--", label="loss at the start")
    axes.axvline(limit, color=INK, linewidth=1.2, linestyle=":", label="2 / λmax")
    axes.set(xlabel="learning rate η", ylabel="E (rating points²)", xscale="log", yscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside right upper")
    return figure


def agreement(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], xlabel: str, ylabel: str) -> Figure:
    """Two arrays against each other, entry by entry, a panel for each pair: where they agree is the line.

    Parameters
    ----------
    pairs : mapping of str to tuple of ndarray
        Title → (across, upwards), of one shape.
    xlabel, ylabel : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> agreement({"same": (np.arange(3), np.arange(3))}, "truth", "found").axes[0].get_title()
    'same'
    """
    figure, row = plt.subplots(1, len(pairs), figsize=(3.6 * len(pairs), 3.6), squeeze=False)
    for axes, (title, (across, upwards)) in zip(row[0], pairs.items(), strict=True):
        ends = [min(np.min(across), np.min(upwards)), max(np.max(across), np.max(upwards))]
        axes.plot(ends, ends, color=GREY, linewidth=1.2)
        axes.plot(np.ravel(across), np.ravel(upwards), "o", color=BLUE, markersize=3, alpha=0.5)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title, aspect="equal")
    return figure


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
