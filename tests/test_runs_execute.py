"""Every way in which a notebook can end, in one `mflib run` for real: kernels, processes, SQLite."""

import json
import signal
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from mflib.runs.execute import execute
from mflib.runs.params import with_defaults
from mflib.runs.stop import Stop
from mflib.runs.store import open_store

PARAMETERS = """
seed: int = 0
rate: float = 1e-2
name: str = "x"
break_it: str | None = None
ks: list[int] = [1]
"""
RECORD = """
import os, sys, time
import numpy as np
from mflib.runs import record_figure, record_history, record_metrics, record_table
record_metrics({"early": seed, "kernel": os.getpid()})
"""
HISTORY = """
fields = [("iteration", int), ("loss", float), ("validation_rmse", float), ("seconds", float)]
history = np.zeros(1500, fields)
history["iteration"] = np.arange(1500) * 2
history["loss"] = 1 / (1 + np.arange(1500))
history["validation_rmse"] = np.where(np.arange(1500) % 500 == 0, 0.9, np.nan)
record_history(history)
record_metrics({"loss": 0.25})
"""
RESULTS = """
from matplotlib.figure import Figure
record_figure("curve", Figure())
record_table("rows", [{"a": 1}])
print(sys.prefix, os.getcwd(), os.environ["OPENBLAS_NUM_THREADS"], repr(name))
"""
NASTY = "q\"'\\\n{x}; <b> $(ls)"
CHILD = """
import subprocess
record_metrics({"child": subprocess.Popen(["sleep", "600"]).pid})
"""
ENDS = {
    "02_raises": "raise ValueError('no \\x1b[2Jgood\\nsecond line')",
    "03_dies": CHILD + "os._exit(3)",
    "04_is_killed": "os.kill(os.getpid(), 9)",
    "05_leaves": "raise SystemExit(0)",
    "06_sleeps": CHILD + "time.sleep(600)",
}


@pytest.fixture(scope="module")
def recorded(shared_project):
    """One command over all of them, from another folder, two at a time."""
    shared_project.notebook("01_holds", RECORD, CHILD, HISTORY, RESULTS, parameters=PARAMETERS)
    for name, end in ENDS.items():
        shared_project.notebook(name, RECORD, end, "print('never')", parameters="seed: int = 0")
    listed = "".join(f"  - notebook: {name}\n" for name in ["01_holds", *list(ENDS)[:-1]])
    nasty = f"    parameters: {{rate: 1e-3, name: {json.dumps(NASTY)}, ks: [2, 3]}}\n"
    listed = listed.replace("01_holds\n", f"01_holds\n{nasty}")
    shared_project.params(f"experiment: ends\ntimeout: 100\nruns:\n{listed}", "ends")
    shared_project.params("timeout: 1.5\nruns: [{notebook: 06_sleeps}]", "sleeps")
    (elsewhere := shared_project.root.parent / "elsewhere").mkdir()
    command = ("run", "params/ends.yaml", "params/sleeps.yaml", "--jobs", "2", "-p", "seed=7")
    result = shared_project.mflib(*command, cwd=elsewhere, **somebodys_own(shared_project.root.parent))
    assert not list(elsewhere.iterdir())
    return shared_project, result, shared_project.runs()


def somebodys_own(folder):
    """A kernel named python3 and an IPython start-up file that would make each notebook fail."""
    (kernel := folder / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["false"], "display_name": "", "language": "python"}')
    (startup := folder / "ipython" / "profile_default" / "startup").mkdir(parents=True)
    (startup / "00.py").write_text("import os; os._exit(1)")
    return {
        "JUPYTER_PATH": str(folder / "jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "IPYTHONDIR": str(folder / "ipython"),
    }


def artifacts(project, run):
    client = project.client()
    folders = [item.path for item in client.list_artifacts(run.info.run_id)]
    return {item.path for folder in folders for item in client.list_artifacts(run.info.run_id, folder)}


def executed(project, run):
    """The notebook as attached to the run."""
    name = run.data.tags["mflib.notebook"]
    path = project.client().download_artifacts(run.info.run_id, f"notebook/{name}.ipynb")
    return nbformat.read(path, as_version=4)


def gone(pid):
    return not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def test_the_status_is_that_of_the_notebook_whatever_ended_it(recorded):
    _, result, runs = recorded
    assert {name: (run.info.status, run.data.tags.get("error")) for name, run in runs.items()} == {
        "01_holds": ("FINISHED", None),
        "02_raises": ("FAILED", "ValueError: no �[2Jgood (cell 4 of 5)"),
        "03_dies": ("FAILED", "the kernel died: exit code 3 (cell 4 of 5)"),
        "04_is_killed": ("FAILED", "the kernel died: SIGKILL (cell 4 of 5)"),
        "05_leaves": ("FAILED", "SystemExit: the cells behind it did not run (cell 4 of 5)"),
        "06_sleeps": ("FAILED", "timed out after 1.5 s (cell 4 of 5)"),
    }
    assert result.returncode == 1
    assert result.stderr == ""


def test_the_table_lists_the_notebooks_as_they_were_listed(recorded):
    project, result, runs = recorded
    lines = result.stdout.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("notebook "))
    rows = [line.split() for line in lines[header + 2 : header + 8]]
    assert [row[0] for row in rows] == ["01_holds", *ENDS]
    assert [row[-1] for row in rows] == [runs[row[0]].info.run_id for row in rows]
    assert rows[0][1:5] == ["FINISHED", "rmse.validation", "=", "0.9"]
    assert (
        lines[-1]
        == f"1 of 6 finished. Look at them with `mflib ui`; the store is {project.root}/mlruns/mlflow.db"
    )
    assert "[1/6] 01_holds: 6 cells" in lines


def test_parameters_are_recorded_with_their_defaults(recorded):
    project, _, runs = recorded
    run = runs["01_holds"]
    assert run.data.params == {
        "seed": "7",
        "rate": "0.001",
        "name": NASTY,
        "break_it": "None",
        "ks": "[2, 3]",
    }
    assert run.data.tags["mflib.params_file"] == "params/ends.yaml"
    assert project.client().get_experiment(run.info.experiment_id).name == "ends"
    assert {other.data.params["seed"] for other in runs.values()} == {"7"}


def test_metrics_and_series_are_recorded(recorded):
    project, _, runs = recorded
    run = runs["01_holds"]
    loss = project.client().get_metric_history(run.info.run_id, "loss")
    rmse = project.client().get_metric_history(run.info.run_id, "rmse.validation")
    assert [point.step for point in loss[:1500]] == list(range(0, 3000, 2))
    assert [(point.step, point.value) for point in rmse] == [(0, 0.9), (1000, 0.9), (2000, 0.9)]
    assert run.data.metrics["loss"] == 0.25  # a single number is the last word on its series
    assert run.data.metrics["early"] == 7
    assert 0.5 < run.data.metrics["seconds.total"] < 60


def test_figures_tables_the_notebook_and_its_page_are_attached(recorded):
    project, _, runs = recorded
    assert artifacts(project, runs["01_holds"]) == {
        "figures/curve.png",
        "tables/rows.csv",
        "notebook/01_holds.ipynb",
        "notebook/01_holds.html",
    }
    assert (project.root / "mlruns" / "artifacts" / runs["01_holds"].info.run_id).is_dir()


def test_the_kernel_is_this_interpreter_in_the_folder_of_the_notebook(recorded):
    project, _, runs = recorded
    output = executed(project, runs["01_holds"]).cells[-1].outputs[0].text
    assert output == f"{sys.prefix} {project.root / 'notebooks'} 1 {NASTY!r}\n"


@pytest.mark.parametrize("name", ENDS)
def test_what_was_reached_before_a_failure_is_kept_and_the_rest_marked_as_not_run(recorded, name):
    project, _, runs = recorded
    assert runs[name].data.metrics["early"] == 7
    assert f"notebook/{name}.html" in artifacts(project, runs[name])
    notebook = executed(project, runs[name])
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.metadata.papermill.status for cell in code] == [
        *["completed"] * 3,
        "failed",
        "pending",
    ]
    assert [output.output_type for output in code[3].outputs][:1] == ["error"]
    assert code[4].outputs == []
    assert notebook.metadata.papermill.exception
    assert "/tmp" not in json.dumps(notebook.metadata)


def test_a_kernel_that_does_not_start_says_why_and_shows_no_stored_output(recorded, tmp_path, monkeypatch):
    project, _, _ = recorded
    monkeypatch.setenv("MFLIB_ROOT", str(project.root))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')")
    path = project.notebook("07_stored", "1")
    content = nbformat.read(path, as_version=4)
    content.cells[-1].outputs = [nbformat.v4.new_output("stream", text="stored long ago")]
    nbformat.write(content, path)
    with Stop() as stop:
        outcome = execute(with_defaults("07_stored"), open_store(), stop)
    assert (outcome.status, outcome.error) == (
        "FAILED",
        "RuntimeError: Kernel died before replying to kernel_info",
    )
    run = project.runs()["07_stored"]
    log = project.client().download_artifacts(run.info.run_id, "notebook/kernel.log")
    assert Path(log).read_text() == "no kernel today\n"
    assert executed(project, run).cells[-1].outputs == []


def test_no_kernel_and_none_of_its_children_survive(recorded):
    _, _, runs = recorded
    assert all(gone(run.data.metrics["kernel"]) for run in runs.values())
    assert all(gone(runs[name].data.metrics["child"]) for name in ("01_holds", "03_dies", "06_sleeps"))


def test_the_checkout_is_left_as_it_was(recorded):
    project, _, _ = recorded
    assert sorted(path.name for path in project.root.iterdir()) == ["mlruns", "notebooks", "params"]
    assert all(not path.is_dir() for path in (project.root / "notebooks").iterdir())


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_the_kernel_and_the_run_is_killed(recorded, jobs):
    project, name = recorded[0], f"slow{jobs}"
    wait = f"open({str(project.root / name)!r} + str(seed), 'w').close(); time.sleep(600)"
    project.notebook(name, RECORD, wait, parameters="seed: int = 0")
    entries = "".join(f"  - {{notebook: {name}, parameters: {{seed: {i}}}}}\n" for i in range(3))
    project.params(f"runs:\n{entries}")
    process = project.start("run", "--jobs", jobs)
    deadline = time.monotonic() + 60
    while not all((project.root / f"{name}{i}").exists() for i in range(int(jobs))):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    psutil.Process(process.pid).send_signal(signal.SIGINT)
    if jobs == "2":  # as a terminal does: to every process of the group
        for child in psutil.Process(process.pid).children():
            child.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert out.count("KILLED in") == int(jobs)
    assert out.count(" not run") == 3 - int(jobs)
    run = project.runs()[name]
    error = "stopped by Ctrl-C or SIGTERM (cell 4 of 4)"
    assert (run.info.status, run.data.tags["error"]) == ("KILLED", error)
    assert f"notebook/{name}.ipynb" in artifacts(project, run)
    assert gone(run.data.metrics["kernel"])
