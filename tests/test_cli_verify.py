"""`mflib verify` says what is proved, and what is not when a shipped function is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mflib.cli import main

ROOT = Path(__file__).resolve().parent.parent
MODEL = {"E17", "E18"}  # what is proved of the gradients of J
SPARSE_LOSS = {"E04", "E13", "E14", "E16", *MODEL}
FALSE_LOSS = {"E04", "E07", "E08", "E10", "E13", "E14", "E16", *MODEL}


def verify(*arguments, package=None):
    """Run the command in a process of its own, on a copy of the package where one is given."""
    env = {**os.environ, "PYTHONPATH": str(package)} if package else os.environ
    command = [sys.executable, "-m", "mflib.cli", "verify", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=package or ROOT)


def test_all_equations_hold_and_the_last_line_says_so(tmp_path):
    result = verify("--seed", "7", "--json", str(tmp_path / "ledger.json"))
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:21]] == [f"E{number:02}" for number in range(1, 20)]
    assert lines[-1] == "19 of 19 equations hold: E01 to E19 (seed 7)"
    assert json.loads((tmp_path / "ledger.json").read_text())["seed"] == 7


@pytest.mark.parametrize(
    ("module", "line", "wrong", "failing"),
    [
        ("dense", "** 2) / count(R)", "** 2) * 1.001 / count(R)", FALSE_LOSS),
        ("dense", "return -2 * (D @ V) / N,", "return -2.002 * (D @ V) / N,", {"E09", "E13", "E15"}),
        ("dense", "-2 * (D.T @ U) / N", "-2.002 * (D.T @ U) / N", {"E11", "E14", "E15"}),
        pytest.param(
            *("kernels", "losses[chunk] = loss", "losses[chunk] = 1.001 * loss", SPARSE_LOSS),
            marks=pytest.mark.soak,  # it compiles all kernels again
        ),
        ("sparse_numba", "type(-2 /", "type(-2.002 /", {"E09", "E11", "E13", "E14", "E15"}),
        ("objective", "return self.reg * total", "return 1.001 * self.reg * total", {"E16", *MODEL, "E19"}),
        ("sparse_numba", "np.add.accumulate(sums)[-1]", "1.001 * np.add.accumulate(sums)[-1]", {"E19"}),
    ],
)  # fmt: skip
def test_a_factor_off_by_a_thousandth_names_the_equations_it_breaks(tmp_path, module, line, wrong, failing):
    shutil.copytree(ROOT / "mflib", tmp_path / "mflib")  # with what is compiled already
    source = tmp_path / "mflib" / f"{module}.py"
    assert source.read_text(encoding="utf-8").count(line) == 1
    source.write_text(source.read_text(encoding="utf-8").replace(line, wrong), encoding="utf-8")
    # E17 and E18 take half of the time, and build on what the others are about
    asked = () if failing & MODEL else (f"E{id:02}" for id in range(1, 20) if f"E{id}" not in MODEL)
    result = verify(*asked, package=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    named = result.stdout.splitlines()[-1].split("fail: ")[1].split(" (seed")[0].split(", ")
    assert set(named) == failing


def test_bad_seed_and_place_are_refused(tmp_path):
    assert verify("--seed", "-1").returncode == 2
    result = verify("--json", str(tmp_path / "nowhere" / "ledger.json"))
    assert result.returncode == 2
    assert "cannot be written" in result.stderr


def test_equations_can_be_named(capsys):
    assert main(["verify", "E03", "E12"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["E03", "E12"]
    assert lines[-1] == "2 of 2 equations hold: E03, E12 (seed 0)"
    assert main(["verify", "E3"]) == 2
    assert "E3: no such equation" in capsys.readouterr().err
