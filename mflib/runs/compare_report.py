"""A comparison to read: as text for the terminal, and as one page that needs nothing else."""

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mflib.runs.compare import Comparison, histories, labels, within_spread
from mflib.runs.offline import POLICY, mathml
from mflib.runs.outcome import FINISHED
from mflib.runs.project import InputError
from mflib.runs.ranking import lower_is_better
from mflib.runs.settings import Recorded, Setting
from mflib.text import shown
from mflib.text import table as text_table

_FEW = 4  # metrics of the table in the terminal
_LOSS = r"E = \frac{1}{N} \sum_{(i,j):\, r_{ij}=1} (y_{ij} - u_i \cdot v_j)^2"
_RMSE = r"\text{RMSE} = \sqrt{\frac{1}{N} \sum (y_{ij} - \hat y_{ij})^2}"
_SPREAD = r"\bar x \pm s, \qquad s = \sqrt{\frac{1}{n-1} \sum_{t=1}^{n} (x_t - \bar x)^2}"
_FORMULAS = {
    "loss": ("E04, the mean over the N ratings", _LOSS),
    "rmse": ("over the N ratings held out for validation, or over those trained on", _RMSE),
    "±": ("mean and spread over n seeds", _SPREAD),
}


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


def picture(client, comparison: Comparison) -> bytes:
    """The histories as curves, in PNG; empty where none was recorded.

    Parameters
    ----------
    client : mlflow.MlflowClient
    comparison : Comparison
    """
    panels = histories(client, comparison)
    if not panels:
        return b""
    import matplotlib as mpl

    mpl.use("agg")
    from mflib import plots

    with mpl.rc_context(plots.STYLE):
        figure, file = plots.histories(panels), io.BytesIO()
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def page(comparison: Comparison, picture: bytes) -> str:
    """One self-contained page: verdict, table, curves, formulas, and each run with all its parameters.

    Parameters
    ----------
    comparison : Comparison
    picture : bytes
        PNG; empty for none.

    Returns
    -------
    str
        HTML that runs and loads nothing. What comes from runs is shown as text.
    """
    said = "".join(f"<p>{escape(one)}</p>" for one in verdicts(comparison))
    runs = [run for one in comparison.settings for run in (*one.runs, *one.repeats)]
    curves = f'<img alt="the histories as curves" src="data:image/png;base64,{_base64(picture)}">'
    parts = {
        "": f"{said}{_html_table(rows(comparison, comparison.metrics))}",
        "Histories": curves if picture else "<p>None of these runs has recorded one.</p>",
        "What the numbers mean": _formulas(comparison),
        "The runs": "".join(map(_details, runs)),
    }
    body = "".join(f"<h2>{title}</h2>{part}" if title else part for title, part in parts.items())
    return _PAGE.replace("BODY", body)


def write(client, comparison: Comparison, html: Path | None, png: Path | None) -> None:
    """Write the page, the picture, both or neither.

    Parameters
    ----------
    client : mlflow.MlflowClient
    comparison : Comparison
    html, png : Path or None

    Raises
    ------
    InputError
        If a file cannot be written, or there is no history to draw.
    """
    if html is None and png is None:
        return
    drawn = picture(client, comparison)
    if png and not drawn:
        raise InputError(f"--png {png}: none of these runs has recorded a history")
    contents = {"--png": (png, drawn), "--html": (html, page(comparison, drawn).encode())}
    for option, (path, content) in contents.items():
        try:
            if path:
                path.write_bytes(content)
        except OSError as error:
            raise InputError(f"{option} {path}: cannot be written: {error.strerror}") from None


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


def _html_table(cells: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells]
    heading = lines[0].replace("<td>", "<th>").replace("</td>", "</th>")
    return f"<table><tr>{heading}</tr>{''.join(f'<tr>{line}</tr>' for line in lines[1:])}</table>"


def _formulas(comparison: Comparison) -> str:
    """The formulas of the metrics that are there."""
    words = " ".join(comparison.metrics)
    several = any(len(setting.finished) > 1 for setting in comparison.settings)
    lines = [
        f"<p><b>{name}</b>, {meaning}:</p>{mathml(latex, block=True)}"
        for name, (meaning, latex) in _FORMULAS.items()
        if (several if name == "±" else name in words)
    ]
    return "".join(lines) or "<p>The notebooks say it.</p>"


def _details(run: Recorded) -> str:
    """One run, folded: its parameters and its protocol."""
    parts = {"parameter": run.parameters, "protocol": run.protocol, "metric": run.metrics}
    tables = [
        _html_table([(what, ""), *((shown(name, 200), shown(value, 400)) for name, value in held.items())])
        for what, held in parts.items()
        if held
    ]
    unknown = "" if run.protocol else "<p>No protocol recorded.</p>"
    title = escape(f"{run.run_id} · {shown(run.notebook, 200)} · {run.status}")
    return f"<details><summary>{title}</summary>{unknown}{''.join(tables)}</details>"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Runs compared</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; }}
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
h1, h2 {{ font-weight: 600; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }}
th, td {{ padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }}
th {{ background: #f2f2f2; }}
img {{ max-width: 100%; }}
math {{ font-size: 1.15em; }}
summary {{ cursor: pointer; }}
</style>
</head>
<body>
<h1>Runs compared</h1>
BODY
</body>
</html>
"""
