"""Sweeps for real: kernels, processes, SQLite; cut short, started again, twice at once."""

import csv
import io
import json
import signal
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stderr
from pathlib import Path

import psutil
import pytest
from faults import wait_for

from mflib import cli
from mflib.runs import batch, owner
from mflib.runs.project import InputError
from mflib.runs.ranking import lower_is_better
from mflib.runs.sweep import point_text, read_sweep

HERE = """
import os, pathlib, time
from mflib.runs import record_metrics
here = pathlib.Path("..")
(here / f"started {k}").touch()
while (here / f"wait {k}").exists():
    time.sleep(0.05)
"""
POINT = """
assert k != 3 or (here / "healed").exists(), "no three"
record_metrics({"loss": (k - 2) ** 2 + rate, "score": k, "threads": int(os.environ["NUMBA_NUM_THREADS"])})
"""
DECLARED = 'k: int = 1\nrate: float = 0.5\nrule: str = "plain"\nks: list[int] = [1]\nseed: int = 0'
GRID = """
experiment: grid
runs: [{notebook: 01_point, parameters: {seed: 7}}]
sweep: {k: [1, 2, 3], rate: [0.25, 1e-2]}
"""


@pytest.fixture
def here(shared_project, monkeypatch):
    """The shared project, also for `cli.main` in this process."""
    monkeypatch.setenv("MFLIB_ROOT", str(shared_project.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(shared_project.root)
    return shared_project


def program(process):
    """The program that a Python process runs; nothing of one that has just ended."""
    try:
        return Path(process.cmdline()[1]).name
    except psutil.NoSuchProcess:
        return ""


def family(project, experiment):
    """The one parent run of an experiment, and its children."""
    client = project.client()
    found = client.search_runs(
        [client.get_experiment_by_name(experiment).experiment_id], order_by=["attributes.start_time ASC"]
    )
    (parent,) = (run for run in found if "mflib.sweep" in run.data.tags)
    children = [run for run in found if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parent.info.run_id}
    return parent, children


def statuses(runs, *names):
    return Counter((*(run.data.params.get(name) for name in names), run.info.status) for run in runs)


def refused(project, params):
    """What a sweep in this process says that is refused."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as err:
        patch.setenv("MFLIB_ROOT", str(project.root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.main(["sweep", str(project.root / params)]) == 2
    return err.getvalue()


@pytest.fixture(scope="module")
def swept(shared_project):
    """A grid, two at a time, while which its params file is deleted and its notebook overwritten."""
    notebook = shared_project.notebook("01_point", HERE, POINT, parameters=DECLARED)
    params = shared_project.params(GRID, "grid")
    for k in (1, 2):
        (shared_project.root / f"wait {k}").touch()
    process = shared_project.start("sweep", "params/grid.yaml", "--jobs", "2")
    wait_for(process, shared_project.root / "started 1")
    second = refused(shared_project, "params/grid.yaml")
    content = notebook.read_text()
    notebook.write_text("not a notebook any more")
    params.unlink()
    for k in (1, 2):
        (shared_project.root / f"wait {k}").unlink()
    out, err = process.communicate(timeout=120)
    notebook.write_text(content)
    shared_project.params(GRID, "grid")
    first = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    return shared_project, process.pid, first, second, family(shared_project, "grid")


def test_a_point_that_fails_stops_no_other_and_is_listed_with_its_error(swept):
    _, _, result, _, (parent, children) = swept
    assert (result.returncode, result.stderr) == (1, "")
    assert statuses(children, "k", "rate") == {
        (k, rate, "FAILED" if k == "3" else "FINISHED"): 1 for k in "123" for rate in ("0.25", "0.01")
    }
    assert parent.info.status == "FAILED"
    failed = result.stdout.partition("Not finished; the same command runs them again:\n")[2].splitlines()
    run_id = next(run.info.run_id for run in children if run.info.run_name == "k=3, rate=0.25")
    assert f"  FAILED: k=3, rate=0.25: AssertionError: no three (cell 4 of 4) (run {run_id})" in failed
    assert failed[3].startswith("4 of 6 points finished.")


def test_progress_is_a_line_for_each_point_with_the_time_left(swept):
    lines = swept[2].stdout.splitlines()
    assert lines[0].startswith("0 of 6 points finished before, 6 to run; the parent run is ")
    assert [line.split()[0] for line in lines[1:7]] == [f"[{i}" for i in range(1, 7)]
    assert all(" left] k=" in line for line in lines[1:6])
    assert lines[6].startswith("[6 of 6] k=3, rate=")


def test_the_parent_holds_the_definition_and_the_points(swept):
    project, _, _, _, (parent, children) = swept
    fetch = project.client().download_artifacts
    assert parent.data.params == {
        "k": "[1, 2, 3]",
        "rate": "[0.25, 0.01]",
        "seed": "7",
        "rule": "plain",
        "ks": "[1]",
    }
    again = project.params(Path(fetch(parent.info.run_id, "sweep.yaml")).read_text(), "again")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFLIB_ROOT", str(project.root))
        assert read_sweep(again).digest == parent.data.tags["mflib.sweep"]
    again.unlink()
    with open(fetch(parent.info.run_id, "points.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["k"], row["rate"], row["status"]) for row in rows[2:5]] == [
        ("2", "0.25", "FINISHED"),
        ("2", "0.01", "FINISHED"),
        ("3", "0.25", "FAILED"),
    ]
    assert {row["run"] for row in rows} == {run.info.run_id for run in children}
    assert float(rows[3]["loss"]) == 0.01


def test_the_best_point_is_named_with_the_rule_and_the_heat_map_attached(swept):
    project, _, result, _, (parent, children) = swept
    best = next(run for run in children if run.info.run_name == "k=2, rate=0.01")
    assert parent.data.tags["mflib.best"] == best.info.run_id
    line = f"Best by loss (lower is better): k=2, rate=0.01 with 0.01, run {best.info.run_id}"
    lines = result.stdout.splitlines()
    assert line in lines
    picture = project.root / lines[lines.index(line) + 1].removeprefix("Heat map: ")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert parent.info.run_id in str(picture)


def test_the_cores_are_divided_among_the_processes(swept):
    share = max(1, len(psutil.Process().cpu_affinity()) // 2)
    children = swept[4][1]
    assert {run.data.metrics["threads"] for run in children if run.info.status == "FINISHED"} == {share}


def test_a_second_runner_of_the_same_sweep_names_the_first(swept):
    _, pid, _, second, _ = swept
    assert second == f"mflib: params/grid.yaml: this sweep is being run already, by process {pid}\n"


def test_started_again_it_runs_what_is_missing_and_nothing_when_all_is_there(
    swept, here, capsys, monkeypatch
):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    (here.root / "healed").touch()
    assert cli.main(["sweep", "params/grid.yaml"]) == 0
    assert capsys.readouterr().out.startswith("4 of 6 points finished before, 2 to run;")
    parent, children = family(here, "grid")
    assert (parent.info.status, parent.info.run_id) == ("FINISHED", swept[4][0].info.run_id)
    assert statuses(children, "k")["3", "FINISHED"] == statuses(children, "k")["3", "FAILED"] == 2
    assert cli.main(["sweep", "params/grid.yaml", "--metric", "score"]) == 0
    out = capsys.readouterr().out
    assert "6 of 6 points finished before, 0 to run;" in out
    assert "Best by score (higher is better): k=3, rate=0.25 with 3, run " in out
    assert cli.main(["sweep", "params/grid.yaml", "--metric", "scores"]) == 2
    assert capsys.readouterr().err == (
        "mflib: --metric scores: no point has recorded it; did you mean 'score'?\n"
    )
    assert len(family(here, "grid")[1]) == len(children)


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, "1"), (signal.SIGKILL, "2")])
def test_cut_short_and_started_again_no_point_is_lost_or_done_twice(here, capsys, monkeypatch, number, jobs):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    (here.root / "healed").touch()
    here.notebook("01_point", HERE, POINT, parameters=DECLARED)
    experiment, stuck = f"cut by {number.name}", [11, 13][: int(jobs)]
    points = "".join(f"  - {{k: {k}, rule: cut}}\n" for k in (10, 11, 12, 13))
    here.params(f"experiment: {experiment}\nruns: [{{notebook: 01_point}}]\nsweep:\n{points}", "cut")
    for k in stuck:
        (here.root / f"wait {k}").touch()
        (here.root / f"started {k}").unlink(missing_ok=True)
    process = here.start("sweep", "params/cut.yaml", "--jobs", jobs)
    wait_for(process, *(here.root / f"started {k}" for k in stuck))
    below = psutil.Process(process.pid).children(recursive=True)
    assert {program(child) for child in below} <= {"kernel_start.py", ""}  # none imports MLflow once more
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == ((130, "") if number == signal.SIGINT else (-signal.SIGKILL, ""))
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert statuses(family(here, experiment)[1], "k")["10", "FINISHED"] == 1

    for k in stuck:
        (here.root / f"wait {k}").unlink()
    done = 4 - len(stuck) if jobs == "2" else 1
    assert cli.main(["sweep", "params/cut.yaml"]) == 0
    assert capsys.readouterr().out.startswith(f"{done} of 4 points finished before, {4 - done} to run;")
    parent, children = family(here, experiment)
    assert parent.info.status == "FINISHED"
    finished = Counter(run.data.tags["mflib.point"] for run in children if run.info.status == "FINISHED")
    assert sorted(finished.values()) == [1, 1, 1, 1]
    errors = [run.data.tags["error"] for run in children if run.info.status != "FINISHED"]
    assert errors == [
        "its process died" if number == signal.SIGKILL else "stopped by Ctrl-C or SIGTERM (cell 3 of 4)"
        for _ in stuck
    ]


def test_a_sweep_whose_parent_run_is_of_a_process_that_lives_is_left_alone(here, capsys, monkeypatch):
    """Of another checkout, say, or of another machine: on a server there is no lock that all see."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    here.notebook("01_point", HERE, POINT, parameters=DECLARED)
    here.params("experiment: claimed\nruns: [{notebook: 01_point}]\nsweep: {k: [1, 2]}", "claimed")
    assert cli.main(["sweep", "params/claimed.yaml"]) == 0
    client, (parent, children) = here.client(), family(here, "claimed")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    try:
        client.update_run(parent.info.run_id, status="RUNNING")
        for name, value in owner.tags(sleeper.pid).items():
            client.set_tag(parent.info.run_id, name, value)
        capsys.readouterr()
        assert cli.main(["sweep", "params/claimed.yaml"]) == 2
        assert f"is being run already, by process {sleeper.pid}" in capsys.readouterr().err
        client.set_tag(parent.info.run_id, "mflib.host", "far away")
        assert cli.main(["sweep", "params/claimed.yaml"]) == 2
        assert "is being run on far away, or was cut short there" in capsys.readouterr().err
        for name, value in owner.tags(sleeper.pid).items():
            client.set_tag(parent.info.run_id, name, value)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert cli.main(["sweep", "params/claimed.yaml"]) == 0  # it is no more
    assert len(family(here, "claimed")[1]) == len(children)


def left_by_the_dead(client, of, status, start, **tags):
    """A run of the same point, as a worker leaves it that dies behind its record, or before it."""
    nobody = {**owner.tags(), "mflib.process_started": "at another boot"}
    run = client.create_run(
        of.info.experiment_id, of.info.start_time + start, {**of.data.tags, **nobody, **tags}
    )
    if status != "RUNNING":
        client.log_metric(run.info.run_id, "loss", -1.0)
        client.set_terminated(run.info.run_id, status)
    return run.info.run_id


@pytest.mark.parametrize("when", ["meanwhile", pytest.param("before", marks=pytest.mark.soak)])
def test_of_a_point_that_has_two_finished_runs_a_sweep_keeps_one(here, monkeypatch, when):
    """Each of their processes sees to it behind its record, unless it dies there."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    here.notebook("01_point", HERE, POINT, parameters=DECLARED)
    here.params(f"experiment: twice {when}\nruns: [{{notebook: 01_point}}]\nsweep: {{k: [1, 2]}}", "twice")
    more, execute_all = {}, batch.execute_all

    def strike():
        client, (_, children) = here.client(), family(here, f"twice {when}")
        one, two = sorted(children, key=lambda run: run.info.run_name)
        more["later"] = left_by_the_dead(client, one, "FINISHED", 1)
        more["revoked"] = left_by_the_dead(client, two, "FINISHED", -1, **{"mflib.revoked": "true"})
        more["running"] = left_by_the_dead(client, two, "RUNNING", 2)

    def and_strike(*arguments, **named):
        outcomes = execute_all(*arguments, **named)
        strike()
        return outcomes

    if when == "meanwhile":
        monkeypatch.setattr(batch, "execute_all", and_strike)
    assert cli.main(["sweep", "params/twice.yaml"]) == 0
    if when == "before":
        strike()
        assert cli.main(["sweep", "params/twice.yaml"]) == 0
    parent, children = family(here, f"twice {when}")
    assert statuses(children, "k") == {("1", "FINISHED"): 1, ("2", "FINISHED"): 1, (None, "KILLED"): 3}
    assert {run.info.run_id for run in children if run.info.status == "KILLED"} == set(more.values())
    text = Path(here.client().download_artifacts(parent.info.run_id, "points.csv")).read_text()
    assert not any(run in text for run in more.values())


def test_a_metric_that_nobody_recorded_hides_no_failure(here, capsys, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    here.notebook("01_point", HERE, "assert k != 2, 'two'\n" + POINT, parameters=DECLARED)
    here.params("experiment: typo\nruns: [{notebook: 01_point}]\nsweep: {k: [1, 2]}", "typo")
    assert cli.main(["sweep", "params/typo.yaml", "--metric", "scroe"]) == 2
    out, err = capsys.readouterr()
    assert "1 of 2 points finished." in out
    assert "FAILED: k=2: AssertionError: two" in out
    assert err == "mflib: --metric scroe: no point has recorded it; did you mean 'score'?\n"


def test_points_of_different_data_are_said_to_be_that(here, capsys, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    data = "from mflib import Ratings\nfrom mflib.runs import record_data\n" + (
        "record_data(Ratings.from_arrays([0], [0], [float(k)], shape=(1, 1)))"
    )
    here.notebook("01_point", HERE, data, POINT, parameters=DECLARED)
    here.params("experiment: two data\nruns: [{notebook: 01_point}]\nsweep: {k: [1, 2]}", "data")
    assert cli.main(["sweep", "params/data.yaml"]) == 0
    assert "The points had different data: `mflib compare` says which" in capsys.readouterr().out


@pytest.fixture
def lecture(project):
    project.notebook("01_point", parameters=DECLARED)
    return project


RUNS = "runs: [{notebook: 01_point, parameters: {seed: 1}}]\n"
BAD_FILES = {
    RUNS: "has no `sweep:`; expected one, as `sweep: {seed: [0, 1, 2]}`",
    "[]": "has no `sweep:`",
    "sweep: {k: [1]}": "runs: expected a list of at least one notebook, got None",
    "runs: [{notebook: 01_point}, {notebook: 01_point}]\nsweep: {k: [1]}": (
        "runs: a sweep takes exactly one notebook, got 2"
    ),
    "runs: [{notebook: 01_pint}]\nsweep: {k: [1]}": "unknown notebook '01_pint'; did you mean '01_point'?",
    RUNS + "swep: {k: [1]}": "has no `sweep:`",
    RUNS + "sweep: 3": "sweep: expected a mapping of names to lists of values, or a list of points, got 3",
    RUNS + "sweep: []": "sweep: expected a mapping of names to lists of values, or a list of points, got []",
    RUNS + "sweep: {}": "sweep: expected at least one name with a list of values, got none",
    RUNS + "sweep: {rat: [1]}": "sweep: unknown parameter 'rat'; did you mean 'rate'?",
    RUNS + "sweep: {1: [1]}": "sweep: unknown parameter 1; valid are 'k', 'rate', 'rule', 'ks', 'seed'",
    RUNS + "sweep: {k: []}": "sweep, k: expected a list of at least one value, got []",
    RUNS + "sweep: {k: 4}": "sweep, k: expected a list of at least one value, got 4",
    RUNS + "sweep: {k: [1, fast]}": "sweep, k: expected int, got 'fast'",
    RUNS + "sweep: {ks: [1, 2]}": "sweep, ks: expected list[int], got 1",
    RUNS + "sweep: {k: [1, 2], rule: [5]}": "sweep, rule: expected str, got 5 (put it between quotes)",
    RUNS + "sweep: {k: [1, 2], seed: [1]}": "sweep, seed: is set under `runs:` too; keep one of the two",
    RUNS + "sweep: {rate: [1, 2, 1.0]}": "sweep: points 1 and 3 are the same (rate=1.0); leave one out",
    RUNS + "sweep: [3]": "sweep, point 1: expected a mapping of names to values, got 3",
    RUNS + "sweep: [{k: 1}, {}]": "sweep, point 2: expected a mapping of names to values, got {}",
    RUNS + "sweep: [{k: 1}, {j: 2}]": "sweep, point 2: unknown parameter 'j'",
    RUNS + "sweep: [{k: 1}, {k: x}]": "sweep, point 2, k: expected int, got 'x'",
    RUNS + "sweep: [{k: 2}, {rate: 0.5, k: 2}]": "points 1 and 2 are the same (k=2, rate=0.5)",
    RUNS + f"sweep: {{k: {list(range(101))}, rate: {list(range(100))}}}": (
        "sweep: 10,100 points are more than the 10,000 that one sweep may have"
    ),
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_wrong_sweep_is_refused_in_one_sentence(lecture, text):
    with pytest.raises(InputError) as error:
        read_sweep(lecture.params(text))
    message = str(error.value)
    assert message.startswith("params/default.yaml")
    assert BAD_FILES[text] in message
    assert message.isprintable()


def test_a_grid_is_every_value_with_every_other_the_last_fastest(lecture):
    sweep = read_sweep(lecture.params("timeout: 9\n" + RUNS + "sweep: {k: [2, 1], rate: [1e-2, 3]}"))
    assert [(point.parameters["k"], point.parameters["rate"]) for point in sweep.points] == [
        (2, 0.01),
        (2, 3.0),
        (1, 0.01),
        (1, 3.0),
    ]
    assert [point.label for point in sweep.points[:2]] == ["k=2, rate=0.01", "k=2, rate=3.0"]
    assert {point.timeout for point in sweep.points} == {9.0}
    assert sweep.common == {"rule": "plain", "ks": [1], "seed": 1}


def test_points_of_a_list_keep_the_defaults_of_what_they_do_not_name(lecture):
    sweep = read_sweep(lecture.params(RUNS + "sweep: [{k: 5}, {rate: 1e-3, ks: [4]}]"))
    first, second = (point.parameters for point in sweep.points)
    assert (first["k"], first["rate"], first["ks"]) == (5, 0.5, [1])
    assert (second["k"], second["rate"], second["ks"]) == (1, 0.001, [4])
    assert sweep.names == ["k", "rate", "ks"]


def digests(project, text):
    sweep = read_sweep(project.params(text))
    return sweep.digest, {point.tags["mflib.point"] for point in sweep.points}


def test_a_sweep_is_the_same_in_another_order_and_another_with_another_source(lecture):
    sweep, points = digests(lecture, RUNS + "sweep: {k: [1, 2]}")
    assert digests(lecture, RUNS + "sweep: [{k: 2}, {k: 1}]") == (sweep, points)
    longer, more = digests(lecture, RUNS + "sweep: {k: [1, 2, 3]}")
    assert longer != sweep
    assert points < more
    renamed, same = digests(lecture, "experiment: other\n" + RUNS + "sweep: {k: [1, 2]}")
    assert (renamed != sweep, same) == (True, points)
    lecture.notebook("01_point", "print(k)", parameters=DECLARED)
    assert not digests(lecture, RUNS + "sweep: {k: [1, 2]}")[1] & points


def test_stored_outputs_of_the_notebook_make_no_other_points(lecture):
    path = lecture.root / "notebooks" / "01_point.ipynb"
    before = digests(lecture, RUNS + "sweep: {k: [1, 2]}")
    content = json.loads(path.read_text())
    content["cells"][1]["execution_count"] = 5
    path.write_text(json.dumps(content))
    assert digests(lecture, RUNS + "sweep: {k: [1, 2]}") == before


def test_a_value_that_would_not_print_is_shown_quoted():
    assert point_text({"rule": "a\x1b[2J", "title": ""}) == "rule='a\\x1b[2J', title=''"


@pytest.mark.parametrize(
    ("metric", "lower"), [("seconds.fit", True), ("rmse_test", True), ("score", False), ("glossy", False)]
)
def test_the_direction_of_a_metric_is_read_from_the_words_of_its_name(metric, lower):
    assert lower_is_better(metric) is lower


def test_a_wrong_sweep_does_not_wait_for_the_import_of_mlflow(lecture):
    lecture.params(RUNS)
    code = (
        "import sys; from mflib.cli import main; "
        "print(main(['sweep', 'params/default.yaml']), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=lecture.environment(), capture_output=True, text=True)
    assert done.stdout == "2 False\n"
