"""`mflib reproduce` for real: what came out again, what did not, and what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from mflib import cli
from mflib.runs import protocol, results
from mflib.runs.reproduce import Reproduction

ROOT = Path(__file__).resolve().parent.parent

PARAMETERS = "seed: int = 0\nrate: float = 0.1"
# What no parameter holds: the ratings, and how the computation comes out on this machine.
NOTEBOOK = """
import json, time
import numpy as np
from mflib import Ratings
from mflib.runs import record_data, record_metrics, record_result
world = json.load(open("../world.json"))
record_data(Ratings.from_dense(np.full((2, 2), world["rating"]), np.ones((2, 2))), split="none")
U = np.random.default_rng(seed).normal(size=(3, 2)) + world["shift"]
record_result(U=U)
record_metrics({"rate": rate, "loss": U.sum(), "n": U.size, "seconds.fit": time.time()})
open("../started", "w").close()
time.sleep(world["sleep"])
"""
WORLD = {"rating": 3.0, "shift": 0.0, "sleep": 0}


@pytest.fixture(scope="module")
def recorded(shared_project):
    """A project with one run, in a checkout."""
    shared_project.notebook("01_draw", NOTEBOOK, parameters=PARAMETERS)
    shared_project.params(
        "experiment: draws\ntimeout: 77\nruns: [{notebook: 01_draw, parameters: {seed: 5}}]"
    )
    (shared_project.root / "world.json").write_text(json.dumps(WORLD))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFLIB_ROOT", str(shared_project.root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.main(["run"]) == 0
    return shared_project, shared_project.runs()["01_draw"].info.run_id


class Here:
    """`mflib reproduce` in this process, in a world that can be changed."""

    def __init__(self, project, original, capsys):
        self.project, self.original, self._capsys = project, original, capsys

    def world(self, **changes):
        (self.project.root / "world.json").write_text(json.dumps({**WORLD, **changes}))

    def reproduce(self, *arguments):
        """Exit code, what was printed (errors where there are any), and the new run."""
        code = cli.main(["reproduce", *arguments])
        out, err = self._capsys.readouterr()
        found = re.search(r"run ([0-9a-f]{32}) reproduces ([0-9a-f]{32}): (.*)\n", out)
        run = self.project.client().get_run(found[1]) if found else None
        if run:
            assert found[2] == run.data.tags["mflib.reproduces"] == self.original
            assert found[3] == run.data.tags["mflib.verdict"]
        return code, err or out, run


@pytest.fixture
def here(recorded, capsys, monkeypatch):
    project, original = recorded
    monkeypatch.setenv("MFLIB_ROOT", str(project.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = Here(project, original, capsys)
    yield found
    found.world()


def rows(out):
    """The table of what changed, by its first column."""
    return {line.split("  ")[0]: re.split(r" {2,}", line)[1:] for line in out.splitlines() if "  " in line}


def test_it_is_identical_with_other_threads_and_packages_which_are_named(here, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    (info := tmp_path / "anvil-1.5.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anvil\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    protocol._versions.cache_clear()
    code, out, run = here.reproduce(here.original[:9], "--strict")
    protocol._versions.cache_clear()
    assert (code, run.data.tags["mflib.verdict"]) == (0, "identical")
    changed = rows(out)
    assert changed["threads OPENBLAS_NUM_THREADS"] == ["1", "2"]
    assert changed["threads NUMBA_NUM_THREADS"] == ["none", "1"]
    assert changed["versions anvil"] == ["none", "1.5"]
    assert "first difference" not in out
    assert run.data.params == {"seed": "5", "rate": "0.1"}
    before = here.project.client().get_run(here.original)
    assert run.info.experiment_id == before.info.experiment_id
    assert run.data.tags["mflib.result_digest"] == before.data.tags["mflib.result_digest"]
    assert run.data.metrics["seconds.fit"] != before.data.metrics["seconds.fit"]
    about = here.project.client().download_artifacts(run.info.run_id, "protocol.json")
    assert json.loads(Path(about).read_text())["timeout"] == 77


def test_one_bit_is_within_tolerance_and_not_strictly_the_same(here):
    here.world(shift=3e-16)
    code, out, _ = here.reproduce(here.original, "--strict")
    assert (code, out.splitlines()[-1].partition(": ")[2]) == (1, "equal within tolerance")
    assert re.search(r"first difference: metric loss: (-?\d\.\d{10,}) before, (?!\1)-?\d\.\d{10,} now", out)
    within = Reproduction("", "", results.WITHIN, None, [])
    assert (within.holds(), within.holds(strict=True)) == (True, False)


def test_other_data_and_results_are_named_and_the_recorded_notebook_runs_though_the_tree_s_is_gone(here):
    here.world(shift=0.5, rating=4.0)
    path = here.project.root / "notebooks" / "01_draw.ipynb"
    path.rename(away := path.with_suffix(".away"))
    code, out, run = here.reproduce(here.original)
    away.rename(path)
    assert (code, run.data.tags["mflib.verdict"]) == (1, "different")
    before = here.project.client().get_run(here.original).data.metrics["loss"]
    assert f"first difference: metric loss: {before!r} before, {before + 3:.4f}"[:-1] in out
    assert rows(out).keys() == {"changed", "-" * 11, "data_digest"}


def test_the_tree_s_notebook_is_taken_where_asked_and_what_changed_in_it_is_named(here):
    changed = NOTEBOOK + "assert extra == 2, 'a claim broke'"
    here.project.notebook("01_draw", changed, parameters=f"{PARAMETERS}\nextra: int = 1")
    code, out, run = here.reproduce(here.original, "--tree")
    here.project.notebook("01_draw", NOTEBOOK, parameters="seed: int = 0\nrat: float = 0.1")
    refused = here.reproduce(here.original, "--tree")
    here.project.notebook("01_draw", NOTEBOOK, parameters=PARAMETERS)
    assert (code, run.info.status) == (1, "FAILED")
    assert rows(out)["parameters extra"] == ["none", "1"]
    assert "notebook_digest" in rows(out)
    assert "first difference: status: FINISHED before, FAILED: AssertionError: a claim broke" in out
    problem = "01_draw.ipynb has no parameter 'rate'; did you mean 'rat'?"
    assert refused == (2, f"mflib: run {here.original[:8]}: {problem}\n", None)


def test_ctrl_c_kills_the_new_run_and_leaves_the_old(here):
    here.world(sleep=600)
    (here.project.root / "started").unlink()
    process = here.project.start("reproduce", here.original)
    deadline = time.monotonic() + 60
    while not (here.project.root / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    run = here.project.runs()["01_draw"]
    assert (run.info.status, run.data.tags["mflib.reproduces"]) == ("KILLED", here.original)
    assert "mflib.verdict" not in run.data.tags
    refused = here.reproduce(run.info.run_id)
    assert refused[0] == 2
    assert "is KILLED; only a finished run has a result" in refused[1]


# Runs that cannot be reproduced: copies of the recorded one, each with something wrong in the store.


def copied(project, original):
    """A run with the same metrics and artifacts, and the folder of its artifacts."""
    client = project.client()
    before = client.get_run(original)
    run = client.create_run(before.info.experiment_id, tags={"mflib.notebook": "01_draw"}, run_name="copy")
    for name in before.data.metrics:
        for point in client.get_metric_history(original, name):
            client.log_metric(run.info.run_id, name, point.value, point.timestamp, point.step)
    client.log_artifacts(run.info.run_id, client.download_artifacts(original, ""))
    client.set_terminated(run.info.run_id)
    return run.info.run_id, project.root / "mlruns" / "artifacts" / run.info.run_id / "artifacts"


def rewritten(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def other_source(content):
    content["cells"][-1]["source"] = "import os"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda at: (at / "protocol.json").unlink(), "its protocol.json is not in the store"),
        (lambda at: (at / "protocol.json").write_text("{"), "its protocol.json is damaged"),
        (lambda at: (at / "protocol.json").write_text("[]"), "its protocol.json is damaged"),
        (lambda at: shutil.rmtree(at / "notebook"), "its notebook is not in the store; --tree takes"),
        (lambda at: (at / "notebook" / "01_draw.ipynb").write_text("no"), "its notebook in the store is not"),
        (
            lambda at: rewritten(at / "notebook" / "01_draw.ipynb", other_source),
            "its notebook in the store is not the one that ran",
        ),
        (
            lambda at: rewritten(at / "protocol.json", lambda about: about["parameters"].update(seed="x; y")),
            "seed: expected int, got 'x; y'",
        ),
        (
            lambda at: rewritten(at / "protocol.json", lambda about: about.update(result_digest="")),
            "recorded neither a metric nor a result",
        ),
        (
            lambda at: (at / "results" / "U.npy").unlink(),
            "its metrics and results in the store are not those",
        ),
    ],
)
def test_a_run_of_which_something_is_missing_or_altered_is_refused(here, damage, message):
    run_id, artifacts = copied(here.project, here.original)
    damage(artifacts)
    code, err, _ = here.reproduce(run_id)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"mflib: run {run_id[:8]}")
    assert message in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0" * 32, "there is none in the store"),
        ("01_draw", "expected an id, the beginning of one, or 'latest'"),
    ],
)
def test_a_run_that_is_not_there_is_refused(here, name, message):
    code, err, _ = here.reproduce(name)
    assert code == 2
    assert message in err


def test_the_beginning_of_several_ids_is_refused(here):
    client, first = here.project.client(), here.original[0]
    experiment = client.get_run(here.original).info.experiment_id
    while not client.create_run(experiment).info.run_id.startswith(first):
        pass
    code, err, _ = here.reproduce(first)
    assert code == 2
    assert "several runs begin so" in err
    latest = here.reproduce("latest")
    assert latest[0] == 2
    assert "is RUNNING; only a finished run" in latest[1]


def test_the_recorded_notebook_is_left_as_it_was(here):
    path = here.project.client().download_artifacts(here.original, "notebook/01_draw.ipynb")
    tags = [cell.metadata.get("tags") or [] for cell in nbformat.read(path, as_version=4).cells]
    assert tags == [["mflib-card"], [], ["parameters"], ["injected-parameters"], []]


NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("0*.ipynb"))


@pytest.mark.soak
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_run_of_each_notebook_is_reproduced_to_the_bit_with_another_number_of_threads(notebook, tmp_path):
    def mflib(*arguments, **env):
        env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", **env}
        env.pop("MFLIB_ROOT", None)
        command = [sys.executable, "-m", "mflib.cli", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)

    ran = mflib("run", "params/quick.yaml", "--notebook", notebook, NUMBA_NUM_THREADS="2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    again = mflib("reproduce", "latest", "--strict", NUMBA_NUM_THREADS="1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "identical" in again.stdout
