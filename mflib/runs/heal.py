"""What an SQLite store needs before MLflow may open it: a schema that MLflow knows, and paths of this place.

MLflow keeps the place of each artifact as an absolute path. When the checkout has moved, these lead to where
it was: MLflow then shows no artifacts and says nothing, and the runs of a copy show the artifacts of the
original. So the store notes in a table of its own where its artifacts are, and when they are elsewhere the
paths below the noted folder, and only those, are rewritten. Nothing here imports MLflow.
"""

import importlib.metadata
import importlib.util
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path

from mflib.runs.project import InputError

LOCK_SECONDS = 60  # how long to wait for another program that writes to the database
_PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def connect(database: Path) -> closing:
    """A connection that begins no transaction by itself, closed at the end of the context."""
    return closing(sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None))


def settle(database: Path, artifacts: Path) -> None:
    """The first words to a database that MLflow has just made: where the artifacts are.

    MLflow puts those of the experiment `Default` below the working folder of whoever made it.
    """
    with connect(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        default = f"{artifacts.as_uri()}/0"
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", [default])
        _note(connection, artifacts)
        connection.execute("COMMIT")


def heal(database: Path, artifacts: Path) -> bool:
    """Rewrite the paths of a store that has moved or been copied, in one transaction.

    Parameters
    ----------
    database : Path
        An SQLite database with tables.
    artifacts : Path
        The folder of its artifacts, here and now.

    Returns
    -------
    bool
        Whether anything had to be done.

    Raises
    ------
    sqlite3.Error
        If the database cannot be read and written; it stays as it was.
    """
    with connect(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        former = _noted(connection)
        if former == artifacts:
            return False
        if former is not None:
            _rewrite(connection, former, artifacts)
        _note(connection, artifacts)
        connection.execute("COMMIT")
        return former is not None


def moved_from(database: Path, artifacts: Path) -> Path | None:
    """Where the artifacts of a store were when its paths were written, if they are elsewhere now."""
    with connect(database) as connection:
        former = _noted(connection)
    return None if former == artifacts else former


def _noted(connection: sqlite3.Connection) -> Path | None:
    """Where the artifacts were when the store was last opened; None where nobody has noted it yet."""
    if not _has(connection, "mflib_store"):
        return None
    return Path(*connection.execute("SELECT artifacts FROM mflib_store").fetchone())


def _note(connection: sqlite3.Connection, artifacts: Path) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS mflib_store (artifacts TEXT NOT NULL)")
    connection.execute("DELETE FROM mflib_store")
    connection.execute("INSERT INTO mflib_store VALUES (?)", [str(artifacts)])


def _rewrite(connection: sqlite3.Connection, old: Path, new: Path) -> None:
    """Replace the beginning of each path below the old folder, written as an address or as a plain path."""
    for table, columns in _PATHS.items():
        for column in columns if _has(connection, table) else ():
            for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    [after, len(before) + 1, before, len(before) + 1, f"{before}/"],
                )


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone())


def check_schema(database: Path) -> None:
    """See that the installed MLflow can open a database, which it would refuse with a misleading word.

    Raises
    ------
    InputError
        If its schema is newer or older than the installed MLflow; nothing is touched.
    """
    found, installed = schema(database), f"MLflow {importlib.metadata.version('mlflow')}"
    if is_older(database):
        raise InputError(
            f"{database}: is from an older MLflow (schema {found}) than {installed}; "
            "`mflib doctor --fix` upgrades it and keeps a copy of what it was"
        )
    if found is not None and found not in _revisions()[0]:
        raise InputError(
            f"{database}: is from a newer MLflow (schema {found}), which {installed} cannot open; "
            "install the MLflow that made it, or set MLFLOW_TRACKING_URI to another store"
        )


def is_older(database: Path) -> bool:
    """Whether the installed MLflow knows a database's schema and has a later one."""
    known, latest = _revisions()
    return schema(database) in known - {latest}


def schema(database: Path) -> str | None:
    """The revision of a database's schema; None where MLflow has not made one yet."""
    with connect(database) as connection:
        if not _has(connection, "alembic_version"):
            return None
        return (connection.execute("SELECT version_num FROM alembic_version").fetchone() or [None])[0]


@cache
def _revisions() -> tuple[set[str], str]:
    """The revisions that the installed MLflow knows, and the last: the one that no other follows."""
    package = Path(importlib.util.find_spec("mlflow").origin).parent
    known, followed = set(), set()
    for script in (package / "store" / "db_migrations" / "versions").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        known.update(re.findall(r'^revision = "(\w+)"', text, re.MULTILINE))
        followed.update(re.findall(r'^down_revision = "(\w+)"', text, re.MULTILINE))
    return known, *(known - followed)


def upgrade(database: Path) -> Path:
    """Bring an older database to the schema of the installed MLflow.

    Parameters
    ----------
    database : Path

    Returns
    -------
    Path
        The copy of the database as it was, beside it.

    Raises
    ------
    InputError
        If MLflow cannot upgrade it; it stays as it was.
    """
    copy = database.with_name(f"{database.name}.{schema(database)}")
    _copy(database, copy)
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{database}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        _copy(copy, database)
        why = (re.findall(r"^[\w.]*(?:Error|Exception)\b.*", done.stderr, re.MULTILINE) or ["no reason"])[-1]
        raise InputError(f"{database}: MLflow cannot upgrade it, it stays as it was: {why}")
    return copy


def _copy(source: Path, target: Path) -> None:
    """Copy a database as it is between two transactions."""
    with connect(source) as one, connect(target) as other:
        one.backup(other)
