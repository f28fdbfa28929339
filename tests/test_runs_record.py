import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mflib.runs import folder, record_figure, record_history, record_metrics, record_table

FIELDS = [("iteration", "i8"), ("loss", "f8"), ("validation_rmse", "f8"), ("seconds", "f8")]


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MFLIB_RUN_DIR", str(tmp_path))
    return tmp_path


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_appended_call_by_call(run_folder):
    record_metrics({"loss": 0.5, "proof.E08.holds": np.True_})
    record_metrics({"rmse.validation": np.float32(0.25), "n": 3})
    assert {line["name"]: line["values"] for line in lines(run_folder)} == {
        "loss": [0.5],
        "proof.E08.holds": [1.0],
        "rmse.validation": [0.25],
        "n": [3.0],
    }


def test_a_history_becomes_three_series_without_its_nans(run_folder):
    record_history(np.array([(0, 3.0, np.nan, 0.1), (5, 2.0, 0.9, 0.2)], FIELDS), prefix="plain.")
    found = {line["name"]: (line["steps"], line["values"]) for line in lines(run_folder)}
    assert found == {
        "plain.loss": ([0, 5], [3.0, 2.0]),
        "plain.rmse.validation": ([5], [0.9]),
        "plain.seconds.descent": ([0, 5], [0.1, 0.2]),
    }


def test_figures_and_tables_become_files(run_folder):
    record_figure("curve", Figure())
    record_table("frame", pd.DataFrame({"a": [1, 2]}))
    record_table("indexed", pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="title")))
    record_table("rows", iter([{"a": 1}, {"b": "two, three"}]))
    tables = run_folder / "artifacts" / "tables"
    assert (run_folder / "artifacts" / "figures" / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert (tables / "frame.csv").read_text() == "a\n1\n2\n"
    assert (tables / "indexed.csv").read_text() == "title,a\nx,1\n"
    assert (tables / "rows.csv").read_text() == 'a,b\n1,\n,"two, three"\n'
    assert sorted(path.name for path in run_folder.iterdir()) == ["artifacts"]


def test_a_figure_that_fails_to_draw_leaves_nothing(run_folder):
    class Torn(Figure):
        def savefig(self, file, **options):
            file.write(b"half")
            raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        record_figure("torn", Torn())
    assert not [path for path in run_folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["rmse@10", "a=b", "f(x)", "", "../x", "a/b", ".hidden", "a b", "a\n", 3])
def test_a_name_with_other_signs_is_refused(run_folder, name):
    for call in (
        lambda: record_metrics({name: 1}),
        lambda: record_figure(name, Figure()),
        lambda: record_table(name, []),
    ):
        with pytest.raises(ValueError, match="only letters, digits"):
            call()
    assert not list(run_folder.iterdir())


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (float("nan"), ValueError, "metric 'loss': expected a finite number, got nan"),
        (np.float32("inf"), ValueError, "metric 'loss': expected a finite number, got inf"),
        ("0.5", TypeError, "metric 'loss': expected a real number, got str"),
        (1j, TypeError, "metric 'loss': expected a real number, got complex"),
        (None, TypeError, "metric 'loss': expected a real number, got NoneType"),
        (np.ones(2), TypeError, "metric 'loss': expected a real number, got ndarray"),
    ],
)
def test_what_is_no_finite_number_is_refused(run_folder, value, error, message):
    with pytest.raises(error, match=message):
        record_metrics({"n": 1, "loss": value})
    assert not list(run_folder.iterdir())


def test_a_history_without_its_fields_or_with_an_infinite_loss_is_refused(run_folder):
    with pytest.raises(ValueError, match="history: loss is not finite at iteration 7"):
        record_history(np.array([(7, np.inf, np.nan, 0.1)], FIELDS))
    with pytest.raises(ValueError, match="with field 'seconds'"):
        record_history(np.zeros(2, FIELDS[:3]))
    with pytest.raises(ValueError, match="with field 'iteration'"):
        record_history([1.0, 2.0])
    assert not list(run_folder.iterdir())


@pytest.mark.parametrize("table", [[1, 2], 3, "text"])
def test_what_is_no_table_or_figure_is_refused(run_folder, table):
    with pytest.raises(TypeError, match="expected a DataFrame or a list of dicts"):
        record_table("t", table)
    with pytest.raises(TypeError, match="expected a matplotlib Figure"):
        record_figure("f", table)


def test_without_a_run_nothing_is_recorded_and_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MFLIB_RUN_DIR", raising=False)
    monkeypatch.setattr(folder, "_said_so", False)
    monkeypatch.chdir(tmp_path)
    record_metrics({"loss": 1})
    record_history(np.zeros(1, FIELDS))
    record_figure("f", Figure())
    record_table("t", [{"a": 1}])
    assert (
        capsys.readouterr().out == "Opened by hand: nothing is recorded (record = True does, or mflib run).\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_kernel_imports_neither_mlflow_nor_papermill_for_it():
    code = "import sys, mflib.runs; print({'mlflow', 'papermill', 'nbclient', 'yaml'} & sys.modules.keys())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"
