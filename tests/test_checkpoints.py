"""Checkpoints: a descent that was killed goes on with the bits of one that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from problems import assert_same_bits

from mflib import DivergenceError, datasets, descend, random_factors, rules

RATES = {"plain": 1.0, "momentum": 0.5, "nesterov": 0.5}

# A descent that kills its own process as iteration 13 is told of: what `descended` does, with a file.
KILLED = """
import os, signal, sys
from test_checkpoints import descended

def kill(row, U, V):
    if row["iteration"] == 13:
        os.kill(os.getpid(), signal.SIGKILL)

descended(sys.argv[1], callback=kill, checkpoint=sys.argv[2], checkpoint_every=5)
"""


def problem():
    """(train, validation, U, V) of a descent whose validation RMSE is lowest in the middle."""
    ratings, *_ = datasets.planted(60, 40, 1000, n_factors=2, noise=0.5, seed=1)
    train, validation, _ = ratings.split(0.3)
    return train, validation, *random_factors(ratings.shape, 4, seed=2, scale=0.3, biases=True)


def descended(rule, **options):
    train, validation, U, V = problem()
    defaults = {"iterations": 30, "reg": 0.01, "biases": True, "validation": validation}
    rate = 0.2 if rule in RATES and options.get("scaling") is not None else RATES.get(rule)
    return descend(train, U, V, rule, **defaults | {"learning_rate": rate} | options)


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_descent_that_was_killed_goes_on_with_the_same_bits(rule, tmp_path):
    path = tmp_path / "descent.npz"
    command = [sys.executable, "-c", KILLED, rule, path]
    process = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    seen = []
    result = descended(
        rule, checkpoint=path, checkpoint_every=5, callback=lambda row, U, V: seen.append(row["iteration"])
    )
    assert_same_bits(result, descended(rule))
    assert seen == list(range(10, 31)), "it went on from iteration 10"
    assert np.all(np.diff(result.history["seconds"]) > 0)
    assert [file.name for file in tmp_path.iterdir()] == ["descent.npz"]


class Crash(Exception):
    """Instead of a crash, where a process for each would take long."""


def crash(at):
    def callback(row, U, V):
        if row["iteration"] == at:
            raise Crash

    return callback


@pytest.mark.parametrize("scaling", rules.SCALINGS)
@pytest.mark.parametrize("rule", ["plain", "nesterov", "conjugate"])
@pytest.mark.parametrize("at", [1, 2, 17])
def test_every_scaling_and_every_moment_goes_on_with_the_same_bits(rule, scaling, at, tmp_path):
    options = {"scaling": scaling, "iterations": 20, "validation": None}
    kept = options | {"checkpoint": tmp_path / "descent.npz", "checkpoint_every": 1}
    for place in (at, at + 1):
        with pytest.raises(Crash):
            descended(rule, callback=crash(place), **kept)
    assert_same_bits(descended(rule, **kept), descended(rule, **options))


def test_the_same_call_after_the_end_returns_the_same_and_more_iterations_go_on(tmp_path):
    path = tmp_path / "descent.npz"
    first = descended("conjugate", checkpoint=path)
    seen = []
    again = descended("conjugate", checkpoint=path, callback=lambda row, U, V: seen.append(row["iteration"]))
    assert_same_bits(again, first)
    assert seen == [30]
    more = descended("conjugate", checkpoint=path, iterations=45)
    assert_same_bits(more, descended("conjugate", iterations=45))
    with pytest.raises(ValueError, match="is of iteration 45 already: give iterations=45 or more, got 30"):
        descended("conjugate", checkpoint=path)


def test_a_longer_patience_goes_on(tmp_path):
    path = tmp_path / "descent.npz"
    options = {"iterations": 200, "reg": 0.0}
    short = descended("conjugate", checkpoint=path, patience=3, **options)
    assert short.stopped_because == "patience"
    assert_same_bits(descended("conjugate", checkpoint=path, patience=3, **options), short)
    longer = descended("conjugate", checkpoint=path, patience=20, **options)
    assert_same_bits(longer, descended("conjugate", patience=20, **options))
    assert len(longer.history) > len(short.history)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rule": "momentum"}, "rule was 'nesterov' and is 'momentum'"),
        ({"learning_rate": 0.25}, r"learning_rate was 0\.5 and is 0\.25"),
        ({"momentum": 0.8}, r"momentum was 0\.9 and is 0\.8"),
        ({"reg": 0.02}, r"reg was 0\.01 and is 0\.02"),
        ({"reg_weighting": "count"}, "reg_weighting was 'plain' and is 'count'"),
        ({"biases": False}, "biases was True and is False"),
        ({"scaling": "count"}, "scaling was None and is 'count'"),
        ({"validation": None}, "the validation ratings were given"),
        (
            {"ratings": problem()[1], "validation": problem()[0]},
            "the ratings differ; the validation ratings differ",
        ),
        ({"U": problem()[2] * 1.0001}, r"the start \(U, V\) differs"),
        ({"k": 3}, r"shape was \[60, 40, 6\] and is \[60, 40, 5\]"),
        ({"dtype": np.float32}, "dtype was 'float64' and is 'float32'"),
    ],
)
def test_a_checkpoint_of_another_descent_is_refused_with_what_differs(change, named, tmp_path):
    path = tmp_path / "descent.npz"
    train, validation, U, V = problem()
    options = {
        "ratings": train, "U": U, "V": V, "rule": "nesterov", "learning_rate": 0.5, "iterations": 2,
        "reg": 0.01, "biases": True, "validation": validation, "checkpoint": path,
    }  # fmt: skip
    descend(**options)
    before = path.read_bytes()
    if "k" in change or "dtype" in change:
        k, dtype = change.pop("k", 4), change.pop("dtype", np.float64)
        U, V = random_factors(train.shape, k, seed=2, scale=0.3, biases=True, dtype=dtype)
        change = change | {"U": U, "V": V}
    if "U" in change:
        change["U"][:, -1] = 1
    with pytest.raises(ValueError, match=f"is of another descent: .*{named}"):
        descend(**options | change)
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "descent.npz"
    descended("conjugate", checkpoint=path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged .* or delete the checkpoint .* to begin anew"):
        descended("conjugate", checkpoint=path)


def test_a_file_of_something_else_is_refused_and_kept(tmp_path):
    path = tmp_path / "ratings.npz"
    problem()[0].save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"no file of descend\(checkpoint=…\)"):
        descended("conjugate", checkpoint=path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    path, seen = tmp_path / "none" / "descent.npz", []
    for place, what in ((path, r"descent\.npz cannot be written: No such"), (f"file://{path}", "No such")):
        with pytest.raises(OSError, match=what):
            descended("conjugate", checkpoint=place, callback=lambda *row: seen.append(row))
    assert not seen  # said before anything is computed


@pytest.mark.skipif(os.name == "nt", reason="its interrupts come otherwise")
@pytest.mark.parametrize("name", ["open", "replace"])
def test_ctrl_c_while_a_checkpoint_is_written_leaves_it_whole_and_nothing_else(name, tmp_path, monkeypatch):
    real = getattr(os, name)

    def interrupted(*arguments):
        found = real(*arguments)
        if ".mflib-" in str(arguments[0]):
            signal.raise_signal(signal.SIGINT)
        return found

    path = tmp_path / "descent.npz"
    with monkeypatch.context() as patched:
        patched.setattr(os, name, interrupted)
        result = descended("conjugate", checkpoint=path, checkpoint_every=5)
    assert (result.stopped_because, len(result.history)) == ("interrupted", 5)
    assert os.listdir(tmp_path) == ["descent.npz"]
    assert_same_bits(descended("conjugate", checkpoint=path), descended("conjugate"))


@pytest.mark.parametrize("every", [0, -1])
def test_the_number_of_iterations_between_checkpoints_is_checked(every, tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1"):
        descended("plain", checkpoint=tmp_path / "descent.npz", checkpoint_every=every)


def test_a_url_that_fsspec_knows_serves_as_a_place():
    url = "memory://test_checkpoints/descent.npz"
    options = {"checkpoint": url, "checkpoint_every": 5}
    with pytest.raises(Crash):
        descended("momentum", callback=crash(13), **options)
    seen = []
    result = descended("momentum", callback=lambda row, U, V: seen.append(row["iteration"]), **options)
    assert_same_bits(result, descended("momentum"))
    assert seen[0] == 10


def test_a_divergence_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "descent.npz"
    for _ in range(2):
        with pytest.raises(DivergenceError, match="at iteration"):
            descended("plain", learning_rate=500.0, checkpoint=path, checkpoint_every=1)
    assert path.exists()
