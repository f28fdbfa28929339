import pytest

from mflib.runs.declared import convert, convert_text, declared
from mflib.runs.params import override, read_params, with_defaults
from mflib.runs.project import InputError, find_params

DECLARATIONS = """
"what can be changed"
seed: int = 0  # of the start
learning_rate: float = 1
rule: str = "plain"
show: bool = True
break_it: str | None = None
rates: list[float] = [1, 1e-3]
"""


@pytest.fixture
def lecture(project):
    project.notebook("01_loss", parameters=DECLARATIONS)
    project.notebook("02_descent", parameters="seed: int = 1\nk: int = 4")
    return project


def test_a_params_file_gives_the_executions_with_defaults_filled_in(lecture):
    path = lecture.params("""
        experiment: a first try
        timeout: 12
        runs:
          - notebook: 02_descent
            parameters: {k: 7}
          - notebook: 01_loss.ipynb
          - {notebook: 01_loss, parameters: {learning_rate: 1e-3, rates: [1e2, .5], break_it: sign}}
    """)
    second, first, third = read_params(path)
    assert (second.name, second.parameters) == ("02_descent", {"seed": 1, "k": 7})
    assert first.parameters == {
        "seed": 0,
        "learning_rate": 1.0,
        "rule": "plain",
        "show": True,
        "break_it": None,
        "rates": [1.0, 0.001],
    }
    assert third.parameters["learning_rate"] == 0.001
    assert third.parameters["rates"] == [100.0, 0.5]
    assert third.parameters["break_it"] == "sign"
    assert {(one.experiment, one.timeout, one.source) for one in (first, second, third)} == {
        ("a first try", 12.0, "params/default.yaml")
    }


def test_the_parameters_cell_is_read_and_not_executed(project, tmp_path):
    path = project.notebook("01_loss", parameters=f"seed: int = open({str(tmp_path / 'x')!r}, 'w').fileno()")
    with pytest.raises(InputError, match="seed: expected a plain value, got `open"):
        declared(path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("seed = 0", "expected `name: type = value`, got `seed = 0`"),
        ("seed: int", "expected `name: type = value`, got `seed: int`"),
        ("import os", "expected `name: type = value`, got `import os`"),
        ("seed: array = 0", "seed: expected the type int, float, str, bool, .*, got `array`"),
        ("seed: int = 0.5", "seed: expected int, got 0.5"),
        ("seed: int = 0\n%matplotlib inline", "line 2: is not Python"),
    ],
)
def test_a_parameters_cell_holds_annotated_plain_values_only(project, cell, message):
    with pytest.raises(InputError, match=rf"01_loss.ipynb, parameters cell.*{message}"):
        declared(project.notebook("01_loss", parameters=cell))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cells": [3]}', "# no notebook"])
def test_a_file_that_is_no_notebook_is_refused(project, text):
    path = project.root / "notebooks" / "01_loss.ipynb"
    path.write_text(text)
    with pytest.raises(InputError, match=r"01_loss.ipynb: is not a Jupyter notebook"):
        declared(path)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, "int", 3),
        (3, "float", 3.0),
        ("1e-3", "float", 0.001),
        ("-2E+5", "float", -2e5),
        (False, "bool", False),
        ("5", "str", "5"),
        (None, "float | None", None),
        ("None", "str | None", None),
        (2, "float | None", 2.0),
        ([], "list[int]", []),
        ([[1], ["1e1"]], "list[list[float]]", [[1.0], [10.0]]),
        ([1, None], "list[int | None]", [1, None]),
    ],
)
def test_a_value_that_fits_its_declaration_passes(value, kind, expected):
    found = convert(value, kind, "here")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "int"),
        (1.0, "int"),
        ("1", "int"),
        ("1e3", "int"),
        (True, "float"),
        ("fast", "float"),
        ("nan", "float"),
        ("1_0", "float"),
        (float("inf"), "float"),
        ("1e999", "float"),
        (10**400, "float"),
        (5, "str"),
        (None, "str"),
        ("yes", "bool"),
        (1, "bool"),
        (3, "list[int]"),
        ("ab", "list[str]"),
        ([1, "x"], "list[int]"),
        ({}, "str | None"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(value, kind):
    with pytest.raises(InputError, match=r"^here: expected .*, got "):
        convert(value, kind, "here")


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("7", "int", 7),
        ("1e-3", "float", 0.001),
        ("[1, 2]", "list[int]", [1, 2]),
        ("null", "str | None", None),
        ("None", "int | None", None),
        ("2020-01-01", "str", "2020-01-01"),
        ("{a", "str", "{a"),
        ("", "str", ""),
        ("a: b", "str", "a: b"),
        ("true", "bool", True),
    ],
)
def test_a_typed_value_is_read_by_its_declaration(text, kind, expected):
    assert convert_text(text, kind, "-p x") == expected


def test_an_assignment_reaches_every_notebook_that_declares_the_name(lecture):
    both = [with_defaults("01_loss"), with_defaults("02_descent")]
    first, second = override(both, ["seed=5", "k=9", "seed=6", "rule=a=b"])
    assert (first.parameters["seed"], second.parameters) == (6, {"seed": 6, "k": 9})
    assert first.parameters["rule"] == "a=b"
    assert both[0].parameters["seed"] == 0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sed=1", "-p sed=1: unknown parameter 'sed'; did you mean 'seed'?"),
        ("seed", "-p seed: expected name=value"),
        ("seed=abc", "-p seed of 01_loss: expected int, got 'abc'"),
        ("seed=__import__('os')", "-p seed of 01_loss: expected int, got"),
    ],
)
def test_a_wrong_assignment_is_refused(lecture, assignment, message):
    with pytest.raises(InputError) as error:
        override([with_defaults("01_loss"), with_defaults("02_descent")], [assignment])
    assert str(error.value).startswith(message)


RUN = "runs: [{notebook: 01_loss, parameters: {%s}}]"
BAD_FILES = {
    "": "is empty; expected `runs:`",
    "# only a remark\n": "is empty; expected `runs:`",
    "a: [1\nb: 2": "line 2: is not valid YAML",
    "\x00": "is not valid YAML",
    "runs: !!python/object/apply:os.system [ls]": "line 1: is not valid YAML: could not",
    "- 1": "expected a mapping (`name: value` lines), got a list",
    "text": "expected a mapping (`name: value` lines), got a text",
    "timeout: 1\ntimeout: 2": "line 2: is not valid YAML: 'timeout' is given twice",
    "timeout: 1\nruns: {{ here }}": "line 2: is not valid YAML: a key must be a name",
    "[a]: c": "line 1: is not valid YAML: a key must be a name",
    "run: []": "unknown key 'run'; did you mean 'runs'?",
    "sweep: {seed: [1]}": "is a sweep; execute it with `mflib sweep params/default.yaml`",
    "lists: []": "unknown key 'lists'; valid are 'experiment', 'timeout', 'runs'",
    "experiment: x": "runs: expected a list of at least one notebook, got None",
    "runs: 01_loss": "runs: expected a list of at least one notebook, got '01_loss'",
    "experiment: 3\n" + RUN % "": "experiment: expected a name, got 3",
    'experiment: "a\\e[2J"\n' + RUN % "": "experiment: expected a name, got 'a\\x1b[2J'",
    "timeout: soon\n" + RUN % "": "timeout: expected float, got 'soon'",
    "timeout: 0\n" + RUN % "": "timeout: expected a number of seconds above 0, got 0.0",
    "runs: [01_loss]": "run 1: expected a mapping (`name: value` lines), got a text",
    "runs: [{parameters: {}}]": "run 1, notebook: expected the name of a notebook, got None",
    "runs: [{notebok: 01_loss}]": "run 1: unknown key 'notebok'; did you mean 'notebook'?",
    "runs: [{notebook: 01_los}]": "run 1: unknown notebook '01_los'; did you mean '01_loss'?",
    "runs: [{notebook: ../notebooks/01_loss}]": "run 1: unknown notebook '../notebooks/01_loss'",
    "runs: [{notebook: 01_loss, parameters: [seed]}]": "run 1 (01_loss), parameters: expected a mapping",
    "runs: [{notebook: 01_loss, parameters: []}]": "run 1 (01_loss), parameters: expected a mapping",
    "runs: [{notebook: 01_loss, parameters: 0}]": "run 1 (01_loss), parameters: expected a mapping",
    RUN % "lerning_rate: 1": "unknown parameter 'lerning_rate'; did you mean 'learning_rate'?",
    RUN % "'seed; import os': 1": "unknown parameter 'seed; import os'",
    RUN % "k: 1": "run 1 (01_loss), parameters: unknown parameter 'k'; valid are 'seed', 'learning_rate'",
    RUN % "seed: yes": "run 1 (01_loss), seed: expected int, got True",
    RUN % "learning_rate: fast": "run 1 (01_loss), learning_rate: expected float, got 'fast'",
    RUN % "rule: 5": "run 1 (01_loss), rule: expected str, got 5 (put it between quotes)",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_wrong_params_file_is_refused_in_one_sentence(lecture, text):
    with pytest.raises(InputError) as error:
        read_params(lecture.params(text))
    message = str(error.value)
    assert message.startswith("params/default.yaml")
    assert BAD_FILES[text] in message
    assert message.isprintable()


def test_a_params_file_in_another_encoding_is_refused(lecture):
    path = lecture.params("")
    path.write_bytes("experiment: Größe".encode("utf-16"))
    with pytest.raises(InputError, match=r"params/default.yaml: is not a text file in UTF-8"):
        read_params(path)


def test_a_params_file_is_looked_for_here_and_then_in_the_root(lecture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    in_root = lecture.params("runs: []")
    assert find_params("params/default.yaml") == in_root.resolve()
    (tmp_path / "params").mkdir()
    here = tmp_path / "params" / "default.yaml"
    here.write_text("")
    assert find_params("params/default.yaml") == here.resolve()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("params/defualt.yaml", "no such params file; did you mean 'params/default.yaml'?"),
        ("params", "is a folder, expected a params file"),
    ],
)
def test_a_missing_params_file_is_named(lecture, name, message):
    lecture.params("")
    with pytest.raises(InputError) as error:
        find_params(name)
    assert str(error.value) == f"{name}: {message}"


def test_a_root_without_notebooks_says_how_to_name_another(project):
    with pytest.raises(InputError, match="has no notebooks/; set MFLIB_ROOT"):
        with_defaults("01_loss")
