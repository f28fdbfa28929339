"""Models in the store: MLflow loads and scores what a notebook recorded, and serves it, without a pickle."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings

import mlflow
import pandas as pd
import pytest
from test_runs_server import free_port

from mflib import Factorization, Ratings, datasets
from mflib.runs import models, record_model
from mflib.runs.execute import execute
from mflib.runs.params import with_defaults
from mflib.runs.project import InputError
from mflib.runs.stop import Stop
from mflib.runs.store import open_store

SETTINGS = {"n_factors": 2, "iterations": 5}


def fitted(user=None, item=None):
    """A model whose labels these functions make of indices."""
    ratings = datasets.planted(12, 9, 50, n_factors=2, noise=0.1, mean=3.5).ratings
    if user is None:
        return Factorization(**SETTINGS).fit(ratings)
    users, items = [*map(user, ratings.users.tolist())], [*map(item, ratings.items.tolist())]
    return Factorization(**SETTINGS).fit(Ratings.from_arrays(users, items, ratings.values))


@pytest.fixture(scope="module")
def model():
    return fitted(lambda row: f"user {row}", lambda row: 100 + row)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "best"
    model.save(folder.with_suffix(".npz"))
    models.write(folder.with_suffix(".npz"), folder)
    return folder


def test_mlflow_scores_a_frame_and_says_what_was_unknown(model, folder):
    pairs = pd.DataFrame({"user": ["user 1", "user 2", "zoe"], "item": [101, 7, 101]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = mlflow.pyfunc.load_model(str(folder)).predict(pairs)
    assert found["known"].tolist() == [True, False, False]
    with pytest.warns(UserWarning, match="2 of 3 pairs"):
        expected = model.predict(pairs["user"], pairs["item"], unknown="mean")
    assert found["rating"].tolist() == expected.tolist()


def test_the_model_has_a_signature_and_an_example_it_can_score(folder):
    loaded = mlflow.pyfunc.load_model(str(folder))
    inputs, outputs = loaded.metadata.signature.inputs, loaded.metadata.signature.outputs
    assert [(one.name, str(one.type)) for one in inputs] == [
        ("user", "DataType.string"),
        ("item", "DataType.long"),
    ]
    assert outputs.input_names() == ["rating", "known"]
    assert loaded.predict(loaded.input_example)["known"].all()
    with pytest.raises(mlflow.MlflowException, match="Incompatible input types for column item"):
        loaded.predict(pd.DataFrame({"user": ["user 1"], "item": ["Alien"]}))


def test_no_file_of_the_model_is_a_pickle(folder):
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "served_model.py", "best.npz"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib", ".cloudpickle"))]
    assert "python_model" not in (folder / "MLmodel").read_text()


def test_indices_are_whole_numbers_and_what_stood_there_is_replaced(tmp_path):
    model = fitted()
    model.save(tmp_path / "model.npz")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    models.write(tmp_path / "model.npz", tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.npz"}
    assert not (tmp_path / "model" / "old").exists()
    found = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(
        pd.DataFrame({"user": [3], "item": [2]})
    )
    assert found["rating"].tolist() == [model.predict(3, 2)]


@pytest.mark.parametrize("label", [lambda row: (row, 1), lambda row: b"x%d" % row, lambda row: 2**63 + row])
def test_labels_that_no_column_holds_are_refused(tmp_path, label):
    fitted(label, label).save(tmp_path / "model.npz")
    with pytest.raises(InputError, match="the user labels are no column of MLflow"):
        models.write(tmp_path / "model.npz", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_only_a_fitted_model_is_recorded(tmp_path, monkeypatch, model):
    monkeypatch.setenv("MFLIB_RUN_DIR", str(tmp_path))
    for name, what, message in (
        ("../best", model, "model name"),
        ("best", "model", "expected a Factorization, got str"),
        ("best", Factorization(), "not fitted yet"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            record_model(name, what)
    assert not [*tmp_path.iterdir()]
    record_model("best", model)
    recorded = Factorization.load(tmp_path / "artifacts" / "models" / "best.npz")
    assert recorded.recommend("user 1") == model.recommend("user 1")


NOTEBOOK = """
import os
import sys
from mflib import Factorization, Ratings, datasets
from mflib.runs import record_metrics, record_model
ratings = datasets.planted(12, 9, 50, n_factors=2, mean=3.5).ratings
model = Factorization(n_factors=2, iterations=5).fit(ratings)
record_model("best", model)
pairs = Ratings.from_arrays([(u,) for u in ratings.users.tolist()], ratings.items, ratings.values)
record_model("tuples", Factorization(n_factors=2, iterations=5).fit(pairs))
open(os.path.join(os.environ["MFLIB_RUN_DIR"], "artifacts", "models", "broken.npz"), "w").close()
record_metrics({"predicted": model.predict(1, 2), "mlflow": "mlflow" in sys.modules})
"""


def test_a_model_that_a_notebook_records_is_loaded_from_its_run(project):
    """Beside it, one whose labels no column holds, and a file that is none, stay as they are."""
    project.notebook("trains", NOTEBOOK)
    store = open_store()
    with Stop() as stop:
        outcome = execute(with_defaults("trains"), store, stop)
    assert (outcome.status, outcome.error) == ("FINISHED", "")
    client = project.client()
    metrics = client.get_run(outcome.run_id).data.metrics
    assert metrics["mlflow"] == 0
    found = {artifact.path for artifact in client.list_artifacts(outcome.run_id, "models")}
    assert found == {"models/best", "models/tuples.npz", "models/broken.npz"}
    mlflow.set_tracking_uri(store.uri)
    try:
        loaded = mlflow.pyfunc.load_model(f"runs:/{outcome.run_id}/models/best")
    finally:
        mlflow.set_tracking_uri(None)
    scored = loaded.predict(pd.DataFrame({"user": [1], "item": [2]}))
    assert scored["rating"][0] == metrics["predicted"]


@pytest.fixture
def served(folder, tmp_path):
    """The address of `mlflow models serve` on that model."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "-p", str(port)]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--env-manager", "local"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/invocations"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ask(address, *records):
    body = json.dumps({"dataframe_records": records}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.soak
def test_mlflow_serves_a_model(model, served):
    known, unknown = ask(served, {"user": "user 1", "item": 101}, {"user": "zoe", "item": 101})
    assert known == {"rating": model.predict("user 1", 101), "known": True}
    assert unknown["known"] is False
    assert unknown["rating"] == pytest.approx(model.mean_ + model.item_biases_[1], rel=1e-6)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(served, {"user": "user 1", "item": "Alien"})
    assert len(ask(served, *[{"user": f"user {row % 12}", "item": 101} for row in range(10_000)])) == 10_000
