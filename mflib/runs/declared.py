"""The parameters that a notebook declares, and the check of a value against a declaration.

The cell tagged `parameters` is read, never executed: each line is `name: type = value`, with the types
int, float, str, bool, list[...] and `... | None`.
"""

import ast
import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mflib.runs.project import InputError

_SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Parameter(NamedTuple):
    """A declaration: the name, the annotation as written, the default."""

    name: str
    kind: str
    default: Any


def declared(notebook: Path) -> dict[str, Parameter]:
    """The parameters that a notebook declares, by name, in their order.

    Parameters
    ----------
    notebook : Path

    Raises
    ------
    InputError
        If the file is not a notebook, or its parameters cell has anything but annotated plain values.
    """
    source = _parameters_cell(notebook)
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        place = f"{notebook.name}, parameters cell, line {error.lineno}"
        raise InputError(f"{place}: is not Python") from None
    found = {}
    for line in lines:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a remark between quotes
        parameter = _declaration(line, f"{notebook.name}, parameters cell")
        found[parameter.name] = parameter
    return found


def _parameters_cell(notebook: Path) -> str:
    """The source of the cell tagged `parameters`; empty where there is none."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", []):
                return "".join(cell["source"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{notebook.name}: is not a Jupyter notebook of format 4") from None
    return ""


def _declaration(line: ast.stmt, place: str) -> Parameter:
    """One line `name: type = value`."""
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
        raise InputError(f"{place}: expected `name: type = value`, got `{ast.unparse(line)}`")
    name, kind = line.target.id, ast.unparse(line.annotation)
    place = f"{place}, {name}"
    _check_kind(line.annotation, place)
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        raise InputError(f"{place}: expected a plain value, got `{ast.unparse(line.value)}`") from None
    return Parameter(name, kind, convert(default, kind, place))


def _check_kind(kind: ast.expr, place: str) -> None:
    """Refuse an annotation outside the small set."""
    match kind:
        case ast.Name(id=name) if name in _SCALARS:
            pass
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            _check_kind(item, place)
        case ast.BinOp(op=ast.BitOr(), left=left, right=ast.Constant(value=None)):
            _check_kind(left, place)
        case _:
            valid = "int, float, str, bool, list[...] or `... | None`"
            raise InputError(f"{place}: expected the type {valid}, got `{ast.unparse(kind)}`")


def convert(value: Any, kind: str, place: str) -> Any:
    """Check a value against an annotation.

    Parameters
    ----------
    value : object
        As YAML gives it. An int, or a text such as `1e-3`, which YAML takes for a text, passes for a
        float; the text `None` passes for None; a bool is no int.
    kind : str
        The annotation.
    place : str
        Where the value was given, for the message.

    Returns
    -------
    object
        The value, of the declared type.

    Raises
    ------
    InputError
        If the value does not fit.

    Examples
    --------
    >>> convert("1e-3", "float", "learning_rate"), convert([1, 2], "list[float]", "rates")
    (0.001, [1.0, 2.0])
    >>> convert(True, "int", "seed")
    Traceback (most recent call last):
    ...
    mflib.runs.project.InputError: seed: expected int, got True
    """
    try:
        return _converted(value, ast.parse(kind, mode="eval").body)
    except (TypeError, OverflowError):
        hint = " (put it between quotes)" if "str" in kind and not isinstance(value, list | dict) else ""
        raise InputError(f"{place}: expected {kind}, got {value!r}{hint}") from None


def _converted(value: Any, kind: ast.expr) -> Any:
    """The value as declared; TypeError if it does not fit."""
    match kind:
        case ast.BinOp(left=left):
            return None if value is None or value == "None" else _converted(value, left)
        case ast.Subscript(slice=item):
            if isinstance(value, list):
                return [_converted(one, item) for one in value]
        case ast.Name(id="float"):
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                return _converted(float(value), kind)
        case ast.Name(id=name):
            if type(value) is _SCALARS[name]:
                return value
    raise TypeError


def convert_text(text: str, kind: str, place: str) -> Any:
    """Check a value typed on the command line: read as YAML where that fits, else taken as the text it is.

    Examples
    --------
    >>> convert_text("7", "int", "-p seed"), convert_text("7", "str", "-p title")
    (7, '7')
    """
    try:
        return convert(yaml.safe_load(text), kind, place)
    except (InputError, yaml.YAMLError):
        return convert(text, kind, place)
