import subprocess
import sys

import pytest

from mflib import cli


@pytest.fixture
def lecture(project):
    project.notebook("01_loss", parameters="seed: int = 0")
    project.notebook("02_descent", parameters="k: int = 4")
    project.params("runs: [{notebook: 01_loss}]")
    return project


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["params/non.yaml"], "params/non.yaml: no such params file"),
        (["-p", "sed=1"], "-p sed=1: unknown parameter 'sed'; did you mean 'seed'?"),
        (["-p", "k=1"], "-p k=1: unknown parameter 'k'"),
        (["--notebook", "01_los"], "--notebook: unknown notebook '01_los'; did you mean '01_loss'?"),
        (
            ["params/default.yaml", "--notebook", "02_descent"],
            "--notebook 02_descent: is not listed",
        ),
        (["params/default.yaml", "--notebook", "nope"], "--notebook: unknown notebook 'nope'"),
    ],
)
def test_wrong_input_is_one_sentence_and_nothing_is_written(lecture, capsys, arguments, message):
    before = sorted(lecture.root.rglob("*"))
    assert cli.main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mflib: {message}")
    assert err.count("\n") == 1
    assert sorted(lecture.root.rglob("*")) == before


def test_without_params_the_default_of_the_root_is_taken(lecture, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "default.yaml").write_text("another project's")
    lecture.params("runs: []")
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err.startswith("mflib: params/default.yaml, runs: expected a list")


def test_a_store_that_cannot_be_written_ends_it_before_any_notebook_runs(lecture, capsys):
    (lecture.root / "mlruns").write_text("")
    lecture.notebook("01_loss", f"open({str(lecture.root / 'ran')!r}, 'w')", parameters="seed: int = 0")
    assert cli.main(["run"]) == 2
    assert "mlruns/artifacts: the store cannot be written" in capsys.readouterr().err
    assert not (lecture.root / "ran").exists()


@pytest.mark.parametrize("line", ["", "fly", "run --jobs 0", "run --jobs two", "run -x"])
def test_wrong_usage_is_exit_2(lecture, capsys, line):
    with pytest.raises(SystemExit) as end:
        cli.main(line.split())
    assert end.value.code == 2


def test_the_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("mflib 0.")


def test_one_notebook_of_a_params_file_is_recorded_where_the_tracking_uri_says(lecture, tmp_path):
    lecture.params("runs: [{notebook: 02_descent, parameters: {k: 9}}, {notebook: 01_loss}]")
    uri = f"sqlite:///{tmp_path}/team/runs.db"
    command = ("run", "params/default.yaml", "--notebook", "02_descent")
    result = lecture.mflib(*command, MLFLOW_TRACKING_URI=uri)
    assert (result.returncode, result.stderr) == (0, "")
    run = lecture.runs(uri)["02_descent"]
    assert (run.info.status, run.data.params) == ("FINISHED", {"k": "9"})
    assert len(lecture.runs(uri)) == 1
    attached = tmp_path / "team" / "artifacts" / run.info.run_id / "artifacts" / "notebook"
    assert (attached / "02_descent.ipynb").exists()
    assert not (lecture.root / "mlruns").exists()


def test_wrong_input_does_not_wait_for_the_import_of_mlflow(lecture):
    code = (
        "import sys; from mflib.cli import main; print(main(['run', '-p', 'x=1']), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=lecture.environment(), capture_output=True, text=True)
    assert done.stdout == "2 False\n"
