"""One number over two parameters."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mflib.plots.style import GREY, INK, PALE


def heat_map(
    values, rows: Sequence[str], columns: Sequence[str], *, xlabel: str, ylabel: str, label: str
) -> Figure:
    """A coloured square for each pair of settings, its number written in where there is room.

    Parameters
    ----------
    values : array_like, shape (n_rows, n_columns)
        NaN where there is none: hatched.
    rows, columns : sequence of str
        The settings.
    xlabel, ylabel : str
        What is set along the columns and along the rows.
    label : str
        What the numbers are.

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = heat_map([[0.5, 0.25]], ["2"], ["1", "10"], xlabel="rate", ylabel="k", label="RMSE")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.5', '0.25']
    """
    values = np.asarray(values, dtype=float)
    n, m = values.shape
    figure, axes = plt.subplots(figsize=(min(12, 2.6 + 0.75 * m), min(9, 1.4 + 0.45 * n)))
    axes.set_facecolor(PALE)
    axes.fill_between(
        [-0.5, m - 0.5], -0.5, n - 0.5, facecolor="none", edgecolor="#CFCFCF", hatch="////", lw=0, zorder=-1
    )
    picture = axes.imshow(np.ma.masked_invalid(values), cmap="cividis", aspect="auto")
    if n * m <= 150:
        middle = np.mean(picture.get_clim())
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if value < middle else INK
                axes.text(j, i, f"{value:.4g}".replace("-", "−"), color=color, ha="center", va="center")
    turned = 45 if max(map(len, columns)) > 6 else 0
    axes.set_xticks(range(m), columns, rotation=turned, parse_math=False)  # a dollar sign is one
    axes.set_yticks(range(n), rows, parse_math=False)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, label=label).outline.set_edgecolor(GREY)
    return figure
