"""The list of mutants that mean the same program is about lines that are still there."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LISTED = tomllib.loads((ROOT / "tests" / "mutants" / "equivalent.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", LISTED["equivalent"], ids=lambda entry: entry["becomes"].replace(" ", "_"))
def test_a_mutant_that_may_survive_changes_a_line_of_its_module_and_has_a_reason(entry):
    source = (ROOT / "mflib" / f"{entry['module']}.py").read_text(encoding="utf-8")
    assert entry["line"] in [" ".join(line.split()) for line in source.splitlines()]
    assert entry["becomes"] != entry["line"]
    assert entry["reason"]
