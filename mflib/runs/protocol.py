"""The protocol of a run: what decides its result. Same protocol, same bits.

It is written down when a run starts, as tags that MLflow can search and as protocol.json, and compared
when the run is reproduced.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mflib.runs.project import root

CARD, INJECTED = "mflib-card", "injected-parameters"  # tags of the cells that are not the author's
TAG, RESULT_TAG = "mflib.protocol.", "mflib.result_digest"
FIELDS = {
    "notebook_digest": "SHA-256 of the sources of the notebook's cells",
    "parameters": "all of them, defaults filled in",
    "data_digest": "of the ratings, as told to record_data; empty without data",
    "split": "the rule, as told to record_data",
    "seed": "the parameter of this name",
    "dtype": "the kinds of floating-point numbers among the recorded arrays",
    "version": "of mflib",
    "commit": "of the checkout; empty where git knows none",
    "dirty": "whether the checkout had changes that were not committed",
    "lock_digest": "SHA-256 of requirements.txt",
    "versions": "of every other package that is installed",
    "python": "implementation and version",
    "cpu": "its model",
    "threads": "what the environment says about threads, the cores there are, and those that may be used",
}
_TAG_LENGTH = 5000  # what MLflow holds for certain
_THREADS = ("OPENBLAS", "OMP", "MKL", "NUMBA", "BLIS", "VECLIB", "NUMEXPR")


class Change(NamedTuple):
    """What is not the same in two protocols: a field, or a part of one, such as `versions numpy`."""

    what: str
    before: str
    now: str


def gather(cells: list, parameters: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The fields that are known before the first cell runs.

    Parameters
    ----------
    cells : list
        Those of the notebook, `without_traces`.
    parameters : mapping
        All of them, of the declared types.
    environment : mapping of str to str
        The kernel's.

    Returns
    -------
    dict
        By the names of `FIELDS`, in that order; what the notebook itself tells is still empty.
    """
    known = {
        "notebook_digest": notebook_digest(cells),
        "parameters": dict(parameters),
        "seed": parameters.get("seed", ""),
        "version": importlib.metadata.version("mflib"),
        **_checkout(),
        "lock_digest": _lock_digest(),
        "versions": _versions(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": _cpu(),
        "threads": _threads(environment),
    }
    return {field: known.get(field, "") for field in FIELDS}


def without_traces(content):
    """Take from a notebook what its executions have added: card, injected parameters, outputs.

    Parameters
    ----------
    content : nbformat.NotebookNode
        Changed in place.

    Returns
    -------
    nbformat.NotebookNode
        The same.
    """
    content.cells = [one for one in content.cells if not {CARD, INJECTED} & set(one.metadata.get("tags", []))]
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return content


def notebook_digest(cells: list) -> str:
    """SHA-256 of the kind and source of each cell; outputs do not count."""
    sources = [[cell.cell_type, cell.source] for cell in cells]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def told_data(lines: list[dict]) -> dict[str, str]:
    """The fields `data_digest` and `split` from what `record_data` wrote, each different one once."""
    return {
        field: " ".join(dict.fromkeys(line[field] for line in lines if line[field]))
        for field in ("data_digest", "split")
    }


def tags(protocol: Mapping[str, Any]) -> dict[str, str]:
    """The protocol as tags of a run; the versions of a hundred packages are in protocol.json alone."""
    return {
        f"{TAG}{field}": in_words(protocol[field])[:_TAG_LENGTH] for field in FIELDS if field != "versions"
    }


def in_words(value: Any) -> str:
    """A field as one line of text, such as `true` or `{"seed": 0}`."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs, in the order of `FIELDS`; of a field with parts, each part that does.

    Examples
    --------
    >>> changes({"seed": 0, "versions": {"numpy": "2.3"}}, {"seed": 0, "versions": {"numpy": "2.4"}})
    [Change(what='versions numpy', before='2.3', now='2.4')]
    """
    found = []
    for field in FIELDS:
        old, new = before.get(field, ""), now.get(field, "")
        if isinstance(old, dict) and isinstance(new, dict):
            for part in dict.fromkeys((*old, *new)):
                sides = (in_words(one[part]) if part in one else "none" for one in (old, new))
                found.append(Change(f"{field} {part}", *sides))
        else:
            found.append(Change(field, in_words(old), in_words(new)))
    return [change for change in found if change.before != change.now]


def _checkout() -> dict[str, Any]:
    """Commit of the root, and whether tracked files differ from it."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit or "", "dirty": "" if changed is None else bool(changed)}


def _git(*arguments: str) -> str | None:
    """What git says about the root; None where there is no git or no checkout."""
    # inside a hook, GIT_DIR names the repository of the hook
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root()), *arguments]
    try:
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _lock_digest() -> str:
    try:
        return hashlib.sha256((root() / "requirements.txt").read_bytes()).hexdigest()
    except OSError:
        return ""


@cache
def _versions() -> dict[str, str]:
    """Every installed package but mflib."""
    metadata = (one.metadata for one in importlib.metadata.distributions())
    found = ((one["Name"], one["Version"]) for one in metadata)
    return dict(sorted((name.lower(), version) for name, version in found if name and name != "mflib"))


def _cpu() -> str:
    """The model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _threads(environment: Mapping[str, str]) -> dict[str, Any]:
    names = [f"{library}_NUM_THREADS" for library in _THREADS]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = {name: environment[name] for name in names if name in environment}
    return {**said, "cores": os.cpu_count(), "usable": usable}
