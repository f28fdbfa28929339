"""An executed notebook as one page that needs nothing else: no network, no script, no file beside it."""

import threading
import warnings
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup
from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import v4

from mflib.runs.offline import POLICY, mathml

# JupyterLab's page without the blocks that would load scripts from elsewhere.
_TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}<meta http-equiv="Content-Security-Policy" content="{policy}">
<style>math { font-size: 1.15em; }</style>
{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block data_latex scoped -%}
<div class="jp-RenderedLatex jp-OutputArea-output">{{ output.data['text/latex'] | markdown2html }}</div>
{%- endblock -%}""".replace("{policy}", POLICY)


_ONE = threading.Lock()
_BLANKS = dict.fromkeys(range(33))  # which browsers overlook in an address
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - set(b"\t\n\r"), "�")  # escapes of a terminal
_PYTHON = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}


class _Renderer(IPythonRenderer):
    """Markdown to HTML, with formulas as MathML."""

    def block_math(self, body: str) -> str:
        return mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)


class _Exporter(HTMLExporter):
    """JupyterLab's look; formulas as MathML in text and in outputs."""

    @pass_context
    def markdown2html(self, context, source):
        """The filter that the templates use."""
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments, anchor_link_text=self.anchor_link_text)
        return MarkdownWithMath(renderer=renderer).render(source)


@cache
def _exporter() -> _Exporter:
    """One for all pages, because each compiles its templates anew; its first page takes half a second.

    It is made for one thread at a time: `_ONE` is to be held.
    """
    exporter = _Exporter(raw_template=_TEMPLATE)
    cells = [v4.new_markdown_cell("$x$"), v4.new_code_cell("x")]
    exporter.from_notebook_node(v4.new_notebook(cells=cells, metadata=_PYTHON))
    return exporter


def prepare() -> None:
    """Do what a process does for its first page alone, while there is time."""
    with _ONE:
        _exporter()


def notebook_page(notebook: Path) -> str:
    """A notebook as a page.

    Parameters
    ----------
    notebook : Path

    Returns
    -------
    str
        HTML that names no file and no address to load, and that runs nothing: what an output would load
        or run is left out, and no sign of it is one that a terminal would obey.
    """
    with _ONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "alternative text is missing" on each figure
        html, _ = _exporter().from_filename(str(notebook))
    page = BeautifulSoup(html, "html.parser")
    loading = page(["script", "link", "iframe", "object", "embed", "base"])
    elsewhere = page(src=lambda src: src is not None and not src.startswith("data:"))
    for element in (*loading, *elsewhere, *page.body("meta")):
        element.decompose()
    for element in page(True):
        element.attrs = {name: value for name, value in element.attrs.items() if not _runs(name, value)}
    return str(page).translate(_CONTROLS)


def _runs(name: str, value: str | list[str]) -> bool:
    """Whether an attribute is a program: what is to happen on a click, say."""
    address = "".join(value).translate(_BLANKS).lower()
    return name.startswith("on") or address.startswith(("javascript:", "vbscript:"))
