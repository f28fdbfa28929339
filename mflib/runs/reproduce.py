"""Execute a recorded run again, and say whether the same came out."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from mflib import text
from mflib.runs import protocol, results
from mflib.runs.declared import convert, declared
from mflib.runs.lookup import find_run
from mflib.runs.outcome import FINISHED, Outcome
from mflib.runs.params import Execution
from mflib.runs.project import InputError, find_notebook, nearest, root
from mflib.runs.store import Store

REPRODUCES, VERDICT = "mflib.reproduces", "mflib.verdict"
_SHOWN = 60  # signs of a value


class Original(NamedTuple):
    """A recorded run: its id, protocol and results, and what executes it again."""

    run_id: str
    protocol: dict[str, Any]
    results: results.Results
    execution: Execution


@dataclass(frozen=True)
class Reproduction:
    """How a run came out that was executed again."""

    original: str  # ids of the two runs; the second is empty where none could be made
    run_id: str
    verdict: str  # identical, equal within tolerance, or different
    first: results.Difference | None
    changes: list[protocol.Change]

    def holds(self, strict: bool = False) -> bool:
        """Whether it is the same: to the bit if strict, else within tolerance."""
        return self.verdict == results.IDENTICAL or (self.verdict == results.WITHIN and not strict)


def original(store: Store, run: str, from_tree: bool = False) -> Original:
    """A recorded run, checked to be whole.

    Parameters
    ----------
    store : Store
    run : str
        Its id, the beginning of one, or `latest`.
    from_tree : bool
        Execute the notebook of this name in the checkout instead of the recorded one.

    Returns
    -------
    Original

    Raises
    ------
    InputError
        If there is no such run, it did not finish or recorded no result, something of it is missing or
        was altered, or a parameter does not fit the notebook.
    """
    client, found = store.client(), find_run(store, run)
    run_id, place = found.info.run_id, f"run {found.info.run_id[:8]}"
    if found.info.status != FINISHED:
        raise InputError(f"{place}: is {found.info.status}; only a finished run has a result to compare with")
    with tempfile.TemporaryDirectory(prefix="mflib-") as scratch:
        about = _protocol(client, run_id, scratch, place)
        if from_tree:
            notebook = find_notebook(found.data.tags.get("mflib.notebook", ""), place)
        else:
            notebook = _recorded(client, run_id, scratch, about, place)
        execution = Execution(
            root() / "notebooks" / notebook.name,
            _parameters(about["parameters"], notebook, place),
            client.get_experiment(found.info.experiment_id).name,
            about["timeout"],
            found.data.tags.get("mflib.params_file", ""),
            tags={REPRODUCES: run_id},
            content=notebook.read_text(encoding="utf-8"),
        )
    return Original(run_id, about, _results(client, found, about, place), execution)


def judge(store: Store, before: Original, outcome: Outcome) -> Reproduction:
    """Compare a new execution with the original, and tag its run with the verdict.

    Parameters
    ----------
    store : Store
    before : Original
    outcome : Outcome
        Of `before.execution`; one that did not finish is different.

    Returns
    -------
    Reproduction
    """
    client, changes = store.client(), []
    verdict = results.DIFFERENT
    first = results.Difference("status", FINISHED, f"{outcome.status}: {outcome.error}")
    if outcome.run_id:
        with tempfile.TemporaryDirectory(prefix="mflib-") as scratch:
            if path := _fetch(client, outcome.run_id, "protocol.json", scratch):
                changes = protocol.changes(before.protocol, json.loads(path.read_text(encoding="utf-8")))
        if outcome.status == FINISHED:
            names = client.get_run(outcome.run_id).data.metrics
            verdict, first = results.compare(before.results, results.of_run(client, outcome.run_id, names))
        client.set_tag(outcome.run_id, VERDICT, verdict)
    return Reproduction(before.run_id, outcome.run_id, verdict, first, changes)


def in_words(found: Reproduction) -> str:
    """What changed, the first difference, and the verdict in the last line."""
    lines = []
    if found.changes:
        rows = [tuple(map(_shown, change)) for change in found.changes]
        lines += [text.table([("changed", "before", "now"), *rows]), ""]
    if found.first:
        where, before, now = map(_shown, found.first)
        lines.append(f"first difference: {where}: {before} before, {now} now")
    return "\n".join([*lines, f"run {found.run_id} reproduces {found.original}: {found.verdict}"])


def _protocol(client, run_id: str, scratch: str, place: str) -> dict[str, Any]:
    """What the run wrote down of itself."""
    path = _fetch(client, run_id, "protocol.json", scratch)
    if path is None:
        raise InputError(f"{place}: its protocol.json is not in the store: `mflib run` did not record it")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        about["timeout"] = convert(about["timeout"], "float", place)
        whole = isinstance(about["parameters"], dict) and {"notebook_digest", "result_digest"} <= about.keys()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise InputError(f"{place}: its protocol.json is damaged: it does not hold what was recorded")
    return about


def _recorded(client, run_id: str, scratch: str, about: dict[str, Any], place: str) -> Path:
    """The notebook as it was before the run, seen to be the one that ran."""
    attached = [
        item.path for item in client.list_artifacts(run_id, "notebook") if item.path.endswith(".ipynb")
    ]
    path = _fetch(client, run_id, attached[0], scratch) if len(attached) == 1 else None
    if path is None:
        raise InputError(f"{place}: its notebook is not in the store; --tree takes that of the checkout")
    try:
        content = protocol.without_traces(nbformat.read(path, as_version=4))
        same = protocol.notebook_digest(content.cells) == about["notebook_digest"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        same = False
    if not same:
        raise InputError(
            f"{place}: its notebook in the store is not the one that ran; --tree takes that of the checkout"
        )
    nbformat.write(content, path)
    return path


def _parameters(recorded: dict[str, Any], notebook: Path, place: str) -> dict[str, Any]:
    """The recorded parameters, checked against the notebook; new ones have their defaults."""
    known = declared(notebook)
    for name in recorded:
        if name not in known:
            raise InputError(f"{place}: {notebook.name} has no parameter {name!r}{nearest(name, known)}")
    values = {name: parameter.default for name, parameter in known.items()}
    return values | {
        name: convert(value, known[name].kind, f"{place}, {name}") for name, value in recorded.items()
    }


def _results(client, run, about: dict[str, Any], place: str) -> results.Results:
    """What came out, seen to be what the digest was taken of."""
    if not about["result_digest"]:
        raise InputError(f"{place}: recorded neither a metric nor a result, there is nothing to compare with")
    found = results.of_run(client, run.info.run_id, run.data.metrics)
    if results.digest(found) != about["result_digest"]:
        raise InputError(f"{place}: its metrics and results in the store are not those that it recorded")
    return found


def _fetch(client, run_id: str, path: str, scratch: str) -> Path | None:
    """An artifact as a file; None where the store has none of this name."""
    folder = path.rpartition("/")[0] or None
    if path not in (item.path for item in client.list_artifacts(run_id, folder)):
        return None
    return Path(client.download_artifacts(run_id, path, scratch))


def _shown(value: str) -> str:
    """A value on one line: digests by their beginning."""
    if len(value) in (40, 64) and set(value) <= set("0123456789abcdef"):
        return value[:12]
    return text.shown(value, _SHOWN) or "-"
