"""Tables and values as plain text, for the terminal."""

from collections.abc import Collection, Iterator, Sequence


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows of text in columns, the first row as a heading.

    Parameters
    ----------
    rows : sequence of sequences of str
        All of one length.
    right : collection of int
        Columns to align on the right: numbers.

    Returns
    -------
    str
        Without spaces at the end of a line, and without what a terminal would obey.

    Examples
    --------
    >>> print(table([("run", "seconds"), ("first", "1.5")], right={1}))
    run    seconds
    -----  -------
    first      1.5
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "\n".join(
        "  ".join(
            f"{cell:>{width}}" if column in right else f"{cell:{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in ruled
    )


def shown(value: object, longest: int = 40) -> str:
    r"""A value as one short line that a terminal shows and does not obey.

    Examples
    --------
    >>> shown("\x1b[31mred"), shown("a" * 50, 4)
    ('�[31mred', 'aaa…')
    """
    line = printable(str(value))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def printable(line: str) -> str:
    """A line without signs that a terminal would obey, or that turn the direction of writing."""
    return "".join(sign if sign.isprintable() else "�" for sign in line)


def message(problem: object) -> str:
    """What is said of a problem: its lines, each printable and of bounded length."""
    return "\n".join(shown(line, 1000) for line in str(problem).split("\n"))


def literal(value: object, longest: int = 80) -> str:
    """A value as Python would write it, on one line; the end is left out where it is long.

    Parameters
    ----------
    value : object
        Plain: numbers, text, lists and mappings of them. No more of it is looked at than is shown.
    longest : int

    Examples
    --------
    >>> literal({"seed": ["a\\n", None]}), literal([1] * 10**6, 10)
    ("{'seed': ['a\\\\n', None]}", '[1, 1, 1,…')
    """
    text = ""
    for piece in _pieces(value, longest):
        text += piece
        if len(text) > longest:
            return f"{text[: longest - 1]}…"
    return text


def _pieces(value: object, longest: int) -> Iterator[str]:
    """A literal bit by bit; each level of nesting gives a sign, so `longest` bounds the depth too."""
    if isinstance(value, list):
        yield "["
        for i, held in enumerate(value):
            yield ", " * (i > 0)
            yield from _pieces(held, longest)
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for i, (name, held) in enumerate(value.items()):
            yield ", " * (i > 0)
            yield from _pieces(name, longest)
            yield ": "
            yield from _pieces(held, longest)
        yield "}"
    elif isinstance(value, str | bytes):
        yield repr(value[: longest + 1])
    elif isinstance(value, int) and value.bit_length() > 4 * longest:  # Python refuses to write 4,300 digits
        yield f"a number of {value.bit_length()} bits"
    else:
        yield repr(value)


def first_line(error: BaseException) -> str:
    """What an error says, in a line; its kind where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such run\\n(background)")), first_line(ValueError())
    ('no such run', 'ValueError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
