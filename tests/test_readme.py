"""README says what is so: its examples run, its links lead somewhere, its table is that of the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_first_example_runs_and_reaches_the_noise():
    code = re.search(r"example: begin -->\n```python\n(.*?)```", README, re.DOTALL)[1]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rmse = float(re.search(r"validation RMSE ([\d.]+)", result.stdout)[1])
    assert 0.1 <= rmse < 0.13


def test_example_of_the_checker_says_what_its_comments_say():
    code = re.search(r"```python\n(import numpy.*?)```", README, re.DOTALL)[1]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = result.stdout.splitlines()
    assert "the gradient holds" in first
    assert "does not hold" in second


def test_example_of_recommendations_runs_on_a_file_of_ones_own(tmp_path):
    code = re.search(r"```python\n(from mflib import Factorization.*?)```", README, re.DOTALL)[1]
    people, films = ["ann", "bob", "cem", "dan"], ["Alien", "Brazil", "Cube", "Dune", "Eraserhead"]
    rows = [f"{who},{what},{(i * j) % 5 + 1}" for i, who in enumerate(people) for j, what in enumerate(films)]
    (tmp_path / "mine.csv").write_text(
        "\n".join(["customer,article,stars", *rows[:1], *rows[2:3], *rows[5:]])
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    predicted, *recommended, similar = done.stdout.splitlines()
    assert 1 <= float(predicted) <= 5
    assert {line.partition(":")[0] for line in recommended} == {"Brazil", "Dune", "Eraserhead"}
    assert similar.count("Similar(item=") == 3
    assert (tmp_path / "model.npz").is_file()


def test_tables_of_speed_are_those_of_docs_speed_json(readme):
    assert readme.with_speed(README) == README, "README's tables of speed are out of date: make readme"


def test_tables_of_models_are_those_of_docs_models_json(readme):
    assert readme.with_models(README) == README, "README's tables of models are out of date: make readme"


def test_figures_of_scaling_are_those_of_docs_cluster_json(readme):
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert readme.with_scaling(page) == page, "docs/scaling.md is out of date: make readme"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([\w-]+)", README)) - {"are"}))
def test_make_has_the_target(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_link_leads_somewhere(link):
    assert (ROOT / link).exists()
