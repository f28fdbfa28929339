"""The notebooks as files (one clean run, nothing of a machine in them), and each mistake seen to fail.

That their outputs are what the code gives is nbval's to say: `make test` runs it.
"""

import ast
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from mflib.runs.declared import declared
from mflib.runs.kernel import kernel
from mflib.runs.params import read_params
from mflib.runs.store import Store
from mflib.runs.sweep import read_sweep

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANNOTATED = ("int", "float", "str", "bool", "list")
# the spec is asked for where processes are spawned
RESET = "import matplotlib.pyplot as plt\nplt.close('all')\n%reset -f\n__spec__ = None"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters_cell(notebook):
    (cell,) = (cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", []))
    return cell


def outputs(notebook):
    return [(cell.id, output) for cell in code_cells(notebook) for output in cell.outputs]


def texts(notebook):
    """What a reader sees as text: sources and printed or shown outputs, no pictures."""
    for cell in notebook.cells:
        yield cell.id, cell.source
    for cell_id, output in outputs(notebook):
        shown = {**output.get("data", {}), "stream": output.get("text", "")}
        yield from ((cell_id, str(text)) for kind, text in shown.items() if not kind.startswith("image/"))


def shows(source):
    """Whether a cell prints, displays, or ends in plt.show() or in a value."""
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    return bool(calls & {"print", "display", "plt.show", "exercises.check", "check"})


def mistakes(path):
    """The values of break_it that the remark beside it offers."""
    source = parameters_cell(nbformat.read(path, as_version=4)).source
    (line,) = (line for line in source.splitlines() if line.startswith("break_it"))
    return re.findall(r'"(\w+)"', line.partition("#")[2])


def test_there_are_notebooks_to_test():
    numbers = [path.name[:3] for path in NOTEBOOKS]
    assert numbers == [f"{n:02}_" for n in range(1, len(numbers) + 1)]
    assert len(numbers) >= 7


def test_it_is_a_valid_notebook_for_any_python3_kernel(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_outputs_come_from_one_clean_run(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    silent = [cell.id for cell in cells if shows(cell.source) and not cell.outputs]
    assert silent == []


def test_outputs_hold_no_error_no_warning_and_no_figure_as_text(notebook):
    bad = [
        cell_id
        for cell_id, output in outputs(notebook)
        if output.output_type == "error"
        or output.get("name") == "stderr"
        or (output.output_type == "execute_result" and "<Figure" in output.data.get("text/plain", ""))
    ]
    assert bad == []


def test_a_notebook_has_pictures_and_asserts_its_claims(notebook):
    assert any("image/png" in output.get("data", {}) for _, output in outputs(notebook))
    asserts = [node for cell in code_cells(notebook) for node in ast.walk(ast.parse(cell.source))]
    assert all(node.msg is not None for node in asserts if isinstance(node, ast.Assert))
    assert sum(isinstance(node, ast.Assert) for node in asserts) >= 5


def test_parameters_are_annotated_plain_values_with_a_remark_each(path, notebook):
    found = declared(path)  # refuses what is not annotated or not plain
    assert (found["seed"].kind, found["break_it"].kind) == ("int", "str")
    assert found["break_it"].default == "none"
    assert all(parameter.kind.startswith(ANNOTATED) for parameter in found.values())
    assert all("  # " in line for line in parameters_cell(notebook).source.splitlines())


def test_cells_are_short_and_the_file_is_small(path, notebook):
    long = [cell.id for cell in code_cells(notebook) if len(cell.source.splitlines()) > 25]
    assert long == []
    assert path.stat().st_size < 600_000


def test_nothing_of_a_machine_is_in_it(notebook):
    machine = re.compile(
        r"site-packages|localhost|127\.0\.0\.1|/(home|root|tmp|work|Users)/|[A-Z]:\\\\|0x[0-9a-f]{6}"
    )
    found = [(cell_id, match.group()) for cell_id, text in texts(notebook) if (match := machine.search(text))]
    assert found == []


def test_every_link_between_files_leads_somewhere(path, notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not link.startswith("http")]
    broken = [link for link in links if not (path.parent / link.partition("#")[0]).exists()]
    assert links
    assert broken == []


def test_it_links_back_and_on(path, notebook):
    place = NOTEBOOKS.index(path)
    neighbours = [other.name for other in NOTEBOOKS[max(place - 1, 0) : place + 2] if other != path]
    top = notebook.cells[0].source
    assert top.startswith(f"# {path.stem[:2]} ")
    assert [name for name in neighbours if f"({name})" not in top] == []


DERIVED_IN = {"01": range(1, 5), "02": range(5, 12), "03": range(12, 16), "04": (5, 9, 11, 19)}


@pytest.mark.parametrize(("number", "equations"), DERIVED_IN.items(), ids=DERIVED_IN)
def test_each_equation_is_proved_and_recorded_where_it_is_derived(number, equations):
    (path,) = (path for path in NOTEBOOKS if path.stem.startswith(number))
    source = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    ids = [f"E{n:02}" for n in equations]
    assert re.findall(r'verify\.check\("(E\d\d)"', source) == ids
    assert re.findall(r"assert e(\d\d)_verdict\.holds", source) == [id[1:] for id in ids]
    assert f"verdicts = [{', '.join(id.lower() + '_verdict' for id in ids)}]" in source
    assert "record_metrics(verify.metrics(verdicts))" in source
    assert 'record_table("ledger", verify.rows(verdicts))' in source


# One kernel for all of these runs: starting it costs more than most of them.


@pytest.fixture(scope="module")
def running_kernel(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("kernel")
    store = Store(f"sqlite:///{scratch / 'mlflow.db'}", scratch / "artifacts")
    run = store.client().create_run(store.experiment("one run")).info.run_id
    store.client().log_metric(run, "loss", 0.5)
    store.client().set_terminated(run)
    with kernel(ROOT / "notebooks", scratch, MPLBACKEND="agg", MLFLOW_TRACKING_URI=store.uri) as manager:
        yield manager


def quick_parameters(path):
    """The small parameters that params/quick.yaml has for a notebook; what compares gets a run to look at."""
    if "runs" in declared(path):
        return {"runs": ["latest"]}
    runs = yaml.safe_load((ROOT / "params" / "quick.yaml").read_text(encoding="utf-8"))["runs"]
    return next((run.get("parameters", {}) for run in runs if run["notebook"] == path.stem), {})


def run_with(manager, path, **parameters):
    """Execute a notebook with other parameters, in a kernel that may have run it before."""
    content = nbformat.read(path, as_version=4)
    assert parameters.keys() <= declared(path).keys()
    tagged = content.cells.index(parameters_cell(content))
    values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    content.cells.insert(tagged + 1, nbformat.v4.new_code_cell(values))
    content.cells.insert(0, nbformat.v4.new_code_cell(RESET))
    client = NotebookClient(content, km=manager, timeout=120, record_timing=False)
    try:
        client.execute()
    finally:
        if client.kc is not None:
            client.kc.stop_channels()


CHOICES = [(path, mistake) for path in NOTEBOOKS for mistake in mistakes(path)]


@pytest.mark.parametrize(
    ("path", "mistake"), CHOICES, ids=[f"{path.stem[:2]}-{one}" for path, one in CHOICES]
)
def test_a_mistake_breaks_a_claim_that_says_which_and_by_how_much(running_kernel, path, mistake):
    with pytest.raises(CellExecutionError) as failure:
        run_with(running_kernel, path, **{**quick_parameters(path), "break_it": mistake})
    assert failure.value.ename == "AssertionError", failure.value
    assert re.search(r"\bbroken\b.*\d", failure.value.evalue)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_a_mistake_that_is_not_offered_is_refused_with_those_that_are(running_kernel, path):
    with pytest.raises(CellExecutionError) as failure:
        run_with(running_kernel, path, break_it="typo")
    assert failure.value.ename == "ValueError", failure.value
    offered = re.findall(r"'(\w+)'", failure.value.evalue.partition("one of")[2].partition(", got")[0])
    assert offered == ["none", *mistakes(path)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_its_claims_hold_for_another_seed(running_kernel, path):
    run_with(running_kernel, path, **{**quick_parameters(path), "seed": 3})


@pytest.mark.soak
def test_the_claims_of_06_hold_on_a_cluster_where_it_is_asked_for(running_kernel):
    pytest.importorskip("distributed")
    (path,) = (path for path in NOTEBOOKS if path.stem.startswith("06"))
    run_with(running_kernel, path, **quick_parameters(path), on_cluster=True)


@pytest.mark.soak
def test_06_is_run_and_recorded_with_its_cluster_as_the_docs_say(tmp_path):
    pytest.importorskip("distributed")
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    command = [sys.executable, "-m", "mflib.cli", "run", "params/cluster.yaml"]
    env = os.environ | {"MFLIB_ROOT": str(ROOT), "MLFLOW_TRACKING_URI": store.uri}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    (run,) = store.client().search_runs([store.experiment("cluster")])
    assert (run.info.status, run.data.params["on_cluster"]) == ("FINISHED", "True")
    fetch = partial(store.client().download_artifacts, run.info.run_id)
    claims = Path(fetch("tables/claims.csv")).read_text(encoding="utf-8").splitlines()[1:]
    assert claims[-1] == "E14,on two workers the bits of one,0 entries differ"
    assert run.data.metrics["claims"] == len(claims)
    cells = code_cells(nbformat.read(fetch("notebook/06_speed.ipynb"), as_version=4))
    (check,) = (cell for cell in cells if cell.id == "cluster-check")
    assert (check.metadata.papermill.status, check.outputs) == ("completed", [])  # else: it was not asked for


def test_a_stripped_cell_would_be_noticed():
    for source in ("print(1)", "figure()\nplt.show()", "display(table)", "exercises.check(f, g, [])"):
        assert shows(source)
    assert not shows("x = 1\ndef f(): ...")


@pytest.mark.parametrize("file", sorted((ROOT / "params").glob("*.yaml")), ids=lambda file: file.stem)
def test_params_files_name_what_the_notebooks_declare(file):
    """A parameter renamed in a notebook alone left every test green, and `make run` broken."""
    is_sweep = "sweep" in yaml.safe_load(file.read_text(encoding="utf-8"))
    assert read_sweep(file).points if is_sweep else read_params(file)


def test_notebooks_are_stored_as_nbformat_writes_them(path, notebook):
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(nbformat.writes(notebook))
