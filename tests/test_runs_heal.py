"""Stores that were moved, copied, or made by another MLflow: real databases, in folders with odd names."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils

from mflib.runs import heal
from mflib.runs.project import InputError
from mflib.runs.store import open_store


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A root whose store has an artifact of a run, a logged model and a registered one."""
    root = tmp_path_factory.mktemp("heal") / "an öld #1 place 100%"
    store = opened(root)
    client = store.client()
    run = client.create_run(store.experiment("moved")).info.run_id
    client.log_text(run, "as it was", "notes/one.txt")
    model = client.create_logged_model(client.get_run(run).info.experiment_id, source_run_id=run)
    client.create_registered_model("ratings")
    client.create_model_version("ratings", model.artifact_location, run_id=run)
    client.create_experiment("elsewhere", "file:///data/mlruns/artifacts")
    client.create_experiment("beside", (root / "mlruns" / "artifacts-of-others").as_uri())
    return root


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A database as the first MLflow 3 made it."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    path = tmp_path_factory.mktemp("older") / "mlflow.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "6953534de441")
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'long ago', 'active')"
        )
    return path


def opened(root):
    """The store of a root, opened as a process of its own would: MLflow remembers the place of artifacts."""
    utils._artifact_repos_cache.clear()
    os.environ["MFLIB_ROOT"] = str(root)
    return open_store()


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("MFLIB_ROOT", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def copied(recorded, tmp_path, name="a new place"):
    return Path(shutil.copytree(recorded, tmp_path / name))


def database(root):
    return root / "mlruns" / "mlflow.db"


def written(root):
    """Every path that the database holds."""
    with closing(sqlite3.connect(database(root))) as connection:
        return {
            path
            for table, columns in heal._PATHS.items()
            for column in columns
            for (path,) in connection.execute(f"SELECT {column} FROM {table}")
            if path
        }


def the_run(store):
    return store.client().search_runs([store.experiment("moved")])[0].info.run_id


def test_after_a_move_everything_is_found_where_it_is_now(recorded, tmp_path):
    first = copied(recorded, tmp_path)
    root = Path(shutil.move(first, tmp_path / "then ànother"))
    store = opened(root)
    client, run = store.client(), the_run(store)
    assert [item.path for item in client.list_artifacts(run, "notes")] == ["notes/one.txt"]
    assert Path(client.download_artifacts(run, "notes/one.txt")).read_text() == "as it was"
    own = {path for path in written(root) if path.startswith(f"{store.artifacts.as_uri()}/")}
    elsewhere = {
        store.artifacts.as_uri(),
        "file:///data/mlruns/artifacts",
        (recorded / "mlruns" / "artifacts-of-others").as_uri(),
    }
    assert written(root) == own | elsewhere
    assert len(own) == 3  # of the run, of the logged model and its registered version, of `Default`


def test_a_copy_is_healed_and_the_original_left_alone(recorded, tmp_path):
    before = database(recorded).read_bytes()
    copy = opened(copied(recorded, tmp_path))
    client, run = copy.client(), the_run(copy)
    client.log_text(run, "changed in the copy", "notes/one.txt")
    assert database(recorded).read_bytes() == before
    original = opened(recorded)
    read = original.client().download_artifacts(the_run(original), "notes/one.txt")
    assert Path(read).read_text() == "as it was"


def test_plain_paths_are_healed_too(recorded, tmp_path):
    root = copied(recorded, tmp_path)
    with closing(sqlite3.connect(database(root))) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", [f"{recorded}/mlruns/artifacts/x/artifacts"])
    opened(root)
    assert f"{root}/mlruns/artifacts/x/artifacts" in written(root)


def test_a_place_within_the_old_one_and_back(recorded, tmp_path):
    root = copied(recorded, tmp_path, "a")
    opened(root)
    before = written(root)
    (tmp_path / "b").mkdir()
    inner = Path(shutil.move(root, tmp_path / "b" / "a"))
    opened(inner)
    back = Path(shutil.move(inner, root))
    opened(back)
    assert written(back) == before


def test_nothing_is_written_and_mlflow_not_imported_where_nothing_has_moved(recorded):
    before = database(recorded).read_bytes()
    code = "import sys; from mflib.runs.store import open_store; open_store(); print('mlflow' in sys.modules)"
    environment = {**os.environ, "MFLIB_ROOT": str(recorded)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert database(recorded).read_bytes() == before


def test_a_healing_that_breaks_off_changes_nothing_and_is_done_again(recorded, tmp_path):
    root = copied(recorded, tmp_path)
    with closing(sqlite3.connect(database(root))) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON model_versions BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
        connection.commit()
        before = written(root)
        with pytest.raises(InputError, match=r"mlflow\.db: the store cannot be written: no room"):
            opened(root)
        assert written(root) == before
        connection.execute("DROP TRIGGER full")
    opened(root)
    assert not written(root) & before - {"file:///data/mlruns/artifacts"} - {
        (recorded / "mlruns" / "artifacts-of-others").as_uri()
    }


def test_many_open_a_moved_store_at_once(recorded, tmp_path):
    root = copied(recorded, tmp_path)
    command = [sys.executable, "-c", "from mflib.runs.store import open_store; open_store()"]
    environment = {**os.environ, "MFLIB_ROOT": str(root)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert the_run(opened(root))
    assert (root / "mlruns" / "artifacts").as_uri() in written(root)


def test_a_store_of_a_newer_mlflow_is_refused_and_not_touched(recorded, tmp_path):
    root = copied(recorded, tmp_path)
    with closing(sqlite3.connect(database(root))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
    before = database(root).read_bytes()
    with pytest.raises(
        InputError, match=r"mlflow\.db: is from a newer MLflow \(schema fedcba987654\), which"
    ):
        opened(root)
    assert database(root).read_bytes() == before


def test_a_store_of_an_older_mlflow_is_refused_and_then_upgraded_beside_a_copy(older, tmp_path):
    (tmp_path / "mlruns").mkdir()
    path = Path(shutil.copy(older, database(tmp_path)))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"is from an older MLflow .*; `mflib doctor --fix` upgrades it"):
        opened(tmp_path)
    assert path.read_bytes() == before
    copy = heal.upgrade(path)
    assert copy == path.with_name("mlflow.db.6953534de441")
    assert heal.schema(copy) == "6953534de441"
    assert opened(tmp_path).client().get_experiment("7").name == "long ago"


@pytest.mark.soak
def test_an_upgrade_that_fails_leaves_the_database_as_it_was(older, tmp_path):
    path = Path(shutil.copy(older, tmp_path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE trace_info")
    with closing(sqlite3.connect(path)) as connection:
        before = list(connection.iterdump())
    with pytest.raises(InputError, match=r"MLflow cannot upgrade it, it stays as it was: .*trace_info"):
        heal.upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_a_database_that_another_program_holds_is_waited_for(recorded, tmp_path, seconds):
    store = opened(copied(recorded, tmp_path))
    client, run = store.client(), the_run(store)
    holder = sqlite3.connect(store.database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    released = threading.Timer(seconds, holder.execute, ["ROLLBACK"])
    released.start()
    started = time.monotonic()
    client.log_metric(run, "loss", 1.5, timestamp=1, step=0)
    assert time.monotonic() - started > seconds - 1
    released.join()
    holder.close()
    assert [point.value for point in client.get_metric_history(run, "loss")] == [1.5]
