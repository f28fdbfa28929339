"""What others do to the files and to the store while runs are made."""

import sqlite3
import time

import nbformat
import pytest
from faults import DECLARED, RECORD, recorded, stopped

from mflib.runs.protocol import notebook_digest

EDIT = """
import pathlib
pathlib.Path("01_edited.ipynb").write_text("not a notebook any more")
pathlib.Path("../params/default.yaml").unlink()
"""


def test_a_run_is_of_the_notebook_and_of_the_params_as_they_were_when_it_began(project):
    path = project.notebook("01_edited", RECORD, EDIT, "last = 1", parameters=DECLARED)
    project.notebook("02_other", RECORD, parameters=DECLARED)
    project.params("runs: [{notebook: 01_edited}, {notebook: 02_other, parameters: {seed: 3}}]")
    source = nbformat.read(path, as_version=4)
    result = project.mflib("run")
    assert (result.returncode, result.stderr) == (0, "")
    runs = project.runs()
    assert runs["02_other"].data.params == {"seed": "3"}
    assert runs["01_edited"].data.tags["mflib.protocol.notebook_digest"] == notebook_digest(source.cells)
    _, files = recorded(project, "01_edited")
    cells = nbformat.reads(files["notebook/01_edited.ipynb"].decode(), as_version=4).cells
    assert [cell.source for cell in cells[-3:]] == [cell.source for cell in source.cells[-3:]]
    refused = project.mflib("run", "--notebook", "01_edited")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "01_edited.ipynb" in refused.stderr


@pytest.mark.soak
def test_eight_runners_that_start_at_once_without_a_store_record_eight_runs(project):
    project.notebook("01_done", RECORD, parameters=DECLARED)
    processes = [project.start("run", "--notebook", "01_done", "-p", f"seed={i}") for i in range(8)]
    assert [process.communicate(timeout=300)[1] for process in processes] == [""] * 8
    assert [process.returncode for process in processes] == [0] * 8
    client = project.client()
    places = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(places)
    assert sorted((run.data.params["seed"], run.info.status) for run in runs) == [
        (str(i), "FINISHED") for i in range(8)
    ]
    assert len({run.info.experiment_id for run in runs}) == 1


@pytest.mark.soak
@pytest.mark.parametrize("phase", ["mflib.runs.clock:create_run", "mflib.runs.collect:keep"])
def test_a_database_that_another_program_holds_for_30_s_is_waited_for(project, phase):
    project.notebook("01_done", RECORD, parameters=DECLARED)
    project.mflib("run", "--notebook", "01_done")
    done = recorded(project, "01_done")[0]["info"]["run_id"]
    with stopped(project, phase, "run", "--notebook", "01_done") as process:
        holder = sqlite3.connect(project.root / "mlruns" / "mlflow.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
    time.sleep(30)
    assert process.poll() is None
    holder.execute("ROLLBACK")
    holder.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert project.runs()["01_done"].info.run_id != done
    assert project.client().get_run(done).info.status == "FINISHED"
