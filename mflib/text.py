"""Tables and values as plain text, for the terminal."""

from collections.abc import Collection, Sequence


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
        Without spaces at the end of a line.

    Examples
    --------
    >>> print(table([("run", "seconds"), ("first", "1.5")], right={1}))
    run    seconds
    -----  -------
    first      1.5
    """
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
    line = "".join(sign if sign.isprintable() else "�" for sign in str(value))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def first_line(error: BaseException) -> str:
    """What an error says, in a line; its kind where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such run\\n(background)")), first_line(ValueError())
    ('no such run', 'ValueError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
