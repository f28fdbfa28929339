"""A comparison as a picture, and as one page that needs nothing else."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mflib.runs.compare import Comparison, histories
from mflib.runs.compare_report import rows, verdicts
from mflib.runs.offline import POLICY, mathml
from mflib.runs.project import InputError
from mflib.runs.settings import Recorded
from mflib.text import shown

_LOSS = r"E = \frac{1}{N} \sum_{(i,j):\, r_{ij}=1} (y_{ij} - u_i \cdot v_j)^2"
_RMSE = r"\text{RMSE} = \sqrt{\frac{1}{N} \sum (y_{ij} - \hat y_{ij})^2}"
_SPREAD = r"\bar x \pm s, \qquad s = \sqrt{\frac{1}{n-1} \sum_{t=1}^{n} (x_t - \bar x)^2}"
_FORMULAS = {
    "loss": ("E04, the mean over the N ratings", _LOSS),
    "rmse": ("over the N ratings held out for validation, or over those trained on", _RMSE),
    "±": ("mean and spread over n seeds", _SPREAD),
}


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
