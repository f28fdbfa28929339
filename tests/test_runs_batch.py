"""Several executions: what compares runs waits for the others, and gets their ids."""

import ast
import itertools

import psutil
import pytest

from mflib.runs.batch import execute_all
from mflib.runs.params import override, read_params
from mflib.runs.stop import Stop
from mflib.runs.store import open_store

PARAMS = """
runs:
  - notebook: compares
  - notebook: first
  - notebook: second
"""


@pytest.fixture
def listed(project):
    project.notebook("compares", parameters="runs: list[str] = []  # ids\nseed: int = 0  # none")
    project.notebook("first", parameters="seed: int = 0  # none")
    project.notebook("second", "1 / 0", parameters="runs: str = ''  # another meaning")
    return project


def test_only_a_list_of_runs_that_nobody_gives_is_filled(listed):
    assert [one.compares for one in read_params(listed.params(PARAMS))] == [True, False, False]
    given = listed.params("runs: [{notebook: compares, parameters: {runs: [latest]}}]")
    assert [one.compares for one in read_params(given)] == [False]
    (empty,) = override(read_params(listed.params("runs: [{notebook: compares}]")), ["runs=[]"])
    assert (empty.compares, empty.parameters["runs"]) == (False, [])
    (other,) = override(read_params(listed.params("runs: [{notebook: compares}]")), ["seed=3"])
    assert other.compares


def test_what_compares_runs_last_on_all_that_were_made_also_with_two_jobs(listed):
    listed.params(PARAMS)
    done = listed.mflib("run", "--jobs", "2")
    assert done.returncode == 1, done.stderr  # `second` has failed: it is compared all the same
    runs = listed.runs()
    ids = {name: run.info.run_id for name, run in runs.items()}
    compared = ast.literal_eval(runs["compares"].data.params["runs"])
    assert compared == [ids["first"], ids["second"]]
    assert runs["compares"].info.start_time >= max(runs[name].info.end_time for name in ("first", "second"))
    table = done.stdout.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table[2:]] == ["compares", "first", "second"]


def test_the_cells_of_as_many_notebooks_as_asked_for_run_at_the_same_time(project):
    cell = "import pathlib, time\npathlib.Path(f'../{seed}.{what}').touch()"
    began, ended = cell.replace("{what}", "began"), cell.replace("{what}", "ended")
    project.notebook("waits", began, "time.sleep(0.7)", ended, parameters="seed: int = 0  # none")
    runs = ", ".join(f"{{notebook: waits, parameters: {{seed: {seed}}}}}" for seed in range(5))
    executions = read_params(project.params(f"runs: [{runs}]"))
    with Stop() as stop:
        execute_all(executions, open_store(), stop, 2, lambda *_: None, lambda *_: None)
    marks = sorted((path.stat().st_mtime_ns, path.suffix) for path in project.root.glob("[0-4].*"))
    at_once = list(itertools.accumulate(1 if mark == ".began" else -1 for _, mark in marks))
    assert (len(marks), max(at_once)) == (10, 2)


def test_two_at_once_that_nobody_can_be_told_of_are_ended(project):
    for name in ("first", "second"):
        project.notebook(name, "import time", "time.sleep(100)", parameters="seed: int = 0  # none")
    executions = read_params(project.params("runs: [{notebook: first}, {notebook: second}]"))
    others, begun = psutil.Process().children(recursive=True), set()

    def show(i, cell, n_cells):
        begun.add((i, cell))
        if {(0, 3), (1, 3)} <= begun:
            raise BrokenPipeError("the terminal is gone")

    with Stop() as stop, pytest.raises(BrokenPipeError):
        execute_all(executions, open_store(), stop, 2, show, lambda i, outcome: None)
    assert {name: run.info.status for name, run in project.runs().items()} == dict.fromkeys(
        ("first", "second"), "KILLED"
    )
    assert set(psutil.Process().children(recursive=True)) <= set(others)
