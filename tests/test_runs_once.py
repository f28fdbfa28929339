"""Of two processes that execute the same point of a sweep, one records it as FINISHED."""

from collections import Counter

import pytest

from mflib.runs import once, unsent
from mflib.runs.execute import execute
from mflib.runs.outcome import FINISHED, KILLED
from mflib.runs.params import Execution
from mflib.runs.stop import Stop
from mflib.runs.store import open_store


@pytest.fixture
def point(project):
    """A point of a sweep: each is another one."""
    path = project.notebook(
        "01_point", "from mflib.runs import record_metrics\nrecord_metrics({'loss': 1.0})"
    )
    return Execution(path, {}, "points", tags={"mflib.point": "a point", "mlflow.parentRunId": "a parent"})


def statuses(store, point):
    runs = once.attempts(store.client(), store.experiment(point.experiment), point.tags)
    return {run.info.run_id: run.info.status for run in runs}


def test_a_point_that_has_finished_is_not_recorded_as_finished_again(point):
    store = open_store()
    first, second = (execute(point, store, Stop(())) for _ in range(2))
    assert (first.status, second.status) == (FINISHED, KILLED)
    assert statuses(store, point) == {first.run_id: FINISHED, second.run_id: KILLED}
    run = store.client().get_run(second.run_id)
    assert run.data.tags["error"] == f"its point has finished as run {first.run_id}"
    assert run.data.metrics["loss"] == 1.0  # what it had recorded is kept


def test_a_run_that_was_revoked_while_it_ran_is_not_recorded_as_finished(point):
    """That of a worker which was given up, and comes back."""
    store = open_store()

    def revoke(cell, n_cells):
        for run in once.attempts(store.client(), store.experiment(point.experiment), point.tags):
            unsent.take_over(store, run)
        assert set(statuses(store, point).values()) == {KILLED}  # at once: it may never come back

    outcome = execute(point, store, Stop(()), revoke)
    assert (outcome.status, outcome.error) == (KILLED, once.LOST)
    assert statuses(store, point) == {outcome.run_id: KILLED}
    assert not list(unsent.place(store).iterdir())


@pytest.mark.parametrize("first_is_revoked", [False, True])
def test_of_two_that_finish_in_the_same_moment_all_keep_the_same_one(point, monkeypatch, first_is_revoked):
    """Where neither look in front of the record saw the other."""
    store = open_store()
    monkeypatch.setattr(once, "objection", lambda client, run: "")
    outcomes = [execute(point, store, Stop(()))]
    if first_is_revoked:
        store.client().set_tag(outcomes[0].run_id, "mflib.revoked", "true")
    outcomes.append(execute(point, store, Stop(())))
    lost, kept = outcomes if first_is_revoked else reversed(outcomes)
    assert statuses(store, point) == {kept.run_id: FINISHED, lost.run_id: KILLED}
    assert store.client().get_run(lost.run_id).data.tags["error"] == once.LOST
    assert outcomes[1].status == (FINISHED if first_is_revoked else KILLED)


@pytest.mark.parametrize("first_is_revoked", [pytest.param(False, marks=pytest.mark.soak), True])
def test_who_dies_between_the_record_and_the_look_behind_it_is_found_by_its_run_folder(
    point, monkeypatch, first_is_revoked
):
    store = open_store()
    first = execute(point, store, Stop(()))
    if first_is_revoked:
        store.client().set_tag(first.run_id, "mflib.revoked", "true")

    def die(client, run):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(once, "objection", lambda client, run: "")
        patch.setattr(once, "settle", die)
        with pytest.raises(SystemExit):
            execute(point, store, Stop(()))
    assert list(statuses(store, point).values()) == [FINISHED, FINISHED]
    (folder,) = unsent.place(store).iterdir()
    kept = folder.name if first_is_revoked else first.run_id
    assert unsent.hand_in(store, folder) == (FINISHED if first_is_revoked else KILLED)
    assert statuses(store, point).pop(kept) == FINISHED
    assert sorted(statuses(store, point).values()) == [FINISHED, KILLED]
    assert not list(unsent.place(store).iterdir())


def test_points_of_other_sweeps_and_runs_of_none_are_no_matter(point):
    store = open_store()
    tags = [{}, {}, *({"mflib.point": "a point", "mlflow.parentRunId": parent} for parent in "ab")]
    outcomes = [execute(Execution(point.notebook, {}, "points", tags=one), store, Stop(())) for one in tags]
    assert Counter(one.status for one in outcomes) == {FINISHED: 4}
