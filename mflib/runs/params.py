"""Params files: which notebooks to execute with which parameters.

    experiment: default         # the name under which MLflow lists the runs
    timeout: 600                # seconds that the cells of one notebook may take together
    runs:
      - notebook: 02_elementwise_gradient
        parameters: {seed: 0}   # the others keep their defaults

A notebook that compares runs declares `runs: list[str]`. Where nobody gives them, it is executed after the
others, on the ids of the runs that they have made.

Everything is checked against the notebooks before the first of them starts.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mflib.runs.declared import convert, convert_text, declared
from mflib.runs.plain_yaml import parse
from mflib.runs.project import InputError, find_notebook, nearest, shown
from mflib.text import literal

EXPERIMENT = "mflib"
TIMEOUT = 600.0
_LARGEST = 4 << 20  # bytes of a file; 10,000 points of a sweep need a quarter
_LONGEST = 250  # signs of the name of an experiment: what MLflow shows; it holds 500


@dataclass(frozen=True)
class Execution:
    """One notebook to execute once."""

    notebook: Path
    parameters: dict[str, Any]  # every declared one, of the declared type
    experiment: str = EXPERIMENT
    timeout: float = TIMEOUT  # seconds
    source: str = ""  # the params file
    label: str = ""  # what tells it from others of the same notebook
    tags: dict[str, str] = field(default_factory=dict)  # more of them for its run
    compares: bool = False  # its parameter `runs` is to be the ids of the runs of the others
    content: str | None = None  # the notebook as read before; None: it is read when its turn comes

    @property
    def name(self) -> str:
        """The notebook's name without its suffix."""
        return self.notebook.stem


def read_params(path: Path) -> list[Execution]:
    """The executions that a params file lists.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        If the file cannot be read, or names something unknown, or gives a value of the wrong type.
    """
    place = shown(path)
    content = load(path, place)
    if isinstance(content, dict) and "sweep" in content:
        raise InputError(f"{place}: is a sweep; execute it with `mflib sweep {place}`")
    return executions(content, place)


def executions(content: Any, place: str) -> list[Execution]:
    """The executions that the content of a params file lists.

    Parameters
    ----------
    content : object
        As YAML gives it.
    place : str
        The file, for the messages.

    Raises
    ------
    InputError
        If it names something unknown, or gives a value of the wrong type.
    """
    content = _mapping(content, place, ("experiment", "timeout", "runs"))
    experiment = content.get("experiment", EXPERIMENT)
    if not isinstance(experiment, str) or not experiment.strip() or not experiment.isprintable():
        raise InputError(f"{place}, experiment: expected a name, got {literal(experiment)}")
    if len(experiment) > _LONGEST:
        raise InputError(f"{place}, experiment: has {len(experiment):,} letters, {_LONGEST} are allowed")
    timeout = convert(content.get("timeout", TIMEOUT), "float", f"{place}, timeout")
    if timeout <= 0:
        raise InputError(f"{place}, timeout: expected a number of seconds above 0, got {timeout}")
    runs = content.get("runs")
    if not isinstance(runs, list) or not runs:
        raise InputError(f"{place}, runs: expected a list of at least one notebook, got {literal(runs)}")
    listed = [_execution(run, f"{place}, run {i}") for i, run in enumerate(runs, 1)]
    return [replace(one, experiment=experiment, timeout=timeout, source=place) for one in listed]


def with_defaults(notebook: str) -> Execution:
    """The execution of a notebook with the defaults of its own parameters cell.

    Raises
    ------
    InputError
        If there is no such notebook, or its parameters cell cannot be read.
    """
    return _execution({"notebook": notebook}, "--notebook")


def override(executions: list[Execution], assignments: list[str]) -> list[Execution]:
    """Set parameters in every listed notebook that declares them.

    Parameters
    ----------
    executions : list of Execution
    assignments : list of str
        Each `name=value`; a later one wins.

    Raises
    ------
    InputError
        If no listed notebook declares a name, or a value does not fit.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        place = f"-p {assignment[:80]}"
        if not equals:
            raise InputError(f"{place}: expected name=value")
        if not any(name in one.parameters for one in executions):
            known = dict.fromkeys(key for one in executions for key in one.parameters)
            raise InputError(f"{place}: unknown parameter {literal(name)}{nearest(name, known)}")
        executions = [_with(one, name, text) if name in one.parameters else one for one in executions]
    return executions


def _with(execution: Execution, name: str, text: str) -> Execution:
    """The execution with one parameter replaced."""
    kind = declared(execution.notebook)[name].kind
    value = convert_text(text, kind, f"-p {name} of {execution.name}")
    compares = execution.compares and name != "runs"
    return replace(execution, parameters={**execution.parameters, name: value}, compares=compares)


def _execution(run: Any, place: str) -> Execution:
    """One entry of `runs:`, checked against its notebook."""
    run = _mapping(run, place, ("notebook", "parameters"))
    if not isinstance(run.get("notebook"), str):
        got = literal(run.get("notebook"))
        raise InputError(f"{place}, notebook: expected the name of a notebook, got {got}")
    notebook = find_notebook(run["notebook"], place)
    place = f"{place} ({notebook.stem})"
    known = declared(notebook)
    given = run.get("parameters")
    given = _mapping({} if given is None else given, f"{place}, parameters", known, "parameter")
    values = {name: parameter.default for name, parameter in known.items()}
    values |= {name: convert(value, known[name].kind, f"{place}, {name}") for name, value in given.items()}
    compares = "runs" in known and known["runs"].kind == "list[str]" and "runs" not in given
    return Execution(notebook, values, compares=compares)


def _mapping(content: Any, place: str, valid: Any, what: str = "key") -> dict[str, Any]:
    """The content, if it is a mapping that has only valid keys."""
    if not isinstance(content, dict):
        raise InputError(f"{place}: expected a mapping (`name: value` lines), got {_kind_of(content)}")
    for key in content:
        if key not in valid:
            raise InputError(f"{place}: unknown {what} {literal(key)}{nearest(str(key), valid)}")
    return content


def _kind_of(content: Any) -> str:
    return {list: "a list", str: "a text", type(None): "nothing"}.get(type(content)) or literal(content)


def load(path: Path, place: str) -> Any:
    """The content of a YAML file; InputError if it is none, or empty, or larger than one could write."""
    try:
        if (size := path.stat().st_size) > _LARGEST:
            limit = f"a params file may have {_LARGEST >> 20} MB"
            raise InputError(f"{place}: is {size >> 20} MB large; {limit}")
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{place}: is not a text file in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{place}{line}: is not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{place}: is not valid YAML: {str(error).splitlines()[0]}") from None
    if content is None:
        raise InputError(f"{place}: is empty; expected `runs:` with a list of notebooks")
    return content
