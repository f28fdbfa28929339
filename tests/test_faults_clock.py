"""A clock that is set back by an hour while runs are made, in all processes of them."""

import pytest
from faults import DECLARED, RECORD, TAMPERING

from mflib.runs.lookup import find_run, runs_of
from mflib.runs.store import locate

SET_BACK = "open(os.environ['MFLIB_CLOCK_BACK'], 'w').close()\nrecord_metrics({'loss': 9})"


@pytest.fixture(scope="module")
def set_back(shared_project):
    """Runs: one before, one while which the clock is set back, two after, of which one by another command."""
    project, moment = shared_project, shared_project.root / "set back"
    env = {"PYTHONPATH": TAMPERING, "MFLIB_CLOCK_BACK": str(moment)}
    project.notebook("01_before", RECORD, parameters=DECLARED)
    project.notebook("02_meanwhile", RECORD, SET_BACK, parameters=DECLARED)
    for name in ("03_after", "04_last"):
        project.notebook(name, RECORD, parameters=DECLARED)
    project.params(
        "experiment: clock\nruns: [{notebook: 01_before}, {notebook: 02_meanwhile}, {notebook: 03_after}]"
    )
    results = [project.mflib("run", **env)]
    project.params("experiment: clock\nruns: [{notebook: 04_last}]", "last")
    results.append(project.mflib("run", "params/last.yaml", **env))
    return project, results


def test_no_run_ends_before_it_starts_and_none_starts_before_an_earlier_one(set_back):
    project, results = set_back
    assert [(result.returncode, result.stderr) for result in results] == [(0, ""), (0, "")]
    runs = project.runs()
    assert list(runs) == ["01_before", "02_meanwhile", "03_after", "04_last"]
    starts = [run.info.start_time for run in runs.values()]
    assert sorted(set(starts)) == starts
    for run in runs.values():
        assert run.info.end_time > run.info.start_time
        assert 0 < run.data.metrics["seconds.total"] < 100


def test_the_latest_run_is_the_last_and_says_what_the_clock_said(set_back, monkeypatch):
    project, _ = set_back
    monkeypatch.setenv("MFLIB_ROOT", str(project.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert find_run(locate(), "latest").info.run_name == "04_last"
    assert [run.info.run_name for run in runs_of(locate(), "clock")][-1] == "04_last"
    told = {name: run.data.tags.get("mflib.clock", "") for name, run in project.runs().items()}
    assert [name for name, text in told.items() if text.endswith(" UTC")] == ["03_after", "04_last"]


def test_a_number_that_is_recorded_after_the_jump_is_the_last_word(set_back):
    project, _ = set_back
    run = project.runs()["02_meanwhile"]
    assert run.data.metrics["loss"] == 9
    assert len(project.client().get_metric_history(run.info.run_id, "loss")) == 2
