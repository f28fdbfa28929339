"""The store of runs: SQLite and artifacts under mlruns/, or what MLFLOW_TRACKING_URI names.

MLflow resolves a relative path against the working folder of whoever calls, and crashes when several
processes create a database at once. So paths are absolute, and it is created once, under a lock. Where it
has moved since, its paths are healed (mflib.runs.heal).
"""

import os
import socket
import sqlite3
import tempfile
import time
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mflib.runs.heal import LOCK_SECONDS, check_schema, connect, heal, settle
from mflib.runs.project import InputError, root
from mflib.text import first_line

# Read when mlflow is imported, which only the functions below do.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # an error is raised, and said by us in a line
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # in the middle of our progress
# A server that is gone is asked again after 0, 4, 8, 16 and 32 s; MLflow would go on for four minutes a call.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # s, where it does not even refuse

_SQLITE = "sqlite:///"
_CREATION_SECONDS = 120  # how long to wait while another process creates the store


@dataclass(frozen=True)
class Store:
    """Where runs are kept: it can be handed to another process, a client cannot."""

    uri: str
    artifacts: Path | None  # None: the server decides

    @property
    def database(self) -> Path | None:
        """The file, if the store is SQLite."""
        return Path(self.uri.removeprefix(_SQLITE)) if self.uri.startswith(_SQLITE) else None

    @property
    def place(self) -> str:
        """Where it is, for a reader: without the password that an address may hold."""
        if self.database:
            return str(self.database)
        parts = urlsplit(self.uri)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def hide(self, message: str) -> str:
        """A message of MLflow's, without the password that the address in it may hold."""
        return message.replace(self.uri, self.place)

    def client(self):
        """An `MlflowClient` on this store, patient where another program holds the database."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm, in a kernel
            from mlflow import MlflowClient
        return _Patient(MlflowClient(tracking_uri=self.uri))

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, which is created where it is missing."""
        from mlflow.exceptions import MlflowException

        client = self.client()
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise InputError(f"experiment {name!r}: was deleted in MLflow; restore it or take another name")
        if found is not None:
            return found.experiment_id
        try:
            return client.create_experiment(name, self.artifacts and self.artifacts.as_uri())
        except MlflowException:
            if created := client.get_experiment_by_name(name):  # another process was faster
                return created.experiment_id
            raise


class _Patient:
    """A client whose calls are repeated while the database is locked; MLflow itself gives up after 20 s."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        call = getattr(self._client, name)

        def patiently(*arguments, **named):
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    return call(*arguments, **named)
                except Exception as error:
                    if "database is locked" not in str(error) or time.monotonic() > deadline:
                        raise

        return patiently


def locate() -> Store:
    """The store that holds here, whether or not it exists: the same from every working folder."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{root() / 'mlruns' / 'mlflow.db'}"
    if uri.startswith(_SQLITE):
        database = Path(uri.removeprefix(_SQLITE)).resolve()
        return Store(f"{_SQLITE}{database}", database.parent / "artifacts")
    remote = urlsplit(uri).scheme in ("http", "https", "databricks")
    return Store(uri, None if remote else root() / "mlruns" / "artifacts")


def open_store() -> Store:
    """The store, created if it does not exist and seen to be writable.

    Raises
    ------
    InputError
        If it cannot be created, reached or written, or is of another MLflow.
    """
    store = locate()
    if store.database is not None:
        _create(store)
    else:
        reach(store)
    return store


def _create(store: Store) -> None:
    """Create or heal the database and the artifact folder, one process at a time, and write to both."""
    from filelock import FileLock, Timeout

    database = store.database
    try:
        store.artifacts.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{database}.lock", timeout=_CREATION_SECONDS):
            if _is_empty(database):
                # under another name until it is complete: a creation that was cut short leaves nothing;
                # a new name each time, for MLflow keeps connections by the name
                for left in database.parent.glob(f"{database.name}.*.new"):
                    left.unlink()
                fresh = database.with_name(f"{database.name}.{uuid.uuid4().hex}.new")
                Store(f"{_SQLITE}{fresh}", store.artifacts).client().search_experiments(max_results=1)
                settle(fresh, store.artifacts)
                os.replace(fresh, database)
            else:
                check_schema(database)
                heal(database, store.artifacts)
        with tempfile.TemporaryFile(dir=store.artifacts):
            pass
    except InputError:
        raise
    except Timeout:
        raise InputError(f"{database}: another process has held its lock for {_CREATION_SECONDS} s") from None
    except OSError as error:
        raise InputError(
            f"{error.filename or database}: the store cannot be written: {error.strerror}"
        ) from None
    except sqlite3.Error as error:
        raise InputError(f"{database}: the store cannot be written: {error}") from None
    except Exception as error:
        raise InputError(f"{database}: MLflow cannot open the store: {first_line(error)}") from None


def _is_empty(database: Path) -> bool:
    """Whether the file, made if missing, has no table; sqlite3.Error if it cannot be written."""
    with connect(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def reach(store: Store) -> None:
    """Ask the store something: refused at once where nobody listens, while MLflow would try for a minute.

    Raises
    ------
    InputError
        If there is no answer.
    """
    parts = urlsplit(store.uri)
    try:
        if parts.scheme in ("http", "https"):
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
            socket.create_connection((parts.hostname, port), timeout=10).close()
        store.client().search_experiments(max_results=1)
    except (OSError, ValueError) as error:
        raise InputError(
            f"MLFLOW_TRACKING_URI={store.place}: cannot be reached: {store.hide(first_line(error))}"
        ) from None
    except Exception as error:
        said = store.hide(first_line(error))
        raise InputError(f"MLFLOW_TRACKING_URI={store.place}: MLflow says: {said}") from None
