"""How ratings were split, and what one prediction of a model is made of."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mflib.plots.style import BLUE, GREY, INK, SKY, VERMILION


def held_out(splits: Mapping, n_users: int = 40) -> Figure:
    """Which ratings each split holds out, in the order of time, a panel for each: a row of dots is a user.

    The place in that order, and not the time itself: many people give all their ratings within an hour.

    Parameters
    ----------
    splits : mapping of str to Split
        Title → a split of ratings with times, all of the same ratings.
    n_users : int
        So many are shown, at equal steps among all in the order of their first ratings.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from mflib import Ratings
    >>> from mflib.splits import leave_last
    >>> ratings = Ratings.from_arrays([0, 0, 1, 1], [0, 1, 0, 1], [5, 3, 4, 2], times=[1, 2, 3, 4])
    >>> len(held_out({"last": leave_last(ratings)}).axes)
    1
    """
    figure, row = plt.subplots(1, len(splits), figsize=(8, 3.4), sharex=True, sharey=True, squeeze=False)
    for axes, (title, parts) in zip(row[0], splits.items(), strict=True):
        x, y, is_held_out = _placed(parts, n_users)
        # all at once: of dots that lie over each other, neither kind hides the other
        axes.scatter(x, y, s=5, c=np.where(is_held_out, VERMILION, SKY), linewidths=0)
        axes.set(xlabel="rating, by time", title=title, xticks=[], yticks=[])
        axes.grid(False)
    row[0, 0].set_ylabel("user, by first rating")
    for color, label in ((SKY, "training"), (VERMILION, "held out")):
        row[0, 0].scatter([], [], s=5, c=color, linewidths=0, label=label)
    figure.legend(*row[0, 0].get_legend_handles_labels(), loc="outside right upper", markerscale=3)
    return figure


def _placed(parts, n_users):
    """Of each rating of the users to be drawn: its place in the order of time, its row, whether held out."""
    users, items, times = (
        np.concatenate([getattr(part, of) for part in parts[:2]]) for of in ("users", "items", "times")
    )
    order = np.lexsort((items, users, times))  # the same for every split of the same ratings
    present, first = np.unique(users[order], return_index=True)
    present = present[np.argsort(first)]
    chosen = present[np.linspace(0, len(present) - 1, min(n_users, len(present))).astype(int)]
    row = np.full(parts[0].shape[0], -1)
    row[chosen] = np.arange(len(chosen))
    order = order[row[users[order]] >= 0]
    return np.arange(len(order)), row[users[order]], order >= parts[0].n_ratings


def parts_of_sum(
    parts: Mapping[str, float], total: str, xlabel: str, level: tuple[str, float] | None = None
) -> Figure:
    """How a sum comes about: from the first part on, each other part is a step to the right or the left.

    Parameters
    ----------
    parts : mapping of str to float
        At least one; the first is where the steps begin.
    total : str
        Name of the sum.
    xlabel : str
    level : tuple of (str, float), optional
        Name and place of a line to compare with.

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = parts_of_sum({"mean": 3.5, "user": 0.25, "item": -0.5}, "predicted", "points")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3.50', '+0.25', '−0.50', '3.25']
    """
    names, sizes = [*parts, total], [*parts.values()]
    ends = np.cumsum(sizes)
    figure, axes = plt.subplots(figsize=(7, 0.45 * len(names) + 1))
    for row, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        if row == 0:
            _point(axes, end, row)
            continue
        axes.barh(row, size, left=end - size, color=BLUE if size > 0 else VERMILION)
        _number(axes, f"{size:+.2f}", max(end, end - size), row)
    _point(axes, ends[-1], len(sizes))
    for row, end in enumerate(ends):
        axes.plot([end, end], [row, row + 1], color=GREY, linewidth=1, zorder=1)
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=xlabel)
    axes.use_sticky_edges = False  # of bars, which else leave no room beside them
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    if level is not None:
        axes.axvline(level[1], color=INK, linewidth=1.2, linestyle="--", label=level[0])
        figure.legend(loc="outside right upper")
    return figure


def _point(axes, x, y):
    axes.plot(x, y, "o", color=INK, markersize=7)
    _number(axes, f"{x:.2f}", x, y)


def _number(axes, text, x, y):
    """A number to the right of a mark."""
    axes.annotate(text.replace("-", "−"), (x, y), (8, 0), textcoords="offset points", va="center", fontsize=9)
