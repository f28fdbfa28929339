"""The parameters that a notebook declares, and the check of a value against a declaration.

The cell tagged `parameters` is read, never executed: each line is `name: type = value`, with the types
int, float, str, bool, list[...] and `... | None`.
"""

import ast
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mflib.runs.plain_yaml import parse
from mflib.runs.project import InputError
from mflib.text import literal, shown

_SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
_LARGEST = 50 << 20  # bytes of a notebook, outputs included
_LONGEST = 250  # letters of a name: what MLflow holds
_BITS = 4096  # of an int; Python writes no more than 4,300 digits
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
    source, place = _parameters_cell(notebook), f"{notebook.name}, parameters cell"
    try:
        lines = ast.parse(source).body
        parameters = [_declaration(line, place) for line in lines if not _is_remark(line)]
    except SyntaxError as error:
        raise InputError(f"{place}, line {error.lineno}: is not Python") from None
    except InputError:
        raise
    except (ValueError, RecursionError, MemoryError):  # a zero byte; brackets within brackets within …
        raise InputError(f"{place}: is not Python of plain values") from None
    return {parameter.name: parameter for parameter in parameters}


def _is_remark(line: ast.stmt) -> bool:
    """Whether a line is a text between quotes."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _parameters_cell(notebook: Path) -> str:
    """The source of the cell tagged `parameters`; empty where there is none."""
    content = _read(notebook)
    if isinstance(content, dict) and content.get("nbformat", 4) != 4:
        raise InputError(
            f"{notebook.name}: is of format {literal(content['nbformat'])}, expected 4; "
            "JupyterLab converts it when it saves it"
        )
    try:
        _check_schema(content)
        sources = ["".join(cell["source"]) for cell in content["cells"] if _has_parameters(cell)]
    except Exception:  # nbformat stumbles in many ways over what is no notebook
        raise InputError(f"{notebook.name}: is not a Jupyter notebook of format 4") from None
    if len(sources) > 1:
        raise InputError(f"{notebook.name}: has {len(sources)} cells tagged `parameters`, expected one")
    return sources[0] if sources else ""


def _read(notebook: Path) -> Any:
    """The JSON of a notebook."""
    try:
        if (size := notebook.stat().st_size) > _LARGEST:
            limit = f"a notebook may have {_LARGEST >> 20} MB; clear its outputs"
            raise InputError(f"{notebook.name}: is {size >> 20} MB large; {limit}")
        return json.loads(notebook.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{notebook.name}: cannot be read: {error.strerror}") from None
    except InputError:
        raise
    except (ValueError, RecursionError):
        raise InputError(f"{notebook.name}: is not a Jupyter notebook of format 4") from None


def _check_schema(content: Any) -> None:
    """Raise something, unless it is what nbformat and papermill expect of a notebook."""
    import nbformat  # a tenth of a second, which those need not pay who only import this

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cell without id, two with the same: nbformat repairs its copy
        nbformat.validate(content, relax_add_props=True)


def _has_parameters(cell: dict) -> bool:
    """Whether a cell is tagged `parameters`."""
    return cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", [])


def _declaration(line: ast.stmt, place: str) -> Parameter:
    """One line `name: type = value`."""
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
        raise InputError(f"{place}: expected `name: type = value`, got {_code(line)}")
    name, kind = line.target.id, ast.unparse(line.annotation)
    if len(name) > _LONGEST:
        raise InputError(f"{place}: a parameter's name has {len(name)} letters, {_LONGEST} are allowed")
    place = f"{place}, {name}"
    _check_kind(line.annotation, place)
    try:
        default = ast.literal_eval(line.value)
    except (ValueError, TypeError):
        raise InputError(f"{place}: expected a plain value, got {_code(line.value)}") from None
    return Parameter(name, kind, convert(default, kind, place))


def _code(tree: ast.AST) -> str:
    """A piece of Python for a message."""
    return f"`{shown(ast.unparse(tree), 80)}`"


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
            raise InputError(f"{place}: expected the type {valid}, got {_code(kind)}")


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
        raise InputError(f"{place}: expected {kind}, got {literal(value)}{hint}") from None


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
            if type(value) is _SCALARS[name] and _can_be_recorded(value):
                return value
    raise TypeError


def _can_be_recorded(value: Any) -> bool:
    """Whether a scalar can be written into a notebook and the store: not half a sign, not endless digits."""
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    return not isinstance(value, int) or value.bit_length() <= _BITS


def convert_text(text: str, kind: str, place: str) -> Any:
    """Check a value typed on the command line: read as YAML where that fits, else taken as the text it is.

    Examples
    --------
    >>> convert_text("7", "int", "-p seed"), convert_text("7", "str", "-p title")
    (7, '7')
    """
    try:
        return convert(parse(text), kind, place)
    except (InputError, yaml.YAMLError):
        return convert(text, kind, place)
