"""Times of runs that hold when the clock is set back.

MLflow orders runs by their start. So no run is recorded to have started before one that was there already,
and none to have ended before it started. Durations are those of a clock that nobody can set.
"""

import time
from collections.abc import Mapping

from mflib.runs.lookup import latest_start
from mflib.runs.store import Store

CLOCK = "mflib.clock"  # tag: what the clock said when it had been set back
_TOLERATED = 1000  # ms: of runs that begin at once, one is put a moment later


def create_run(store: Store, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """Create a run that is RUNNING and the latest of the store.

    Parameters
    ----------
    store : Store
    experiment : str
        The id.
    name : str
    tags : mapping of str to str

    Returns
    -------
    str
        Its id. Where the clock is behind the start of another run, the run starts a millisecond after
        that; if it is behind by more than a second, the tag `mflib.clock` holds what the clock said.
    """
    now, client = _now(), store.client()
    start = max(now, latest_start(client) + 1)
    if start - now > _TOLERATED:
        tags = {**tags, CLOCK: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now / 1000))}
    return client.create_run(experiment, start, tags, name).info.run_id


def end_run(client, run_id: str, status: str, seconds: float | None = None) -> None:
    """Complete a run.

    Parameters
    ----------
    client : mlflow.MlflowClient
    run_id : str
    status : str
    seconds : float or None
        How long it took; without, it ends now, but never before it started.
    """
    start = client.get_run(run_id).info.start_time
    end = max(start, _now()) if seconds is None else start + round(1000 * seconds)
    client.set_terminated(run_id, status, end)


def _now() -> int:
    """Milliseconds since 1970, as the clock has it."""
    return int(time.time() * 1000)
