"""A point of a sweep finishes once, also where two processes try: a worker that was given up may come back.

Whoever takes a point over revokes the runs that others have of it. A run that is revoked, or whose point has
finished as another run, is recorded as KILLED instead of FINISHED. The store knows no lock, and between that
look and the record another run of the point may have finished; so each run looks again when it is FINISHED,
and of several all keep the same one. What a process that died in between could not do, the sweep does at its
end and when it goes on (`sweep_store.settled`).
"""

from mflib.runs.clock import end_run
from mflib.runs.outcome import FINISHED, KILLED

LOST = "its point was given to another process"
_REVOKED = "mflib.revoked"
_POINT, _PARENT = "mflib.point", "mlflow.parentRunId"


def attempts(client, experiment: str, tags) -> list:
    """The runs of a point, in the order of their starts.

    Parameters
    ----------
    client : mlflow.MlflowClient
    experiment : str
        The id.
    tags : mapping of str to str
        Those that say of which point of which sweep a run is.

    Returns
    -------
    list of mlflow.entities.Run
        Empty for tags of no sweep.
    """
    if _POINT not in tags or _PARENT not in tags:
        return []
    of_point = " and ".join(f"tags.`{name}` = '{tags[name]}'" for name in (_PARENT, _POINT))
    return client.search_runs([experiment], of_point, order_by=["attributes.start_time ASC"])


def revoke(client, run) -> None:
    """End a run whose process may go on, and see to it that it does not become FINISHED."""
    run_id = run.info.run_id
    client.set_tag(run_id, _REVOKED, "true")
    client.set_tag(run_id, "error", LOST)
    end_run(client, run_id, KILLED)


def revoked(run) -> bool:
    """Whether somebody has revoked a run."""
    return _REVOKED in run.data.tags


def objection(client, run) -> str:
    """Why a run whose notebook has finished is not recorded as FINISHED; empty for no reason."""
    if revoked(run):
        return LOST
    others = (one.info.run_id for one in _finished(client, run) if one.info.run_id != run.info.run_id)
    other = next(others, None)
    return f"its point has finished as run {other}" if other else ""


def settle(client, run) -> bool:
    """Keep one of the FINISHED runs of a point, as every process that looks; whether it is this one."""
    kept = keep_one(client, _finished(client, run))
    return kept is None or kept.info.run_id == run.info.run_id


def keep_one(client, finished: list):
    """Of the FINISHED runs of a point the first that was not revoked; the others become KILLED.

    Parameters
    ----------
    client : mlflow.MlflowClient
    finished : list of mlflow.entities.Run

    Returns
    -------
    mlflow.entities.Run or None
        None of none.
    """
    order = sorted(finished, key=lambda one: (revoked(one), one.info.start_time, one.info.run_id))
    for one in order[1:]:
        client.set_tag(one.info.run_id, "error", LOST)
        end_run(client, one.info.run_id, KILLED)
    return order[0] if order else None


def finished(client, experiment: str, tags) -> list:
    """Those of `attempts` that are FINISHED: one or none, but for a moment."""
    return [one for one in attempts(client, experiment, tags) if one.info.status == FINISHED]


def _finished(client, run) -> list:
    return finished(client, run.info.experiment_id, run.data.tags)
