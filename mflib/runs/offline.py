"""What pages without a network are made of: a policy for the browser, and formulas as MathML."""

from functools import cache
from html import escape

# What a browser must not do with a page, whatever a run has put there: run a script, fetch or send anything.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "form-action 'none'; base-uri 'none'"
)

_LONGEST = 2000  # signs; the parser descends once a brace, and tens of thousands would exhaust its stack


def mathml(latex: str, block: bool = False) -> str:
    r"""A formula as MathML, which a browser shows by itself.

    Parameters
    ----------
    latex : str
        As it stands between the dollar signs. Macros cannot be defined.
    block : bool
        Whether it has a line of its own.

    Returns
    -------
    str
        A `<math>` element. What is not understood is shown as it was written, as text.

    Examples
    --------
    >>> mathml("x < 1")
    '<math><mi>x</mi><mo>&lt;</mo><mn>1</mn></math>'
    >>> mathml(r"\unknown<b>")
    '<code>$\\unknown&lt;b&gt;$</code>'
    """
    from math_core import LatexError

    try:
        if len(latex) <= _LONGEST:
            return _converter().convert_with_local_state(latex, displaystyle=block)
    except LatexError:
        pass
    sign = "$$" if block else "$"
    return f"<code>{escape(f'{sign}{latex}{sign}')}</code>"


@cache
def _converter():
    from math_core import LatexToMathML

    return LatexToMathML(fancy_error=False, max_expansions=0)
