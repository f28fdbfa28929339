"""Named curves over one axis."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mflib.plots.style import COLORS, GREY

_MARKERS = "osD^vP"


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
