"""Hostile input: refused in a line, or shown as the text it is; never executed, never written elsewhere."""

import ast
import contextlib
import csv
import io
import json
import os
import stat
import tempfile
import unicodedata
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from mlflow.entities import Metric, Param, RunTag

from mflib import Ratings, cli
from mflib.runs import owner
from mflib.runs.batch import execute_all
from mflib.runs.pages import notebook_page
from mflib.runs.params import with_defaults
from mflib.runs.record import record_figure, record_metrics, record_result, record_table
from mflib.runs.stop import Stop
from mflib.runs.store import locate
from mflib.runs.sweep_report import best_line, failures, points_table
from mflib.runs.sweep_store import Result

HTML = "<script>alert(1)</script><img src=x onerror=alert(2)></code></table>"
ESC = "\x1b[2J\x1b]0;title\x07"
RTL = "\u202egnp.exe"
CODE = '"; open("../../stolen", "w"); x = "'
TEXTS = [
    *(
        HTML,
        ESC,
        RTL,
        CODE,
        CODE.replace('"', "'"),
        'a"""b',
        "a\\",
        "a\\\"; open('stolen', 'w') #",
        "\r\nb = 1\n",
    ),
    *(
        "{{ 7 * 7 }}{% raw %}",
        "{seed}{0.__class__}",
        "%(seed)s%n",
        "${HOME}`id`",
        "$\\frac{",
        "\0",
        "\x85\u2028",
    ),
    *("../../stolen", "..\\stolen", "/etc/passwd", "%2e%2e%2fstolen", "=1+1", "null", "1e5", "é" * 5000),
]
DECLARED = 'seed: int = 0\nrule: str = "plain"\nrates: list[float] = [1.0]\ntexts: list[str] = []'
RUNS = "runs: [{notebook: 01_point}]\n"


def brief(value: object) -> str:
    """A case, for the list of tests."""
    return ascii(value)[1:20]


def files(folder: Path) -> dict[str, tuple]:
    """Everything below a folder but the store; of a file its size, and when it was written."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "mlruns"]
        found |= dict.fromkeys((os.path.join(place, name) for name in folders), ())
        for name in names:
            state = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (stat.S_IFMT(state.st_mode), state.st_size, state.st_mtime_ns)
    return found


@pytest.fixture(scope="module")
def place(shared_project):
    """A project of one notebook, which does with its parameters whatever a notebook does."""
    cells = (
        "from mflib import Ratings\n"
        "from mflib.runs import record_data, record_metrics, record_result, record_table",
        "print(*texts)\nrule",
        "record_data(Ratings.from_arrays(texts, texts[::-1], [1.0] * len(texts)), split=rule)",
        'record_table("texts", [{text: text, "label": text} for text in texts])\n'
        'record_result(texts=texts)\nrecord_metrics({"loss": seed})',
    )
    shared_project.notebook("01_point", *cells, parameters=DECLARED)
    (shared_project.root / "tmp").mkdir()
    return shared_project


@pytest.fixture
def here(place, monkeypatch):
    """The project, which is all that this process knows; at the end nothing but its store has changed."""
    monkeypatch.setenv("MFLIB_ROOT", str(place.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(place.root / "tmp"))
    monkeypatch.chdir(place.root)
    return place


def said(*arguments: str) -> tuple[int, str]:
    """The exit code of a command, and all that it printed, seen to be text that no terminal obeys."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = cli.main([*arguments])
        except SystemExit as ending:  # argparse
            code = ending.code
    text = out.getvalue() + err.getvalue()
    assert all(line.isprintable() for line in text.split("\n")), text
    return code, text


def refused(project, *arguments: str) -> str:
    """What is said of a wrong command: it is short, and nothing was written anywhere."""
    before = files(project.root.parent)
    code, text = said(*arguments)
    assert (code, files(project.root.parent)) == (2, before), text
    assert text.startswith("mflib: "), text
    assert text.count("\n") <= 2, text
    assert len(text) < 1100, len(text)
    return text


LEVELS = 100_000
VALUES = {
    "a tag of Python": ("!!python/object/apply:os.system ['touch stolen']", "could not determine"),
    "a module": ("!!python/module:os ''", "could not determine"),
    "a new object": ("!!python/object/new:type {args: [x, [], {}]}", "could not determine"),
    "a tag of its own": ("!stolen x", "could not determine"),
    "a bomb of aliases": (
        "[&a0 [x], " + ", ".join(f"&a{i + 1} [*a{i}, *a{i}, *a{i}]" for i in range(40)) + "]",
        "aliases",
    ),
    "an alias of itself": ("&a [*a]", "aliases"),
    "deep lists": ("[" * LEVELS, "more than 20 levels"),
    "deep closed lists": ("[" * LEVELS + "]" * LEVELS, "more than 20 levels"),
    "deep mappings": ("{a: " * LEVELS, "more than 20 levels"),
    "a long int": ("9" * 5000, "is no int"),
    "a long hexadecimal": ("0x" + "f" * 5000, "expected int, got a number of 20000 bits"),
    "no day": ("2020-99-99", "is no timestamp"),
    "no time": ("!!timestamp soon", "is no timestamp"),
    "no bool": ("!!bool maybe", "is no bool"),
    "no int": ("!!int ten", "is no int"),
    "no bytes": ("!!binary ä", "is not valid YAML"),
    "code": ("__import__('os').system('touch stolen')", "expected int, got"),
    "NaN": (".nan", "expected int, got nan"),
    "a long text": ("x" * LEVELS, "expected int, got 'xxx"),
    "a key of NaN": ("{.nan: 1}", "expected int, got {nan: 1}"),
    "a key twice": ("{a: 1, a: 2}", "given twice"),
    "a key of lists": ("{[a]: 1}", "a key must be a name"),
    "half a sign": ('"\\ud800"', "expected int, got '\\ud800'"),
    "escapes": (f'"{ESC!r}{RTL!r}"'.replace("'", ""), "expected int, got"),
    "a merge": ("{<<: {seed: 1}}", "expected int, got"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("where", ["run", "sweep", "point", "-p"])
def test_a_value_of_the_wrong_kind_is_refused_in_a_line(here, name, where):
    value, message = VALUES[name]
    if where == "-p":
        text = refused(here, "run", "--notebook", "01_point", "-p", f"seed={value}")
        assert "-p seed of 01_point: expected int, got " in text
        return
    content = {
        "run": f"runs: [{{notebook: 01_point, parameters: {{seed: {value}}}}}]",
        "sweep": f"{RUNS}sweep: {{seed: [{value}]}}",
        "point": f"{RUNS}sweep: [{{seed: {value}}}]",
    }[where]
    path = here.params(content, "hostile")
    assert message in refused(here, "run" if where == "run" else "sweep", "params/hostile.yaml")
    path.unlink()


FILES = {
    f'experiment: "{ESC}"'.replace("\x1b", "\\e").replace(
        "\x07", "\\a"
    ): "experiment: expected a name, got '\\x1b[2J",
    f'experiment: "{RTL}"': "experiment: expected a name, got '\\u202egnp.exe'",
    'experiment: "a\\nb"': "experiment: expected a name, got 'a\\nb'",
    'experiment: "a\\0b"': "experiment: expected a name, got 'a\\x00b'",
    f"experiment: {'x' * 251}": "experiment: has 251 letters, 250 are allowed",
    "timeout: .nan": "timeout: expected float, got nan",
    "timeout: 1e999": "timeout: expected float, got '1e999'",
    f'"{HTML}": 1': "unknown key '<script>",
}
NOTEBOOKS = [
    *(
        "../notebooks/01_point",
        "/etc/passwd",
        "..\\01_point",
        "%2e%2e/01_point",
        "./01_point",
        "01_point\0",
        ".",
        "",
    ),
    *(
        "~/x",
        HTML,
        ESC,
        RTL,
        "x" * 5000,
        "file:///etc/passwd",
        "https://example.org/a.ipynb",
        "01_point.ipynb.ipynb",
    ),
]
NAMES = [
    "seed; open('stolen', 'w')",
    "__class__",
    HTML,
    ESC,
    RTL,
    "seed\n",
    "../seed",
    "x" * 1000,
    "séed",
    "0",
    "",
]


@pytest.mark.parametrize("text", FILES, ids=brief)
def test_a_hostile_word_in_a_params_file_is_refused_in_a_line(here, text):
    path = here.params(f"{text}\n{RUNS}", "hostile")
    assert FILES[text] in refused(here, "run", "params/hostile.yaml")
    path.unlink()


@pytest.mark.parametrize("name", NOTEBOOKS, ids=brief)
def test_no_name_of_a_notebook_leads_out_of_their_folder(here, name):
    path = here.params(json.dumps({"runs": [{"notebook": name}]}), "hostile")
    for arguments in (("run", "--notebook", name), ("run", "params/hostile.yaml")):
        text = refused(here, *arguments)
        assert "unknown notebook" in text
        assert "'01_point'" in text  # the remedy is not cut off
    path.unlink()


@pytest.mark.parametrize("name", NAMES, ids=brief)
def test_a_parameter_that_the_notebook_does_not_declare_is_refused(here, name):
    assert "unknown parameter" in refused(here, "run", "--notebook", "01_point", "-p", f"{name}=1")
    for content, command in (
        ({"runs": [{"notebook": "01_point", "parameters": {name: 1}}]}, "run"),
        ({"runs": [{"notebook": "01_point"}], "sweep": {name: [1]}}, "sweep"),
        ({"runs": [{"notebook": "01_point"}], "sweep": [{name: 1}]}, "sweep"),
    ):
        path = here.params(json.dumps(content), "hostile")
        text = refused(here, command, "params/hostile.yaml")
        assert "unknown parameter" in text
        assert "'seed'" in text  # the remedy is not cut off
        path.unlink()


def test_a_params_file_of_100_mb_is_refused_unread(here):
    path = here.params("", "hostile")
    os.truncate(path, 100 << 20)
    text = refused(here, "run", "params/hostile.yaml")
    assert text == "mflib: params/hostile.yaml: is 100 MB large; a params file may have 4 MB\n"
    path.unlink()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", ESC),
        ("run", "../../../../etc/passwd"),
        ("run", "--jobs", ESC),
        ("run", f"--{ESC}"),
        ("run", "--notebook", "01_point", "-p", ESC),
        ("run", "--notebook", "01_point", "-p", os.fsdecode(b"rule=\xff")),
        ("run", "--notebook", "01_point", "-p", 'texts=["\\ud800"]'),
        ("sweep", RTL),
        ("sweep", "/dev/zero"),
        ("compare", "' OR '1' = '1"),
        ("compare", "--experiment", ESC),
        ("reproduce", "../.."),
        ("reproduce", HTML),
    ],
    ids=brief,
)
def test_a_hostile_argument_is_repeated_as_text(here, arguments):
    before = files(here.root.parent)
    code, text = said(*arguments)
    assert (code, files(here.root.parent)) == (2, before)
    assert len(text) < 2000


def notebook(*cells: dict, **more) -> str:
    """A notebook as a file holds it."""
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})


def code(source: object = "", tags: object = ("parameters",)) -> dict:
    """A cell of code."""
    empty = {"id": "a", "cell_type": "code", "execution_count": None, "outputs": []}
    return {**empty, "metadata": {"tags": tags}, "source": source}


NO_NOTEBOOK = "is not a Jupyter notebook of format 4"
NOT_PLAIN = "is not Python of plain values"
CONTENTS = {
    "no JSON": ("# a text", NO_NOTEBOOK),
    "cut short": (notebook(code())[:-9], NO_NOTEBOOK),
    "a list": ("[1]", NO_NOTEBOOK),
    "a number": ("1", NO_NOTEBOOK),
    "of 100,000 levels": ("[" * LEVELS, NO_NOTEBOOK),
    "cells of 100,000 levels": (f'{{"cells": {"[" * LEVELS}{"]" * LEVELS}}}', NO_NOTEBOOK),
    "of other cells": (notebook({"parameters": 1}), NO_NOTEBOOK),
    "no cells": (notebook(cells={"a": 1}), NO_NOTEBOOK),
    "a source of numbers": (notebook(code([1, 2])), NO_NOTEBOOK),
    "a number as source": (notebook(code(1)), NO_NOTEBOOK),
    "a text as metadata": (notebook({**code(), "metadata": "parameters"}), NO_NOTEBOOK),
    "a cell without source": (notebook(code(), {"cell_type": "raw", "metadata": {}}), NO_NOTEBOOK),
    "a cell of a new type": (notebook(code(), {**code(), "cell_type": "evil"}), NO_NOTEBOOK),
    "a cell of type 3": (notebook(code(), {**code(), "cell_type": 3}), NO_NOTEBOOK),
    "outputs that are text": (notebook({**code(), "outputs": "x"}), NO_NOTEBOOK),
    "tags that are none": (notebook(code(tags=None)), NO_NOTEBOOK),
    "tags that are a text": (notebook(code(tags="parameters")), NO_NOTEBOOK),
    "tags of lists": (notebook(code(tags=[["parameters"]])), NO_NOTEBOOK),
    "a list as metadata": (notebook(code(), metadata=[]), NO_NOTEBOOK),
    "a minor format of text": (notebook(code(), nbformat_minor="x"), NO_NOTEBOOK),
    "no minor format": (json.dumps({"cells": [code()], "metadata": {}, "nbformat": 4}), NO_NOTEBOOK),
    "format 4.0": (notebook(code(), nbformat=4.0), NO_NOTEBOOK),
    "format 3": (json.dumps({"worksheets": [{"cells": []}], "nbformat": 3}), "is of format 3, expected 4"),
    "format 5": (notebook(nbformat=5), "is of format 5, expected 4"),
    "format of escapes": (notebook(nbformat=ESC), "is of format '\\x1b[2J"),
    "two parameters cells": (notebook(code("seed: int = 0"), code()), "has 2 cells tagged `parameters`"),
    "code": (notebook(code("seed: int = open('stolen', 'w')")), "expected a plain value, got `open("),
    "an f-string": (notebook(code("rule: str = f'{open(1)}'")), "expected a plain value, got `f"),
    "a magic": (notebook(code("!touch stolen")), "line 1: is not Python"),
    "a walrus": (notebook(code("(seed := 1)")), "expected `name: type = value`"),
    "an attribute": (notebook(code("a.b: int = 1")), "expected `name: type = value`"),
    "code as type": (notebook(code("seed: open('stolen', 'w') = 0")), "seed: expected the type int, float"),
    "a zero byte": (notebook(code("seed: int = 0\0")), "is not Python"),
    "deep brackets": (notebook(code(f"seed: int = {'[' * LEVELS}")), "is not Python"),
    "deep signs": (notebook(code(f"seed: int = {'-' * LEVELS}1")), NOT_PLAIN),
    "a long sum": (notebook(code(f"seed: int = {'1+' * LEVELS}1")), NOT_PLAIN),
    "a deep type": (notebook(code(f"seed: {'list[' * 5000}int{']' * 5000} = 0")), "is not Python"),
    "a long int": (notebook(code(f"seed: int = {'9' * 5000}")), "is not Python"),
    "a long hexadecimal": (notebook(code(f"seed: int = 0x{'f' * 5000}")), "got a number of 20000 bits"),
    "a set of lists": (notebook(code("rates: list[float] = {[]}")), "expected a plain value, got `{[]}`"),
    "half a sign": (notebook(code('rule: str = "\\ud800"')), "rule: expected str, got '\\ud800'"),
    "escapes": (notebook(code(f"seed: int = {ESC!r}")), "seed: expected int, got '\\x1b[2J"),
    "a long name": (notebook(code(f"{'x' * 251}: int = 0")), "name has 251 letters, 250 are allowed"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_hostile_notebook_is_refused_in_a_line(here, name):
    content, message = CONTENTS[name]
    path = here.root / "notebooks" / "hostile.ipynb"
    path.write_text(content)
    here.params("runs: [{notebook: hostile}]\nsweep: {seed: [1]}", "hostile")
    for arguments in (("run", "--notebook", "hostile"), ("sweep", "params/hostile.yaml")):
        text = refused(here, *arguments)
        assert text.startswith("mflib: hostile.ipynb")
        assert message in text
    path.unlink()


def test_a_notebook_of_100_mb_is_refused_unread(here):
    path = here.root / "notebooks" / "hostile.ipynb"
    path.touch()
    os.truncate(path, 100 << 20)
    message = "hostile.ipynb: is 100 MB large; a notebook may have 50 MB; clear its outputs"
    assert refused(here, "run", "--notebook", "hostile") == f"mflib: {message}\n"
    path.unlink()


def test_what_only_looks_like_a_notebook_is_none(here):
    folder = here.root / "notebooks"
    outside = here.root / "outside.ipynb"
    outside.write_text(notebook(code()))
    (folder / "linked.ipynb").symlink_to(outside)
    assert "linked.ipynb is a link that leads out of notebooks/" in refused(
        here, "run", "--notebook", "linked"
    )
    (folder / "dangling.ipynb").symlink_to(here.root / "nowhere")
    (folder / "folder.ipynb").mkdir()
    os.mkfifo(folder / "pipe.ipynb")
    (folder / f"{ESC.replace('/', '')}.ipynb").write_text(notebook(code()))
    for name in ("dangling", "folder", "pipe", ESC):
        assert "unknown notebook" in refused(here, "run", "--notebook", name)
    for path in set(folder.glob("*.ipynb")) - {folder / "01_point.ipynb", folder / "folder.ipynb"}:
        path.unlink()
    (folder / "folder.ipynb").rmdir()
    outside.unlink()


def test_without_a_parameters_cell_there_is_no_parameter_to_set(here):
    path = here.root / "notebooks" / "hostile.ipynb"
    path.write_text(notebook(code("seed: int = 0", tags=[])))
    text = refused(here, "run", "--notebook", "hostile", "-p", "seed=1")
    assert text == "mflib: -p seed=1: unknown parameter 'seed'; there is none\n"
    path.unlink()


EXPERIMENT = '../../stolen <b>%2e%2e\\ "'
RULE = f"{HTML}{ESC}{RTL}{CODE}\n\\"


@pytest.fixture(scope="module")
def executed(place):
    """A run with every hostile text as a value, by the real command; what was there before and after it."""
    run = {"notebook": "01_point", "parameters": {"rule": RULE, "texts": TEXTS}}
    place.params(json.dumps({"experiment": EXPERIMENT, "runs": [run]}), "texts")
    before = files(place.root.parent)
    done = place.mflib("run", "params/texts.yaml", TMPDIR=str(place.root / "tmp"))
    assert done.returncode == 0, done.stdout
    return place, done, before, files(place.root.parent), place.runs()["01_point"]


def artifact(executed, name: str) -> Path:
    """A file of the run, in the store."""
    return executed[0].root / "mlruns" / "artifacts" / executed[-1].info.run_id / "artifacts" / name


def harmless(page: str) -> BeautifulSoup:
    """A page, seen to run and load nothing."""
    found = BeautifulSoup(page, "html.parser")
    assert found(["script", "img", "iframe"]) == []
    assert [name for element in found(True) for name in element.attrs if name.startswith("on")] == []
    assert {sign for sign in page if unicodedata.category(sign) == "Cc"} <= {"\n"}
    return found


def test_hostile_values_are_printed_and_stored_as_text_and_nothing_else_is_written(executed):
    place, done, before, after, run = executed
    assert (done.stderr, after) == ("", before)
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    client = place.client()
    assert client.get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert run.data.params["rule"] == RULE
    assert run.data.params["texts"] == str(TEXTS)[:6000]
    assert run.data.tags["mflib.protocol.split"] == RULE
    with open(artifact(executed, "tables/texts.csv"), newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == TEXTS


def test_in_the_executed_notebook_each_value_is_a_literal(executed):
    content = nbformat.read(artifact(executed, "notebook/01_point.ipynb"), as_version=4)
    (injected,) = (cell for cell in content.cells if "injected-parameters" in cell.metadata.get("tags", []))
    lines = ast.parse(injected.source).body
    assert all(isinstance(line, ast.Assign) for line in lines)
    values = {line.targets[0].id: ast.literal_eval(line.value) for line in lines}
    assert values == {"seed": 0, "rule": RULE, "rates": [1.0], "texts": TEXTS}


def test_the_page_of_the_run_shows_hostile_values_as_text(executed):
    page = harmless(artifact(executed, "notebook/01_point.html").read_text(encoding="utf-8"))
    assert HTML in page.table.text  # the card: the split, as told to record_data
    page.table.decompose()
    assert HTML in page.text


def test_hostile_runs_are_compared_and_reproduced_as_text(executed, here):
    before = files(here.root.parent)
    page = here.root / "tmp" / "page.html"
    code, text = said("compare", "--experiment", EXPERIMENT, "--html", str(page))
    assert code == 0, text
    found = harmless(page.read_text(encoding="utf-8"))
    assert HTML in found.text
    page.unlink()
    code, text = said("reproduce", executed[-1].info.run_id)
    assert (code, text.splitlines()[-1].rpartition(": ")[2]) == (0, "identical")
    assert files(here.root.parent) == before


def test_a_sweep_over_hostile_values_shows_them_as_text(here):
    rules = [f"$\\nope{ESC}$", f"../../{HTML}"]
    sweep = {"rule": rules, "texts": [["$\\nope$"]]}  # no formula that the heat map could show
    content = {"experiment": "sweep", "runs": [{"notebook": "01_point"}], "sweep": sweep}
    path = here.params(json.dumps(content), "hostile")
    before = files(here.root.parent)
    code, text = said("sweep", "params/hostile.yaml")
    assert (code, files(here.root.parent)) == (0, before), text
    assert "Heat map: " in text
    labels = ("rule='$\\\\nope\\x1b[2J\\x1b]0;title\\x07$', texts=", f"rule=../../{HTML}, texts=")
    assert all(any(name.startswith(label) for name in here.runs()) for label in labels)
    path.unlink()


@pytest.fixture
def foreign(executed):
    """A run that somebody else put into the store, of which nothing is as `mflib run` records it."""
    place, *_, run = executed
    client, name = place.client(), f"{ESC}{RTL}\n{HTML}"
    dead = {**owner.tags(), "mflib.process_started": "at another boot"}
    made = client.create_run(run.info.experiment_id, run_name=name, tags=dead).info.run_id
    tags = {
        "mflib.notebook": f"../{name}",
        "mflib.protocol.split": name,
        "mflib.protocol.cpu": name,
        "error": name,
    }
    client.log_batch(made, tags=[RunTag(key, held) for key, held in tags.items()])
    client.log_batch(
        made, params=[Param("rule", name), Param("a b/c", name)], metrics=[Metric("lo ss/x", 1.0, 0, 0)]
    )
    yield client, made, run.info.run_id
    client.delete_run(made)


def test_what_a_foreign_run_holds_is_printed_as_text(foreign, here):
    client, made, own = foreign
    code, text = said("doctor")
    assert code == 1
    assert f"{made[:8]} (�[2J�]0;title��gnp.exe" in text
    assert "is RUNNING; only a finished run" in refused(here, "reproduce", made)
    client.set_terminated(made, "FINISHED")
    page = here.root / "tmp" / "page.html"
    code, text = said("compare", own, made, "--anyway", "--html", str(page))
    assert code in (0, 2), text
    harmless(page.read_text(encoding="utf-8"))
    page.unlink()
    client.log_text(made, "[" * LEVELS, "protocol.json")
    for more in ((), ("--tree",)):
        assert f"run {made[:8]}: its protocol.json is damaged" in refused(here, "reproduce", made, *more)


@pytest.mark.parametrize(
    "name", [*TEXTS[:6], "../a", "a/b", "..\\a", "%2e%2e", "a b", ".a", "", "x" * 201], ids=brief
)
def test_no_name_of_a_result_leads_out_of_the_folder_of_the_run(tmp_path, monkeypatch, name):
    folder = tmp_path / "run" / "folder"
    folder.mkdir(parents=True)
    monkeypatch.setenv("MFLIB_RUN_DIR", str(folder))
    figure = type("Figure", (), {"savefig": lambda *_, **named: None})()
    for record in (
        lambda: record_metrics({name: 1.0}),
        lambda: record_figure(name, figure),
        lambda: record_table(name, [{"a": 1}]),
        lambda: record_result(**{name: [1.0]}),
    ):
        with pytest.raises(ValueError, match="only letters, digits") as error:
            record()
        assert str(error.value).isprintable()
    assert [*tmp_path.rglob("*")] == [tmp_path / "run", folder]


def test_hostile_labels_of_a_csv_file_are_labels_and_its_mistakes_are_told_in_a_line(tmp_path):
    path = tmp_path / "ratings.csv"
    labels = [text for text in TEXTS if "\0" not in text]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("user", "item", "rating"), *((text, text, 1) for text in labels)])
    assert sorted(Ratings.from_csv(path, "user", "item", "rating").user_labels) == sorted(labels)
    for text in (HTML, ESC, RTL, CODE, "x" * LEVELS):
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("user", "item", "rating"), ("a", "b", text)])
        with pytest.raises(ValueError, match="line 2") as error:
            Ratings.from_csv(path, "user", "item", "rating")
        assert str(error.value).isprintable()


def test_whatever_comes_back_from_a_store_is_printed_as_text():
    result = Result({"rule": "a" * LEVELS}, "FAILED", "1f", {ESC: 1.0}, ESC + "x" * LEVELS)
    lines = [*failures([result]), best_line(result, ESC), *points_table([result], ESC).split("\n")]
    assert all(line.isprintable() and len(line) < 800 for line in lines)


def test_an_error_of_the_store_is_printed_as_text(here, monkeypatch):
    def fails(*_):
        raise ValueError(f"{ESC}{'x' * LEVELS}\nmore")

    monkeypatch.setattr("mflib.runs.execute.execute", fails)
    executions = [with_defaults("01_point")]
    (outcome,) = execute_all(executions, locate(), Stop(()), 1, lambda *_: None, lambda *_: None)
    assert outcome.error.startswith("the store failed: �[2J")
    assert outcome.error.isprintable()
    assert len(outcome.error) < 500


def test_the_page_of_a_hostile_notebook_runs_nothing(tmp_path):
    html = (
        '<p onclick="alert(1)">kept</p><svg onload="alert(2)"></svg><a href=" java\nscript:alert(3)">link</a>'
    )
    output = nbformat.v4.new_output("display_data", {"text/html": html, "text/plain": ESC})
    stream = nbformat.v4.new_output("stream", text=f"\x00{ESC}{HTML}")
    cells = [nbformat.v4.new_code_cell("x", outputs=[output, stream]), nbformat.v4.new_markdown_cell(html)]
    about = {"title": f"</title>{HTML}", "kernelspec": {"name": HTML, "display_name": HTML}, "language": HTML}
    path = tmp_path / "hostile.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), path)
    page = harmless(notebook_page(path))
    assert page.text.count("kept") == 2
    assert [link.get("href") for link in page("a", string="link")] == [None, None]
    assert page.title.text == f"</title>{HTML}"
