"""A notebook's page shows its formulas, and neither loads nor runs anything."""

import base64
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mflib.runs.offline import mathml
from mflib.runs.pages import notebook_page

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def page_of(tmp_path, *cells):
    """The page of a notebook of these cells."""
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return BeautifulSoup(notebook_page(path), "html.parser")


def shown(**data):
    """A cell that has shown data of one kind."""
    kinds = {kind.replace("_", "/"): value for kind, value in data.items()}
    return new_code_cell("show()", outputs=[new_output("display_data", kinds)])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_every_formula_of_a_notebook_is_understood(path):
    page = BeautifulSoup(notebook_page(path), "html.parser")
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    n_formulas = len(re.findall(r"\$\$.+?\$\$|\$.+?\$", prose, re.DOTALL))
    assert len(page("math")) >= n_formulas > 0
    for code in page(["pre", "code", "style"]):
        assert not code.text.startswith("$"), code.text
        code.decompose()
    assert "$" not in page.text


def test_formulas_are_shown_in_text_in_tables_and_in_outputs(tmp_path):
    cells = [
        new_markdown_cell(
            "Inline $a_1$, in lines of its own\n\n$$\\frac{b}{2}$$\n\n| $c$ |\n|---|\n| $d < e$ |"
        ),
        new_markdown_cell("\\begin{aligned} f &= g \\\\ &= h \\end{aligned}"),
        shown(text_markdown="An output: $i^2$"),
        shown(text_latex="$\\displaystyle j$"),
    ]
    page = page_of(tmp_path, *cells)
    assert [formula.text for formula in page("math")] == ["a1", "b2", "c", "d<e", "f=g=h", "i2", "j"]
    assert [formula.get("display") for formula in page("math")].count("block") == 2
    assert "$" not in page.main.text


HOSTILE = """<script src="https://example.org/x.js"></script><script>alert(1)</script>
<link rel="stylesheet" href="https://example.org/x.css"><iframe src="https://example.org"></iframe>
<img src="https://example.org/x.png" onerror="alert(2)"><embed src="x"><object data="x"></object>
<base href="https://example.org"><meta http-equiv="refresh" content="0; url=https://example.org">"""


def test_what_would_load_or_run_something_is_left_out_wherever_it_stands(tmp_path):
    cells = [
        new_markdown_cell(f"before\n\n{HOSTILE}\n\n![](https://example.org/y.png) after"),
        shown(text_html=f"<p>kept</p>{HOSTILE}"),
        shown(text_markdown=HOSTILE),
        shown(application_javascript="alert(3)"),
    ]
    page = page_of(tmp_path, *cells)
    assert page(["script", "link", "iframe", "embed", "object", "base", "img"]) == []
    assert "example.org" not in str(page)
    assert all(word in page.text for word in ("before", "after", "kept"))
    assert len(page.head("meta")) == len(page("meta"))


def test_the_browser_is_told_to_run_and_fetch_nothing(tmp_path):
    (policy,) = page_of(tmp_path)("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; ")
    assert "script" not in policy["content"]
    assert "http" not in policy["content"]


def test_a_parameter_is_shown_as_the_text_it_is(tmp_path):
    page = page_of(tmp_path, new_code_cell('name = "<b>$x$</b><script>alert(1)</script>"'))
    assert page("b") == page("math") == page("script") == []
    assert "<b>$x$</b><script>alert(1)</script>" in page.text


def test_a_picture_in_the_notebook_stays(tmp_path):
    png = base64.b64encode(b"picture").decode()
    cell = new_markdown_cell("![seen](attachment:a.png)", attachments={"a.png": {"image/png": png}})
    page = page_of(tmp_path, cell, shown(image_png=png))
    assert [image["src"] for image in page("img")] == [f"data:image/png;base64,{png}"] * 2


@pytest.mark.parametrize(
    "latex",
    [r"\frac{", r"\nothing x", r"\text{<b>}}", "a & b", "{" * 100_000, r"\def\x{\x\x}\x", r"\href{x:y}{z}"],
    ids=lambda latex: latex[:12],
)
def test_what_is_no_formula_is_shown_as_it_was_written(latex):
    page = BeautifulSoup(mathml(latex), "html.parser")
    assert page.text == f"${latex}$"
    assert [element.name for element in page(True)] == ["code"]
