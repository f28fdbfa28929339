import multiprocessing
import os
import socket
import sqlite3
from contextlib import closing

import pytest

from mflib import cli
from mflib.runs.project import InputError
from mflib.runs.store import locate, open_store


def create(barrier, root, found):
    """What each of eight processes does at the same moment."""
    os.environ["MFLIB_ROOT"] = root
    barrier.wait()
    try:
        found.put(open_store().experiment("shared"))
    except BaseException as error:
        found.put(repr(error))


def test_eight_processes_create_the_store_at_once(project):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow"])  # else its import spreads them over seconds
    barrier, found = context.Barrier(8), context.Queue()
    processes = [context.Process(target=create, args=(barrier, str(project.root), found)) for _ in range(8)]
    for process in processes:
        process.start()
    answers = [found.get(timeout=100) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(answers)) == 1
    assert answers[0].isdigit(), answers[0]
    assert [one.name for one in project.client().search_experiments()] == ["shared", "Default"]


def test_a_creation_that_is_cut_short_is_done_again(project, monkeypatch):
    def cut_short(engine):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.store.db.utils._upgrade_db", cut_short)
        with pytest.raises(KeyboardInterrupt):
            open_store()
    assert open_store().experiment("first").isdigit()


def test_a_database_of_something_else_is_not_replaced(project):
    (project.root / "mlruns").mkdir()
    with closing(sqlite3.connect(project.root / "mlruns" / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
    open_store()
    with closing(sqlite3.connect(project.root / "mlruns" / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_the_store_is_the_same_from_everywhere(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate().database == project.root / "mlruns" / "mlflow.db"
    assert locate().artifacts == project.root / "mlruns" / "artifacts"


def test_a_tracking_uri_takes_over_and_is_made_absolute(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert locate().database == tmp_path / "other.db"
    assert locate().artifacts == tmp_path / "artifacts"


def test_a_password_in_the_address_is_not_shown(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert locate().place == "http://127.0.0.1:9"


def test_a_deleted_experiment_is_refused(project):
    store = open_store()
    store.client().delete_experiment(store.experiment("old"))
    with pytest.raises(InputError, match="experiment 'old': was deleted"):
        store.experiment("old")


def a_file_in_the_way(project, monkeypatch):
    (project.root / "mlruns").write_text("")


def a_folder_that_takes_no_file(project, monkeypatch):
    (project.root / "mlruns").symlink_to("/proc/self")


def artifacts_that_take_no_file(project, monkeypatch):
    open_store()
    (project.root / "mlruns" / "artifacts").rmdir()
    (project.root / "mlruns" / "artifacts").symlink_to("/proc/self")


def a_file_that_is_no_database(project, monkeypatch):
    (project.root / "mlruns").mkdir()
    (project.root / "mlruns" / "mlflow.db").write_text("not a database, " * 100)


def a_server_that_is_not_there(project, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")


def the_retired_file_store(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(project.root / "mlruns"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (a_file_in_the_way, "mlruns/artifacts: the store cannot be written: "),
        (a_folder_that_takes_no_file, "the store cannot be written: "),
        (artifacts_that_take_no_file, "the store cannot be written: "),
        (a_file_that_is_no_database, "mlflow.db: the store cannot be written: file is not a database"),
        (a_server_that_is_not_there, "MLFLOW_TRACKING_URI=http://127.0.0.1:.*: cannot be reached: "),
        (the_retired_file_store, "MLFLOW_TRACKING_URI=.*: MLflow says: "),
    ],
)
def test_a_store_that_cannot_be_written_is_refused_in_one_sentence(project, monkeypatch, spoil, message):
    spoil(project, monkeypatch)
    with pytest.raises(InputError, match=message) as error:
        open_store()
    assert "\n" not in str(error.value)


def test_a_password_in_an_address_that_mlflow_repeats_is_not_shown(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgres://user:secret@nowhere/x")
    assert cli.main(["compare", "latest"]) == 2
    error = capsys.readouterr().err
    assert "postgres://nowhere/x" in error
    assert "secret" not in error
