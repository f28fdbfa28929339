"""A full disk, for real: a small one, of memory, is mounted where run folders, database or artifacts lie."""

import re

import pytest
from faults import DECLARED, RECORD, fill, recorded, small_disk

from mflib.runs import doctor, record_metrics
from mflib.runs.collect import metrics_of
from mflib.runs.store import locate

FILL = """
import contextlib, pathlib
with contextlib.suppress(OSError), open(f"../mlruns/{full}/ballast", "wb", buffering=0) as ballast:
    while ballast.write(bytes(4096)):
        pass
"""
MORE = """
from mflib.runs import record_figure, record_history
import numpy as np
from matplotlib.figure import Figure
fields = [("iteration", int), ("loss", float), ("validation_rmse", float), ("seconds", float)]
history = np.zeros(50_000, fields)
history["iteration"], history["validation_rmse"] = np.arange(50_000), np.nan
record_history(history)
record_figure("curve", Figure())
"""


@pytest.fixture
def finished(project):
    """A project, and what starts a notebook that fills a folder of mlruns."""
    project.notebook("01_done", RECORD, parameters=DECLARED)
    project.notebook("02_fills", RECORD, FILL, MORE, parameters=f'{DECLARED}\nfull: str = "."')
    return project


def test_a_full_disk_while_the_notebook_runs_keeps_what_it_had_recorded(finished):
    with small_disk(finished.root / "mlruns" / "unsent", 4):
        done = succeed(finished)
        run, told = strike(finished, "unsent")
        assert "not recorded: " in told
        assert "No space left on device" in told
        assert run.info.status == "FAILED"
        assert "No space left on device" in run.data.tags["error"]
        again = mend(finished, "unsent")
        assert (again.info.status, again.data.metrics) == ("FAILED", {"loss": 0.5})
        assert again.data.tags["error"].endswith("No space left on device")
        assert recorded(finished, "01_done") == done


def test_a_full_disk_of_artifacts_keeps_the_results_until_there_is_room(finished):
    with small_disk(finished.root / "mlruns" / "artifacts", 4):
        done = succeed(finished)
        run, told = strike(finished, "artifacts")
        assert "02_fills: FAILED in " in told
        assert "not recorded: " in told
        assert "No space left on device" in told
        assert run.info.status == "FAILED"
        assert run.data.tags["error"] in told
        whole(mend(finished, "artifacts"), finished)
        assert recorded(finished, "01_done") == done


def test_a_full_disk_of_the_database_keeps_the_results_until_there_is_room(finished):
    mlruns = finished.root / "mlruns"
    with small_disk(mlruns, 32), small_disk(mlruns / "artifacts", 4), small_disk(mlruns / "unsent", 16):
        done = succeed(finished)
        run, told = strike(finished, ".")
        assert "not recorded: " in told
        assert "database or disk is full" in told or "disk I/O error" in told
        assert run.info.status == "RUNNING"  # not even that could be written
        finished.params("runs: [{notebook: 01_done}]\nsweep: {seed: [1, 2]}", "sweep")
        refused = finished.mflib("sweep", "params/sweep.yaml")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert refused.stderr.startswith("mflib: ")
        assert re.search("No space left on device|database or disk is full|disk I/O error", refused.stderr)
        whole(mend(finished, "."), finished)
        assert recorded(finished, "01_done") == done


def test_a_line_of_metrics_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("MFLIB_RUN_DIR", str(tmp_path))
    with small_disk(tmp_path, 1):
        record_metrics({"before": 1})
        fill(tmp_path)
        with pytest.raises(OSError, match="No space left on device"):
            record_metrics({f"too.many.{i}": i for i in range(100)})  # of which some fit into the last block
        (tmp_path / "ballast").unlink()
        record_metrics({"after": 2})
        assert metrics_of(tmp_path) == {"before": 1, "after": 2}


def test_a_store_that_finds_no_room_is_said_in_a_line_and_made_when_there_is_some(finished):
    mlruns = finished.root / "mlruns"
    with small_disk(mlruns, 4):
        fill(mlruns)
        refused = finished.mflib("run", "--notebook", "01_done")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("mflib: ")
        assert refused.stderr.count("\n") == 1
        assert sorted(path.name for path in mlruns.iterdir() if path.suffix == ".new") == []
        (mlruns / "ballast").unlink()
        succeed(finished)


def succeed(project):
    result = project.mflib("run", "--notebook", "01_done")
    assert (result.returncode, result.stderr) == (0, "")
    return recorded(project, "01_done")


def strike(project, full):
    """Run the notebook that fills the disk; the run, and what was said."""
    result = project.mflib("run", "--notebook", "02_fills", "-p", f"full={full}")
    assert (result.returncode, result.stderr) == (1, ""), result
    run = project.runs()["02_fills"]
    kept = f"what it left is in mlruns/unsent/{run.info.run_id}: `mflib doctor --fix` hands it in"
    assert kept in result.stdout
    return run, result.stdout


def mend(project, full):
    """Make room again, and have the doctor look; the run as it is then."""
    (project.root / "mlruns" / full / "ballast").unlink()
    assert doctor.unsent(locate(), fix=False)[0] == doctor.PROBLEM
    assert doctor.unsent(locate(), fix=True)[0] == doctor.FIXED
    assert doctor.runs(locate(), fix=False)[0] == doctor.OK
    assert not [path for path in (project.root / "mlruns" / "unsent").iterdir() if path.is_dir()]
    return project.runs()["02_fills"]


def whole(run, project):
    """Everything of the run is there."""
    client = project.client()
    assert (run.info.status, run.data.tags.get("error")) == ("FINISHED", None)
    assert run.data.metrics["loss"] == 0
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 50_001
    names = [item.path for item in client.list_artifacts(run.info.run_id)]
    assert names == ["figures", "notebook", "protocol.json", "results", "tables"]
    assert len(client.list_artifacts(run.info.run_id, "notebook")) == 2
