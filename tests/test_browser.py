"""The pages in a real browser: MLflow's on the store, the report and a notebook with the network cut off."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from bs4 import BeautifulSoup
from mlflow.entities import Metric, Param, RunTag

from mflib.cli import main
from mflib.runs.pages import notebook_page
from mflib.runs.store import open_store

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
)
NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "03_vectorized_gradient.ipynb"
NAMES = {"slow": 0.5, "fast": 2.0}
MEASURE = """<script>document.title = JSON.stringify([...document.querySelectorAll("math, img")].map(
    one => Math.min(one.getBoundingClientRect().width, one.getBoundingClientRect().height)))</script>"""


@pytest.fixture
def browse(tmp_path):
    """Open an address where no name but 127.0.0.1 resolves; the page as it stands then, what it asked for."""

    def open_page(address):
        log = tmp_path / "net.json"
        done = subprocess.run(
            [
                CHROMIUM,
                *QUIET,
                "--virtual-time-budget=30000",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--log-net-log={log}",
                "--dump-dom",
                address,
            ],
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return BeautifulSoup(done.stdout, "html.parser"), asked_for(log)

    return open_page


def asked_for(log):
    """The addresses that a page has asked for, without what the browser asks for on its own account."""
    events = log.read_text(encoding="utf-8").splitlines()[1:]  # one a line, behind the constants
    requests = [json.loads(event.rstrip(","))["params"] for event in events if '"initiator"' in event]
    pages = [one["url"] for one in requests if one["initiator"] != "not an origin"]
    return {url for url in pages if not url.startswith(("data:", "file:", "blob:"))}


def test_what_a_page_asks_for_is_noticed(browse, tmp_path):
    (tmp_path / "asks.html").write_text("<img src='https://example.org/x.png'><math><mi>x</mi></math>")
    page, asked = browse((tmp_path / "asks.html").as_uri())
    assert asked == {"https://example.org/x.png"}
    assert page.math.text == "x"


@pytest.fixture(scope="module")
def ids(shared_project):
    """Two finished runs of one experiment, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFLIB_ROOT", str(shared_project.root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = open_store()
        client, experiment = store.client(), store.experiment("seen")
        found = {}
        for name, rate in NAMES.items():
            found[name] = run = client.create_run(experiment, run_name=name).info.run_id
            series = [Metric("loss", 4.0 / (1 + rate * step), step, step) for step in range(30)]
            tags = {"mflib.notebook": "05_ratings", "mflib.protocol.data_digest": "d"}
            given = [Param("learning_rate", str(rate)), Param("seed", "0")]
            client.log_batch(run, series, given, [RunTag(*tag) for tag in tags.items()])
            client.set_terminated(run)
        yield found


@pytest.fixture(scope="module")
def ui(shared_project, ids):
    """The address of `mflib ui` at the runs table."""
    process = shared_project.start("ui", "--port", "0")
    yield process.stdout.readline().strip().removeprefix("The runs: ")
    process.terminate()
    process.communicate(timeout=60)


def seen(browse, address, complete):
    """The page, once it is complete: MLflow's comes in many pieces."""
    for _ in range(4):
        page, asked = browse(address)
        if complete(page):
            break
    assert {re.match(r"\w+://[^/:]+", one)[0] for one in asked} <= {"http://127.0.0.1"}
    return page


def lines(page):
    """The curves of a chart, each as the number of its points."""
    return [path["d"].count("L") + path["d"].count("C") for path in page.select("path.js-line")]


def test_the_runs_table_shows_the_runs(browse, ui):
    page = seen(browse, ui, lambda page: all(page(string=name) for name in NAMES))
    assert all(page("a", string=name) for name in NAMES)
    assert re.search(r"\b2\s+matching runs", page.get_text(" "))


def test_the_charts_of_the_runs_table_show_both_curves(browse, ui):
    page = seen(browse, f"{ui}?compareRunsMode=CHART", lambda page: len(lines(page)) >= 2)
    assert len(lines(page)) >= 2
    assert min(lines(page)) >= 5


def test_the_compare_page_shows_both_runs_with_what_differs(browse, ui, ids):
    base, experiment = re.fullmatch(r"(.*)/experiments/(\d+)/runs", ui).groups()
    chosen = f"runs={quote(json.dumps([*ids.values()]))}&experiments={quote(json.dumps([experiment]))}"
    page = seen(browse, f"{base}/compare-runs?{chosen}", lambda page: page.select(".js-plotly-plot svg"))
    assert page(string=re.compile("Comparing 2 Runs"))
    assert page.select(".js-plotly-plot svg")
    text = page.get_text(" ")
    assert all(word in text for word in (*NAMES, *ids.values(), "learning_rate", "loss", "0.5", "2.0"))


@pytest.fixture
def report(ids, shared_project, tmp_path, monkeypatch):
    monkeypatch.setenv("MFLIB_ROOT", str(shared_project.root))
    assert main(["compare", *ids.values(), "--html", str(tmp_path / "report.html")]) == 0
    return tmp_path / "report.html"


@pytest.fixture
def notebook(tmp_path):
    (tmp_path / "notebook.html").write_text(notebook_page(NOTEBOOK), encoding="utf-8")
    return tmp_path / "notebook.html"


@pytest.mark.parametrize("which", ["report", "notebook"])
def test_a_page_shows_formulas_and_pictures_with_the_network_cut_off(browse, request, which):
    path = request.getfixturevalue(which)
    page, asked = browse(path.as_uri())
    assert asked == set()
    assert page.math
    assert page.img
    # measured by a script, which the page's own policy would not let run
    html = path.read_text(encoding="utf-8")
    title = page.title.text
    path.write_text(html.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    assert browse(path.as_uri())[0].title.text == title
    html = html.replace("Content-Security-Policy", "none")
    path.write_text(html.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    sizes = json.loads(browse(path.as_uri())[0].title.text)
    assert len(sizes) == len(page("math")) + len(page("img"))
    assert min(sizes) > 3
