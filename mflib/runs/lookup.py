"""Find recorded runs: by id, by the beginning of one, the latest, or all of an experiment."""

import re

from mflib.runs.project import InputError, nearest
from mflib.runs.store import Store

_ID = re.compile(r"[0-9a-f]{1,32}")
_PAGE = 1000  # what MLflow gives at once


def find_run(store: Store, text: str):
    """The one run that a user means.

    Parameters
    ----------
    store : Store
    text : str
        An id, the beginning of one that no other run shares, or `latest`: the run that was started last, also
        where the clock has been set back since (mflib.runs.clock).

    Returns
    -------
    mlflow.entities.Run

    Raises
    ------
    InputError
        If there is no such run, or more than one.
    """
    client = store.client()
    name = text.strip().lower()
    if name != "latest" and not _ID.fullmatch(name):
        raise InputError(f"run {text!r}: expected an id, the beginning of one, or 'latest'")
    wanted = "" if name == "latest" else f"attributes.run_id LIKE '{name}%'"
    found = client.search_runs(
        [one.experiment_id for one in experiments(client)],
        wanted,
        max_results=1 if name == "latest" else 6,
        order_by=["attributes.start_time DESC"],
    )
    if not found:
        raise InputError(f"run {text!r}: there is none in the store {store.place}; `mflib ui` lists them")
    if len(found) > 1:
        several = ", ".join(run.info.run_id[: len(name) + 4] for run in found[:5])
        more = ", …" if len(found) > 5 else ""
        raise InputError(f"run {text!r}: several runs begin so ({several}{more}); give more of the id")
    return found[0]


def runs_of(store: Store, experiment: str) -> list:
    """The runs of an experiment, the first started first.

    Parameters
    ----------
    store : Store
    experiment : str
        Its name.

    Returns
    -------
    list of mlflow.entities.Run

    Raises
    ------
    InputError
        If there is no such experiment, with the nearest name, or no run in it.
    """
    client = store.client()
    ids = {one.name: one.experiment_id for one in experiments(client)}
    if experiment not in ids:
        raise InputError(f"experiment {experiment!r}: there is none of this name{nearest(experiment, ids)}")
    found, token = [], None
    while token != "":
        page = client.search_runs(
            [ids[experiment]], max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        found += page
        token = page.token or ""
    if not found:
        raise InputError(f"experiment {experiment!r}: has no runs")
    return found


def latest_start(client) -> int:
    """When the run that was started last did so, in milliseconds since 1970; 0 without a run."""
    places = [one.experiment_id for one in experiments(client)]
    found = client.search_runs(places, max_results=1, order_by=["attributes.start_time DESC"])
    return found[0].info.start_time if found else 0


def experiments(client) -> list:
    """Every experiment that is not deleted."""
    found, token = [], None
    while token != "":
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        found += page
        token = page.token or ""
    return found
