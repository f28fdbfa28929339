"""A project for tests of the workflow: notebooks/, params/ and mlruns/ in a temporary folder."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest


class Project:
    """A root with notebooks and params files, and `mflib` on it."""

    def __init__(self, root: Path):
        self.root = root
        (root / "notebooks").mkdir(parents=True)
        (root / "params").mkdir()

    def notebook(self, name: str, *cells: str, parameters: str = "") -> Path:
        """Write a notebook of these code cells, behind a parameters cell."""
        head = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        content = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_markdown_cell(f"# {name}"), head, *map(nbformat.v4.new_code_cell, cells)]
        )
        path = self.root / "notebooks" / f"{name}.ipynb"
        nbformat.write(content, path)
        return path

    def params(self, text: str, name: str = "default") -> Path:
        """Write a params file."""
        path = self.root / "params" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process that works on this project."""
        unset = ("MLFLOW_TRACKING_URI", "OPENBLAS_NUM_THREADS")
        own = {name: value for name, value in os.environ.items() if name not in unset}
        return {**own, "MFLIB_ROOT": str(self.root), **more}

    def start(self, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.Popen:
        """Start `mflib …` in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [sys.executable, "-m", "mflib.cli", *arguments],
            cwd=cwd or self.root,
            env=self.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def mflib(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """`mflib …`, to its end."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def client(self, uri: str | None = None):
        """An MlflowClient on the project's store, or on another."""
        from mlflow import MlflowClient

        return MlflowClient(uri or f"sqlite:///{self.root}/mlruns/mlflow.db")

    def runs(self, uri: str | None = None) -> dict:
        """The recorded runs by name; of several of a name, the last."""
        client = self.client(uri)
        ids = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(ids, order_by=["attributes.start_time ASC"])
        return {run.info.run_name: run for run in found}


@pytest.fixture(scope="session", autouse=True)
def without_network(tmp_path_factory):
    """No test reads the cache of the user, or asks for data elsewhere than of a server of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFLIB_CACHE", str(tmp_path_factory.mktemp("cache") / "mflib"))
        patch.setenv("MFLIB_MOVIELENS_URL", "http://127.0.0.1:1")
        yield


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """An empty project, which is the root and the working folder also of this process."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MFLIB_ROOT", str(tmp_path / "root"))
    new = Project(tmp_path / "root")
    monkeypatch.chdir(new.root)
    return new


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory) -> Project:
    """A project for all tests of a module; a space and an umlaut in its path must not matter."""
    return Project(tmp_path_factory.mktemp("shared") / "a röot")


@pytest.fixture(scope="session")
def movielens_folder() -> Path:
    """The folder of ml-latest-small: what MFLIB_DATA holds, or what lies beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    store = Path(os.environ.get("MFLIB_DATA") or beside)
    for folder in (store / "ml-latest-small", store):
        if (folder / "ratings.csv").is_file():
            return folder
    pytest.skip(f"ml-latest-small is not in {store}: set MFLIB_DATA to the folder that holds it")


@pytest.fixture(scope="session")
def readme():
    """docs/readme.py, which makes what README shows."""
    path = Path(__file__).resolve().parent.parent / "docs" / "readme.py"
    spec = importlib.util.spec_from_file_location("readme", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
