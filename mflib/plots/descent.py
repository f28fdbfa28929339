"""Slopes, steps and where a descent ends."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from mflib.plots.style import BLUE, GREEN, GREY, INK, ORANGE, PINK, VERMILION


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


def line_searches(
    lines: Mapping[str, tuple[np.ndarray, float, Mapping[float, float]]], ylabel: str
) -> Figure:
    """The loss along lines, a panel for each: the polynomial, its minimum, and the loss as measured.

    Parameters
    ----------
    lines : mapping of str to tuple
        Title → (coefficients of 1, t, t², t³ and t⁴; the t of the minimum; t → the loss measured there).
    ylabel : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> line = np.array([16, -16, -4, 4, 1]), 1.24, {0.0: 16.0, 2.0: 16.0}
    >>> line_searches({"downhill": line}, "E").axes[0].get_xlabel()
    'step t'
    """
    figure, row = plt.subplots(1, len(lines), figsize=(8, 3.2), squeeze=False)
    for axes, (title, (coefficients, best, measured)) in zip(row[0], lines.items(), strict=True):
        t = np.linspace(min(0.0, *measured), max(best, *measured), 201)
        polynomial = np.polynomial.Polynomial(coefficients)
        axes.plot(t, polynomial(t), color=BLUE, label="polynomial of degree 4")
        axes.plot(measured.keys(), measured.values(), "o", color=ORANGE, label="loss as measured")
        axes.plot(0, polynomial(0), "s", color=VERMILION, markersize=8, label="start")
        axes.plot(best, polynomial(best), "*", color=INK, markersize=14, label="exact step")
        axes.set(xlabel="step t", ylabel=ylabel if axes is row[0, 0] else "", title=title)
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
    >>> agreement({"same": (np.arange(3), np.arange(3))}, "truth", "found").axes[0].get_xlabel()
    'truth'
    """
    figure, row = plt.subplots(1, len(pairs), figsize=(3.6 * len(pairs), 3.6), squeeze=False)
    for axes, (title, (across, upwards)) in zip(row[0], pairs.items(), strict=True):
        ends = [min(np.min(across), np.min(upwards)), max(np.max(across), np.max(upwards))]
        axes.plot(ends, ends, color=GREY, linewidth=1.2)
        axes.plot(np.ravel(across), np.ravel(upwards), "o", color=BLUE, markersize=3, alpha=0.5)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title, aspect="equal")
    return figure
