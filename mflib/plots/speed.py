"""What evaluations cost: times side by side, instructions of compiled loops, the roofs of the machine."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mflib.plots.style import BLUE, COLORS, GREY, INK


def times(values: Mapping[str, float], xlabel: str, title: str = "", marked: str = "") -> Figure:
    """A bar for each time on a logarithmic axis, the number beside it.

    Parameters
    ----------
    values : mapping of str to float
        All above 0.
    xlabel : str
        With the unit.
    title : str
    marked : str
        The name of the bar that is set apart from the others.

    Returns
    -------
    Figure

    Examples
    --------
    >>> [text.get_text() for text in times({"loop": 1234.0, "kernel": 8.5}, "ns").axes[0].texts]
    ['1,230', '8.5']
    """
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(values) + 1.1))
    colors = [COLORS[1] if name == marked else BLUE for name in values]
    found = axes.barh([*values], [*values.values()], color=colors)
    axes.bar_label(found, [_three_digits(value) for value in values.values()], padding=3)
    axes.set_xscale("log")
    lowest, highest = min(values.values()), max(values.values())
    axes.set_xlim(lowest / 3, highest * 4)  # a bar has no zero to start from here; room for the numbers
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set(xlabel=xlabel, title=title)
    return figure


def instructions(counts: Mapping[str, Mapping[str, int]], title: str = "") -> Figure:
    """The instructions of each loop in one bar, cut by how many numbers they take at once.

    Parameters
    ----------
    counts : mapping of str to mapping of str to int
        Loop → kind of instruction → how many; the kinds in the order of the first loop.
    title : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = instructions({"plain": {"one": 20, "several": 0}, "kernel": {"one": 2, "several": 23}})
    >>> [text.get_text() for text in figure.legends[0].texts]
    ['one', 'several']
    """
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(counts) + 1.1))
    start = np.zeros(len(counts))
    kinds = [*next(iter(counts.values()))]
    for kind, color in zip(kinds, (GREY, *COLORS), strict=False):
        length = np.array([found.get(kind, 0) for found in counts.values()])
        axes.barh([*counts], length, left=start, color=color, label=kind)
        start += length
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set(xlabel="instructions that multiply or add", title=title)
    figure.legend(loc="outside right upper")
    return figure


def roofline(
    bandwidths: Mapping[str, float], peak: float, points: Mapping[str, tuple[float, float]], title: str = ""
) -> Figure:
    """What the machine allows over the operations done with each byte, and what was reached.

    Parameters
    ----------
    bandwidths : mapping of str to float
        Where the bytes come from → bytes a second: each is a roof that rises with the intensity.
    peak : float
        Operations a second, the flat roof.
    points : mapping of str to tuple of float
        Name → (operations a byte, operations a second).
    title : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> roofline({"memory": 3e10}, 1e11, {"kernel": (0.9, 2e10)}).axes[0].get_ylabel()
    'billions of operations a second'
    """
    figure, axes = plt.subplots(figsize=(7, 4.2))
    places = [place for place, _ in points.values()]
    x = np.geomspace(min(places) / 8, 8 * max(places), 200)
    for (name, bandwidth), style in zip(bandwidths.items(), ("-", "--", ":"), strict=False):
        roof = np.minimum(bandwidth * x, peak) / 1e9
        axes.plot(x, roof, style, color=INK, linewidth=1.4, label=f"{name}, {bandwidth / 1e9:.3g} GB/s")
    for (name, (place, reached)), color, marker in zip(points.items(), COLORS, "osD^vP", strict=False):
        axes.plot(place, reached / 1e9, marker, color=color, markersize=8, linestyle="none", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlabel="operations a byte", ylabel="billions of operations a second", title=title)
    figure.legend(loc="outside right upper")
    return figure


def _three_digits(value: float) -> str:
    """1234 as 1,230 and 0.01234 as 0.0123."""
    return f"{float(f'{value:.3g}'):,.10g}"
