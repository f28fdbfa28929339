"""The protocol and the result digest: what they hold, what changes them, what does not."""

import json
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest

from mflib import Ratings
from mflib.runs import protocol, record_data, record_metrics, record_result, results
from mflib.runs.card import card, put_on
from mflib.runs.collect import points
from mflib.runs.execute import execute
from mflib.runs.pages import notebook_page
from mflib.runs.params import with_defaults
from mflib.runs.stop import Stop
from mflib.runs.store import open_store

RATINGS = Ratings.from_dense(np.eye(3), np.ones((3, 3)))
HOSTILE = "<script>alert(1)</script> $x$ [a](javascript:1) `|` \x1b[2J\n\n# h **b** \u202e"


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MFLIB_RUN_DIR", str(tmp_path))
    return tmp_path


def recorded(folder):
    """What the runner makes of a run folder."""
    return results.from_folder(folder / "artifacts" / "results", points(folder))


def digest_of(arrays, metrics, folder, monkeypatch):
    folder.mkdir()
    monkeypatch.setenv("MFLIB_RUN_DIR", str(folder))
    record_metrics(metrics)
    record_result(**arrays)
    return results.digest(recorded(folder))


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_digest_is_of_names_kinds_shapes_and_values_alone(tmp_path, monkeypatch):
    U = np.arange(6.0).reshape(2, 3)
    first = digest_of({"U": U, "n": 3}, {"loss": 0.5, "seconds.fit": 1.0}, tmp_path / "a", monkeypatch)
    same = {"n": 3, "U": np.asfortranarray(U).astype(">f8")}
    seconds = {"seconds.fit": 2.0, "plain.seconds.descent": 3.0, "loss": 0.5}
    assert digest_of(same, seconds, tmp_path / "b", monkeypatch) == first
    others = [
        ({"U": U.astype("f4"), "n": 3}, {"loss": 0.5}),
        ({"U": U.reshape(3, 2), "n": 3}, {"loss": 0.5}),
        ({"U": np.nextafter(U, 9), "n": 3}, {"loss": 0.5}),
        ({"V": U, "n": 3}, {"loss": 0.5}),
        ({"U": U, "n": 3}, {"loss": np.nextafter(0.5, 1)}),
        ({"U": U, "n": 3}, {"loss": 0.5, "more": 0}),
        ({"U": U}, {"loss": 0.5, "n": 3}),
    ]
    found = {digest_of(*other, tmp_path / str(i), monkeypatch) for i, other in enumerate(others)}
    assert len(found | {first}) == len(others) + 1


def test_without_results_there_is_no_digest(run_folder):
    record_metrics({"seconds.fit": 1.0})
    assert results.digest(recorded(run_folder)) == ""


def test_results_are_files_without_pickles_and_a_name_again_replaces_one(run_folder):
    record_result(U=np.zeros(2), title=["ä", "b"])
    record_result(U=np.ones(2, ">f4"))
    found = {path.name: np.load(path) for path in (run_folder / "artifacts" / "results").iterdir()}
    assert found.keys() == {"U.npy", "title.npy"}
    np.testing.assert_array_equal(found["U.npy"], np.ones(2, "<f4"), strict=True)
    assert results.dtypes(recorded(run_folder)) == "float32"


@pytest.mark.parametrize("value", [None, {"a": 1}, np.zeros(2, "f8,f8"), np.longdouble(1), [1, [2, 3]]])
def test_a_result_whose_bytes_say_nothing_is_refused(run_folder, value):
    with pytest.raises((TypeError, ValueError)):
        record_result(good=1.0, U=value)
    with pytest.raises(ValueError, match="only letters"):
        record_result(**{"../U": 1.0})
    assert not list(run_folder.iterdir())


def test_data_is_told_by_its_digest_and_each_set_once(run_folder):
    with pytest.raises(TypeError, match="expected Ratings, got ndarray"):
        record_data(np.eye(3))
    with pytest.raises(TypeError, match="split: expected a text"):
        record_data(RATINGS, split=0.2)
    record_data(RATINGS, split="share=0.2 seed=0")
    record_data(RATINGS, split="share=0.2 seed=0")
    record_data(RATINGS.astype("f4"))
    told = [json.loads(line) for line in (run_folder / "data.jsonl").read_text().splitlines()]
    both = dict.fromkeys((RATINGS.digest, RATINGS.astype("f4").digest))
    assert protocol.told_data(told) == {"data_digest": " ".join(both), "split": "share=0.2 seed=0"}
    assert protocol.told_data([]) == {"data_digest": "", "split": ""}


def test_the_notebook_digest_is_that_of_the_sources_alone(tmp_path):
    new = nbformat.v4
    content = new.new_notebook(cells=[new.new_markdown_cell("# a"), new.new_code_cell("b", id="one")])
    first = protocol.notebook_digest(content.cells)
    content.cells[1].update(outputs=[new.new_output("stream", text="out")], execution_count=7, id="two")
    content.cells.insert(0, new.new_code_cell("k = 9", metadata={"tags": [protocol.INJECTED]}))
    nbformat.write(content, path := tmp_path / "n.ipynb")
    put_on(path, "1f", {"result_digest": ""})
    bare = protocol.without_traces(nbformat.read(path, as_version=4))
    assert protocol.notebook_digest(bare.cells) == first
    assert bare.cells[1].outputs == []
    bare.cells[1].source = "b "
    assert protocol.notebook_digest(bare.cells) != first


def test_the_commit_is_that_of_the_root_whatever_a_hook_says(project, monkeypatch):
    def known():
        return [protocol.gather([], {}, {})[field] for field in ("commit", "dirty", "lock_digest")]

    assert known() == ["", "", ""]
    (project.root / "requirements.txt").write_text("numpy==2.0")
    git(project.root, "init")
    assert known()[:2] == ["", ""]
    git(project.root, "add", ".")
    git(project.root, "commit", "-m", "a")
    monkeypatch.setenv("GIT_DIR", str(project.root / "another"))
    (project.root / "untracked").touch()
    commit, dirty, lock = known()
    assert (len(commit), dirty, len(lock)) == (40, False, 64)
    (project.root / "requirements.txt").write_text("numpy==2.1")
    assert known()[:2] == [commit, True]
    assert known()[2] != lock


def test_threads_are_what_the_kernel_is_told(monkeypatch):
    found = protocol.gather([], {}, {"OPENBLAS_NUM_THREADS": "1", "OTHER": "x"})["threads"]
    assert found.keys() == {"OPENBLAS_NUM_THREADS", "cores", "usable"}
    assert 1 <= found["usable"] <= found["cores"]


def test_changes_name_the_part_of_a_field():
    before = {"parameters": {"rate": 1.0, "k": 2}, "versions": {"numpy": "2.0", "old": "1"}, "commit": "a"}
    now = {"parameters": {"rate": 0.5, "k": 2}, "versions": {"numpy": "2.1", "new": "3"}, "commit": "b"}
    assert protocol.changes(before, now) == [
        ("parameters rate", "1.0", "0.5"),
        ("commit", "a", "b"),
        ("versions numpy", "2.0", "2.1"),
        ("versions old", "1", "none"),
        ("versions new", "none", "3"),
    ]
    assert protocol.changes(before, before) == []


def test_hostile_values_are_text_on_the_card_and_its_page(tmp_path):
    about = {"result_digest": "", "split": HOSTILE, "parameters": {HOSTILE: HOSTILE * 100}}
    shown = card("1f", about)
    assert "\n\n" not in shown
    assert "\x1b" not in shown
    assert not set("$`*[]()|\\") & set(shown)
    nbformat.write(nbformat.v4.new_notebook(), path := tmp_path / "n.ipynb")
    put_on(path, "1f", about)
    page = notebook_page(path)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$ [a](javascript:1)" in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert "<math" not in page


A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3)
B[1, 0] += 4e-16
SERIES = np.column_stack((np.arange(4), [4.0, 3.0, 2.0, 1.0]))


def changed(array, place, value):
    other = array.copy()
    other[place] = value
    return other


CLOSE, FAR = results.WITHIN, results.DIFFERENT
SHAPES = ("array U", "float64 of shape (2, 3)", "float64 of shape (1, 3)")
STEPS = ("metric loss", "4 points up to step 3", "3 points up to step 2")
PAIRS = {
    "the same": ({"array U": A}, {"array U": A.copy()}, results.IDENTICAL, None),
    "nan": ({"array U": A * np.nan}, {"array U": A * np.nan}, results.IDENTICAL, None),
    "a bit": ({"array U": A}, {"array U": B}, CLOSE, ("array U[1, 0]", "3.0", "3.0000000000000004")),
    "a sign": ({"array x": A[0]}, {"array x": -A[0] * [1, -1, -1]}, CLOSE, ("array x[0]", "0.0", "-0.0")),
    "float64": ({"array U": A}, {"array U": A + 1e-6}, FAR, ("array U[0, 0]", "0.0", "1e-06")),
    "float32": (
        {"array x": A[1].astype("f4")},
        {"array x": (A[1] * (1 + 1e-5)).astype("f4")},
        CLOSE,
        ("array x[0]", "3.0", "3.00003"),
    ),
    "a gap": ({"array U": A}, {"array U": changed(A, (0, 1), np.nan)}, FAR, ("array U[0, 1]", "1.0", "nan")),
    "inf": ({"array U": A}, {"array U": changed(A, (0, 1), np.inf)}, FAR, ("array U[0, 1]", "1.0", "inf")),
    "a shape": ({"array U": A}, {"array U": A[:1]}, FAR, SHAPES),
    "a count": ({"array n": np.array(3)}, {"array n": np.array(4)}, FAR, ("array n", "3", "4")),
    "a text": ({"array t": np.array(["a"])}, {"array t": np.array(["b"])}, FAR, ("array t[0]", "a", "b")),
    "a point": (
        {"metric loss": SERIES},
        {"metric loss": changed(SERIES, (2, 1), 2.5)},
        FAR,
        ("metric loss at step 2", "2.0", "2.5"),
    ),
    "an end": ({"metric loss": SERIES}, {"metric loss": SERIES[:3]}, FAR, STEPS),
    "a metric": ({"metric loss": SERIES}, {}, FAR, ("metric loss", "there", "absent")),
    "noise": (
        {"metric error": SERIES[:1] * 1e-17},
        {"metric error": SERIES[:1] * 3e-17},
        CLOSE,
        ("metric error", "4e-17", "1.2e-16"),
    ),
    "two": (
        {"array U": A, "metric loss": SERIES},
        {"array U": B, "metric loss": SERIES + 1},
        FAR,
        ("metric loss at step 0", "4.0", "5.0"),
    ),
}


@pytest.mark.parametrize(("before", "now", "verdict", "first"), PAIRS.values(), ids=PAIRS)
def test_results_are_compared_number_by_number(before, now, verdict, first):
    found = results.compare(before, now)
    assert found == (verdict, first)


def test_a_run_has_it_all_as_tags_as_json_and_on_the_page(project):
    record = """
import numpy as np
from mflib import Ratings
from mflib.runs import record_data, record_metrics, record_result
record_data(Ratings.from_dense(np.eye(3), np.ones((3, 3))), split="share=0.2 seed=0")
record_metrics({"loss": 0.5, "seconds.fit": 1.0})
record_result(U=np.ones((2, 2), "f4"))
"""
    project.notebook("01_loss", record, parameters='seed: int = 3\nname: str = "<b>$x$</b>"')
    with Stop() as stop:
        outcome = execute(with_defaults("01_loss"), open_store(), stop)
    client = project.client()
    tags = client.get_run(outcome.run_id).data.tags
    about = json.loads(Path(client.download_artifacts(outcome.run_id, "protocol.json")).read_text())
    assert {name: about[name] for name in protocol.FIELDS} | {
        "result_digest": tags["mflib.result_digest"],
        "timeout": 600,
    } == about
    told = {"data_digest": RATINGS.digest, "split": "share=0.2 seed=0", "seed": 3, "dtype": "float32"}
    assert told.items() <= about.items()
    assert about["versions"]["numpy"] == np.__version__
    for field in protocol.FIELDS.keys() - {"versions"}:
        assert tags[f"mflib.protocol.{field}"] == protocol.in_words(about[field])
    expected = {"array U": np.ones((2, 2), "f4"), "metric loss": np.array([[0, 0.5]])}
    assert about["result_digest"] == results.digest(expected)
    attached = client.download_artifacts(outcome.run_id, "notebook")
    top = nbformat.read(f"{attached}/01_loss.ipynb", as_version=4).cells[0]
    assert (top.cell_type, top.metadata.tags) == ("markdown", ["mflib-card"])
    page = Path(attached, "01_loss.html").read_text()
    for text in (outcome.run_id, about["result_digest"], RATINGS.digest, about["cpu"].split()[0]):
        assert text in top.source
        assert text in page
    assert "<b>$x$</b>" not in top.source
