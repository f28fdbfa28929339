"""Matrices with their values written in and their gaps hatched."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mflib import dense
from mflib.plots.style import BLUE, GREY, INK, PALE, SKY, VERMILION

_UNSIGNED = LinearSegmentedColormap.from_list("unsigned", ["#F1F6FA", SKY, BLUE])
_SIGNED = LinearSegmentedColormap.from_list("signed", [VERMILION, "#F7F7F7", BLUE])
_CELL = (0.62, 0.4)  # width and height of a matrix entry, inches


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
