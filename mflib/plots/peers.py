"""What benchmarks/evaluation.py has measured: mflib beside its peers, C and the memory."""

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from mflib.plots.style import BLUE, GREEN, GREY, ORANGE, PINK, SKY, VERMILION

_COLORS = {
    "mflib": BLUE,
    "mflib, 1 thread": SKY,
    "C": VERMILION,
    "torch sampled_addmm": GREEN,
    "NumPy + SciPy": ORANGE,
    "torch autograd": PINK,
}


def peers(result: dict[str, Any]) -> Figure:
    """Time for each rating over N and over k, times as much as mflib's, and how far the memory's limit is.

    Parameters
    ----------
    result : dict
        As benchmarks/evaluation.py writes it.

    Returns
    -------
    Figure
    """
    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    planted = [case for case in result["cases"] if case["ratings"][0].isdigit()]
    usual = [case for case in planted if case["k"] == 32 and case["dtype"] == "float32"]
    _lines(axes[0, 0], usual, lambda case, name: case["contenders"][name]["nanoseconds"])
    axes[0, 0].set(title="k = 32, float32", ylabel="nanoseconds a rating", xlabel="ratings")
    _lines(axes[0, 1], usual, lambda case, name: _ratio(case["contenders"][name]))
    axes[0, 1].set(title="mflib's time is 1", ylabel="times as long as mflib", xlabel="ratings")
    _over_k(axes[1, 0], [case for case in planted if case["n_ratings"] == 10**6])
    _of_memory(axes[1, 1], usual, result["bandwidth"])
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def _ratio(found):
    low, high = found["ratio_quartiles"]
    return low, found["ratio"], high


def _lines(axes, cases, of):
    """A line for each contender over the number of ratings, with its quartiles."""
    for name, color in _COLORS.items():
        there = [case for case in cases if name in case["contenders"]]
        if there:
            low, middle, high = zip(*(of(case, name) for case in there), strict=True)
            x = [case["n_ratings"] for case in there]
            axes.plot(x, middle, "o-", color=color, label=name)
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")


def _over_k(axes, cases):
    """Both precisions of mflib and C over the number of factors."""
    styles = {"float32": "-", "float64": "--"}
    for dtype, name in product(styles, ("mflib", "C")):
        there = [case for case in cases if case["dtype"] == dtype and name in case["contenders"]]
        if there:
            times = [case["contenders"][name]["nanoseconds"][1] for case in there]
            label = f"{name}, {dtype}"
            axes.plot(
                [case["k"] for case in there], times, f"o{styles[dtype]}", color=_COLORS[name], label=label
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks([8, 32, 128], ["8", "32 and 33", "128"])
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    axes.set(title="a million ratings", ylabel="nanoseconds a rating", xlabel="factors k")


def _of_memory(axes, cases, bandwidth):
    """The least bytes a rating needs, over the bytes that a copy would have moved in its time."""
    for offset, name in ((-0.2, "mflib"), (0.2, "C")):
        places = [place for place, case in enumerate(cases) if name in case["contenders"]]
        shares = [
            100
            * cases[i]["least_bytes"]
            / (cases[i]["contenders"][name]["nanoseconds"][1] * 1e-9 * bandwidth)
            for i in places
        ]
        bars = axes.bar([place + offset for place in places], shares, 0.38, color=_COLORS[name])
        axes.bar_label(bars, [f"{share:.0f}" for share in shares], color=GREY)
    axes.set_xticks(range(len(cases)), [f"{case['n_ratings']:,}" for case in cases])
    axes.grid(False, axis="x")
    axes.set(title="of a copy's bandwidth, if each byte came once", ylabel="percent", xlabel="ratings")
