"""A run is found by what a person would type, and anything else is refused in one sentence."""

import pytest

from mflib.runs.lookup import find_run, runs_of
from mflib.runs.project import InputError
from mflib.runs.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Seventeen runs in two experiments: two of them must begin with the same hexadecimal digit."""
    folder = tmp_path_factory.mktemp("store")
    store = Store(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")
    client = store.client()
    for i, experiment in enumerate(["early"] * 13 + ["late"] * 4):
        client.create_run(store.experiment(experiment), start_time=1000 + i, run_name=f"run {i}")
    return store


@pytest.fixture(scope="module")
def ids(store):
    return [run.info.run_id for name in ("early", "late") for run in runs_of(store, name)]


def test_runs_of_an_experiment_come_in_the_order_of_their_start(store):
    assert [run.info.run_name for run in runs_of(store, "late")] == [f"run {i}" for i in range(13, 17)]


def test_latest_is_the_run_that_was_started_last(store):
    assert find_run(store, "latest").info.run_name == "run 16"


def test_an_id_and_each_beginning_that_is_unique_find_the_run(store, ids):
    for run_id in ids:
        unique = next(n for n in range(1, 33) if sum(one.startswith(run_id[:n]) for one in ids) == 1)
        for text in (run_id, run_id[:unique], f" {run_id.upper()} "):
            assert find_run(store, text).info.run_id == run_id


def test_a_beginning_that_several_share_is_refused_with_their_ids(store, ids):
    shared = next(a[0] for a in ids for b in ids if a < b and a[0] == b[0])
    with pytest.raises(InputError, match=rf"run '{shared}': several runs begin so \({shared}\w"):
        find_run(store, shared)


@pytest.mark.parametrize(
    "text", ["", "x", "%", "_", "' OR 1=1 --", "../etc", "a" * 33, "\x1b[31m", "LATEST1"]
)
def test_what_is_no_id_is_refused_and_never_a_pattern(store, text):
    with pytest.raises(InputError, match="expected an id, the beginning of one, or 'latest'") as error:
        find_run(store, text)
    assert str(error.value).isprintable()


def test_an_id_that_is_not_there_is_refused_with_where_to_look(store):
    with pytest.raises(InputError, match=r"run 'f{32}': there is none in the store .*`mflib ui` lists them"):
        find_run(store, "f" * 32)


def test_a_deleted_run_is_not_found(store):
    client = store.client()
    run = client.create_run(store.experiment("early"))
    client.delete_run(run.info.run_id)
    with pytest.raises(InputError, match="there is none"):
        find_run(store, run.info.run_id)


def test_an_experiment_is_refused_with_the_nearest_name(store):
    with pytest.raises(InputError, match="experiment 'lat': there is none of this name; did you mean 'late'"):
        runs_of(store, "lat")
    store.experiment("empty")
    with pytest.raises(InputError, match="experiment 'empty': has no runs"):
        runs_of(store, "empty")
