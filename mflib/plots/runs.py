"""Histories of recorded runs."""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import cycle, product

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mflib.plots.style import COLORS

_STYLES = ("-", "--", ":", "-.")
_NAMED = 12  # curves that the legend can hold


def histories(panels: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> Figure:
    """The histories of runs, a panel for each metric: a line is the mean over seeds, its band the spread.

    Parameters
    ----------
    panels : mapping of str to (mapping of str to sequence of ndarray, shape (n_steps, 2))
        Metric → name of the setting → one array for each seed, its columns step and value, the steps
        rising. The mean is taken at the steps that all seeds have. At least one metric.

    Returns
    -------
    Figure

    Examples
    --------
    >>> seeds = [np.array([[0, 4.0], [1, 2.0]]), np.array([[0, 2.0], [1, 2.0]])]
    >>> figure = histories({"loss": {"plain": seeds}})
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [3.0, 2.0]
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    looks = dict(zip(names, cycle(product(_STYLES, COLORS)), strict=False))
    columns, rows = min(2, len(panels)), (len(panels) + 1) // 2
    figure, grid = plt.subplots(rows, columns, figsize=(5 * columns, 3.4 * rows), squeeze=False)
    lines = {}
    for axes, (metric, panel) in zip(grid.flat, panels.items(), strict=False):
        lines |= {name: _draw(axes, seeds, *looks[name]) for name, seeds in panel.items()}
        values = np.concatenate([seed[:, 1] for seeds in panel.values() for seed in seeds])
        wide = 0 < 10 * values.min() < values.max()
        axes.set(xlabel="iteration", yscale="log" if wide else "linear")
        axes.set_title(metric, parse_math=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    named = names[:_NAMED]
    legend = figure.legend([lines[name] for name in named], named, loc="outside lower center", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar sign in the name of a run is a dollar sign
    return figure


def _draw(axes, seeds: Sequence[np.ndarray], style: str, color: str):
    """Mean and band of one setting."""
    steps = reduce(np.intersect1d, [seed[:, 0] for seed in seeds])
    values = np.array([seed[np.isin(seed[:, 0], steps), 1] for seed in seeds])
    mean = values.mean(axis=0)
    if len(seeds) > 1:
        spread = values.std(axis=0, ddof=1)
        axes.fill_between(steps, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    (line,) = axes.plot(steps, mean, style, color=color)
    return line
