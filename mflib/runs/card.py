"""The protocol at a glance: a cell on top of the executed notebook, and so of its page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from mflib.runs.files import write_text
from mflib.runs.protocol import CARD, FIELDS, in_words
from mflib.text import printable

_LONGEST = 200  # letters of a value


def put_on(notebook: Path, run_id: str, about: Mapping[str, Any]) -> None:
    """Put the card on top of a notebook, in place of one that may be there.

    Parameters
    ----------
    notebook : Path
        An executed one, which is rewritten.
    run_id : str
    about : mapping
        The protocol, and `result_digest`, empty for a run without a complete result.
    """
    content = nbformat.read(notebook, as_version=4)
    cell = nbformat.v4.new_markdown_cell(card(run_id, about), metadata={"tags": [CARD]})
    content.cells = [cell, *(one for one in content.cells if CARD not in one.metadata.get("tags", []))]
    write_text(notebook, nbformat.writes(content))


def card(run_id: str, about: Mapping[str, Any]) -> str:
    """The table, without empty fields, in HTML that shows every value as text.

    Examples
    --------
    >>> card("1f", {"result_digest": "", "split": "<b>$x$"}).splitlines()[-2]
    '<tr><th align="left">split</th><td><code>&#60;b&#62;&#36;x&#36;</code></td></tr>'
    """
    rows = {"run": run_id, "result_digest": about["result_digest"] or "none: there is no complete result"}
    rows |= {field: about[field] for field in FIELDS if field != "versions" and about.get(field, "") != ""}
    lines = [f'<tr><th align="left">{name}</th><td>{_text(value)}</td></tr>' for name, value in rows.items()]
    return "\n".join(["<table>", *lines, "</table>"])


def _text(value: Any) -> str:
    """A value between code tags, where no formula is looked for; no sign of it means anything there."""
    line = in_words(value)
    line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return "<code>{}</code>".format(
        "".join(
            sign if sign.isalnum() or sign in " .,:-_/=" else f"&#{ord(sign)};" for sign in printable(line)
        )
    )
