"""Run folders: what an execution leaves lies in one of them until the store has all of it.

    mlruns/unsent/<run_id>/   run.json, what is known of the run; the notebook's results, as
                              mflib.runs.record lays them out; the kernel's last words

So a store that does not answer, a full disk or a process that is killed loses nothing that was on disk:
`mflib doctor --fix` hands it in. To hand in what was handed in before changes nothing.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from mflib.runs import once, owner
from mflib.runs.clock import end_run
from mflib.runs.collect import complete, keep, log_tags
from mflib.runs.files import write_text
from mflib.runs.outcome import FINISHED, KILLED
from mflib.runs.project import root, shown
from mflib.runs.store import Store

_NOTE = "run.json"
_DIED = "its process died"


def place(store: Store) -> Path:
    """The folder of the run folders: beside an embedded store, for a server in the checkout."""
    return (store.database.parent if store.database else root() / "mlruns") / "unsent"


def begin(folder: Path, store: Store, **known: Any) -> None:
    """Make a run folder, with what is known of the run: `parameters` and `about`, the protocol."""
    folder.mkdir(parents=True)
    note(folder, server=_server(store), owner=owner.tags(), **known)


def left(store: Store) -> list[Path]:
    """The run folders for this store whose processes are dead: nobody will hand them in."""
    found = [path.parent for path in sorted(place(store).glob(f"*/{_NOTE}"))]
    return [folder for folder in found if _is_left(note(folder), store)]


def waits(folder: Path) -> str:
    """The end of a message about a run folder that is left."""
    return f"; what it left is in {shown(folder)}: `mflib doctor --fix` hands it in"


def _is_left(known: dict[str, Any], store: Store) -> bool:
    return known["server"] == _server(store) and owner.judge(known["owner"]) == owner.DEAD


def _server(store: Store) -> str:
    """The address of a server, for the checkout may know several; an embedded store moves with the folder."""
    return "" if store.database else store.place


def note(folder: Path, **known: Any) -> dict[str, Any]:
    """Add to what is known of a run; all of it.

    Parameters
    ----------
    folder : Path
        The run folder.
    **known : values for JSON
        `status`, `error` and `seconds` when the notebook has ended, `tags` when its results are complete.
    """
    path = folder / _NOTE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known:
        write_text(path, json.dumps(before | known))
    return before | known


def end_abandoned(store: Store, run) -> None:
    """End a run whose process is dead: as its run folder says, or as KILLED where it has none.

    Parameters
    ----------
    store : Store
    run : mlflow.entities.Run

    Raises
    ------
    Exception
        As `hand_in`.
    """
    run_id, client = run.info.run_id, store.client()
    if ((folder := place(store) / run_id) / _NOTE).exists():
        hand_in(store, folder)
    elif run.info.status == "RUNNING":
        shutil.rmtree(folder, ignore_errors=True)
        client.set_tag(run_id, "error", _DIED)
        end_run(client, run_id, KILLED)


def take_over(store: Store, run) -> None:
    """End a run of a point that is about to be executed by this process, or by one that it starts.

    What a process that is dead, or has ended the run itself, has left is handed in. Of one that may go on, on
    another machine or in a worker that was given up, the run is revoked: it never becomes FINISHED.

    Parameters
    ----------
    store : Store
    run : mlflow.entities.Run

    Raises
    ------
    Exception
        As `hand_in`.
    """
    running = run.info.status == "RUNNING"
    if owner.judge(run.data.tags) == owner.DEAD or not (running or once.revoked(run)):
        end_abandoned(store, run)
    elif running:
        once.revoke(store.client(), run)


def hand_in(store: Store, folder: Path) -> str:
    """Bring a run folder into its run, complete the run, and remove the folder.

    Parameters
    ----------
    store : Store
    folder : Path

    Returns
    -------
    str
        The status of the run: that of the notebook; KILLED where the process died before it had ended, or
        where its point of a sweep is another run's by now (mflib.runs.once).

    Raises
    ------
    Exception
        Whatever the store, or the disk, has against it: the folder stays as it was.
    """
    client, run_id, known = store.client(), folder.name, note(folder)
    run = client.get_run(run_id)
    if "status" not in known:
        known |= _broken_off(run, waits(folder))
    recorded = run.info.status == FINISHED  # by a process that died before it could settle
    if known["status"] == FINISHED and not recorded and (objection := once.objection(client, run)):
        known = note(folder, **known | {"status": KILLED, "error": objection})
    if "tags" not in known:
        tags = complete(folder, run_id, known["about"], known["status"] == FINISHED)
        known = note(folder, **known, tags=tags)
    keep(store, run_id, folder, known["parameters"], known["seconds"])
    log_tags(client, run_id, {**known["tags"], **({"error": known["error"]} if known["error"] else {})})
    if "error" in run.data.tags and not known["error"]:
        client.delete_tag(run_id, "error")  # that it was not recorded
    end_run(client, run_id, known["status"], known["seconds"])
    lost = known["status"] == FINISHED and not once.settle(client, run)
    shutil.rmtree(folder, ignore_errors=True)  # not before: who dies until here is found by it
    return KILLED if lost else known["status"]


def _broken_off(run, waits: str) -> dict[str, Any]:
    """What became of a run of which that could not be written into its folder."""
    if run.info.status != "RUNNING":
        error = run.data.tags.get("error", "").removesuffix(waits)
        return {"status": run.info.status, "error": error, "seconds": None}
    return {"status": KILLED, "error": _DIED, "seconds": None}
