"""A comparison to read in the terminal: the table, and what it says in sentences."""

import math
from collections.abc import Sequence

from mflib.runs.compare import Comparison, labels, within_spread
from mflib.runs.outcome import FINISHED
from mflib.runs.ranking import lower_is_better
from mflib.runs.settings import Setting
from mflib.text import shown
from mflib.text import table as text_table

_FEW = 4  # metrics of the table in the terminal


def verdicts(comparison: Comparison) -> list[str]:
    """What the comparison says, in sentences: the ranking, or why there is none; which runs do not count.

    Parameters
    ----------
    comparison : Comparison
    """
    said = []
    if comparison.ranked:
        metric, (best, second) = comparison.metric, comparison.settings[:2]
        which = "lowest" if lower_is_better(metric) else "highest"
        name, other = labels(comparison)[:2]
        said.append(f"{which} {shown(metric)}: {name} with {_number(best, metric)}")
        if within_spread(best, second, metric):
            said.append(f"{other} is no further from it than their spreads: do not rely on the order")
        said += [f"ranked although it is not comparable: {shown(one, 400)}" for one in comparison.obstacles]
    elif comparison.obstacles:
        said += [f"not ranked: {shown(one, 400)}" for one in comparison.obstacles]
    runs = [run for setting in comparison.settings for run in setting.runs]
    said += [f"not counted: {run.short} is {run.status}" for run in runs if run.status != FINISHED]
    repeats = [run.short for setting in comparison.settings for run in setting.repeats]
    return said + ([f"not counted: {', '.join(repeats)}, repeated later"] if repeats else [])


def rows(comparison: Comparison, metrics: Sequence[str]) -> list[list[str]]:
    """The table as text, its heading first: place, run, what differs, and these metrics.

    Parameters
    ----------
    comparison : Comparison
    metrics : sequence of str

    Returns
    -------
    list of list of str
        Seeds and status have columns only where there is something to tell.
    """
    several = any(len(setting.runs) > 1 for setting in comparison.settings)
    unfinished = any(not setting.finished for setting in comparison.settings)
    heading = ["place", "run", *["seeds"] * several, *["status"] * unfinished]
    names = comparison.differing
    found = [[*heading, *(shown(name) for name in (*names, *metrics))]]
    for place, setting in enumerate(comparison.settings, 1):
        held = setting.properties
        row = [str(place) if comparison.ranked and setting.finished else "–", setting.first.short]
        row += [_seeds(setting)] * several + [setting.first.status] * unfinished
        row += [_short(name, held[name]) if name in held else "" for name in names]
        found.append([*row, *(_number(setting, metric) for metric in metrics)])
    return found


def table(comparison: Comparison) -> str:
    """A row for each setting: its runs, what differs, the metrics."""
    metrics = comparison.metrics[:_FEW]
    found = rows(comparison, metrics)
    right = range(len(found[0]) - len(metrics), len(found[0]))
    hidden = len(comparison.metrics) - len(metrics)
    more = f"\n\n{hidden} more metrics: --html FILE shows them" if hidden > 0 else ""
    return text_table(found, right=right) + more


def _seeds(setting: Setting) -> str:
    seeds = [shown(run.seed, 12) for run in setting.finished]
    return ", ".join(seeds[:4]) + (f", … ({len(seeds)})" if len(seeds) > 4 else "")


def _short(name: str, value: str) -> str:
    """A value; of a digest or commit only the beginning."""
    return shown(value)[:8] if name == "commit" or name.endswith("digest") else shown(value)


def _number(setting: Setting, metric: str) -> str:
    """Mean and spread, to two digits of the spread; nothing where nothing was recorded."""
    mean, spread = setting.mean(metric), setting.spread(metric)
    if math.isnan(mean):
        return ""
    if math.isnan(spread) or not 1e-9 < spread < 1e9:
        return f"{mean:.6g}" + ("" if math.isnan(spread) else f" ± {spread:.2g}")
    digits = max(0, 1 - math.floor(math.log10(spread)))
    return f"{mean:.{digits}f} ± {spread:.{digits}f}"
