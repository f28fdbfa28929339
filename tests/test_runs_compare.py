"""Runs are put side by side as they are, and ranked only where that means something."""

import math
import re
import statistics
from dataclasses import replace

import pytest
from mlflow.entities import Metric, Param, RunTag

from mflib.cli import main
from mflib.runs.compare import compare, histories, labels, within_spread
from mflib.runs.compare_page import page
from mflib.runs.compare_report import table, verdicts
from mflib.runs.project import InputError
from mflib.runs.settings import Recorded, chosen, settings_of
from mflib.runs.store import open_store

HOSTILE = "<script>alert(1)</script>\x1b[31m$x$ | ` ' \" &amp; \u202e"


def run(name, value=1.0, *, seed=0, status="FINISHED", metric="rmse.validation", protocol=(), **parameters):
    """A run as it would be read from the store."""
    fields = {"data_digest": "d0", "split": "random", "commit": "c0", "threads": "2", **dict(protocol)}
    parameters = {"seed": str(seed), **{key: str(one) for key, one in parameters.items()}}
    return Recorded(name * 8, "05_ratings", status, parameters, {metric: value}, fields)


def places(comparison):
    return [setting.first.run_id[0] for setting in comparison.settings]


def test_runs_that_differ_in_seed_alone_are_one_setting_with_mean_and_spread():
    values = [0.9, 0.8, 0.4]
    (setting,) = settings_of([run(str(i), value, seed=i) for i, value in enumerate(values)])
    assert setting.mean("rmse.validation") == pytest.approx(sum(values) / 3, rel=1e-15)
    assert setting.spread("rmse.validation") == pytest.approx(statistics.stdev(values), rel=1e-15)
    assert math.isnan(setting.mean("loss"))


@pytest.mark.parametrize(
    "change", [{"rate": 2}, {"protocol": {"commit": "c1"}}, {"protocol": {"dtype": "f4"}}]
)
def test_another_parameter_or_version_is_another_setting(change):
    assert len(settings_of([run("a", rate=1), run("b", **{"rate": 1, **change}, seed=1)])) == 2


def test_another_number_of_threads_is_the_same_setting():
    assert len(settings_of([run("a"), run("b", seed=1, protocol={"threads": "1"})])) == 1


def test_a_seed_may_draw_other_data_but_the_same_seed_on_other_data_is_another_setting():
    drawn = [run("a", seed=0, protocol={"data_digest": "x"}), run("b", seed=1, protocol={"data_digest": "y"})]
    assert len(settings_of(drawn)) == 1
    assert len(settings_of([*drawn, run("c", seed=1, protocol={"data_digest": "z"})])) == 2


def test_of_a_repeated_seed_the_last_finished_run_counts_and_the_others_are_named():
    runs = [run("a", 1.0), run("b", 2.0), run("c", 9.0, status="FAILED")]
    (setting,) = settings_of(runs)
    assert [one.run_id[0] for one in setting.runs] == ["b"]
    assert "not counted: cccccccc, aaaaaaaa, repeated later" in verdicts(compare(runs))


def test_the_lowest_error_and_the_highest_coverage_come_first():
    runs = [run("a", 3.0, k=1), run("b", 1.0, k=2), run("c", 2.0, k=3)]
    assert places(compare(runs)) == ["b", "c", "a"]
    covered = [replace(one, metrics={"coverage": i}) for i, one in enumerate(runs)]
    assert places(compare(covered)) == ["c", "b", "a"]
    assert verdicts(compare(runs)) == ["lowest rmse.validation: k = 2 with 1"]


def test_means_closer_than_their_spreads_are_said_to_be_so():
    pairs = [(k, seed) for k in (1, 2) for seed in (0, 1)]
    runs = [run(f"{k}{seed}", 1 + 0.1 * k + 0.5 * seed, seed=seed, k=k) for k, seed in pairs]
    near = compare(runs)
    assert within_spread(*near.settings, "rmse.validation")
    assert verdicts(near)[1] == "k = 2 is no further from it than their spreads: do not rely on the order"
    assert not within_spread(*compare([run("a", k=1), run("b", 1.1, k=2)]).settings, "rmse.validation")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"protocol": {"data_digest": "d1"}}, "data: d0 in aaaaaaaa; d1 in bbbbbbbb"),
        ({"protocol": {"data_digest": ""}}, "data: d0 in aaaaaaaa; none in bbbbbbbb"),
        ({"protocol": {"split": "by time"}}, "split: random in aaaaaaaa; by time in bbbbbbbb"),
        ({"metric": "loss"}, "metric: there is none that all of them have recorded"),
    ],
)  # fmt: skip
def test_runs_of_other_data_split_or_metric_are_not_ranked_and_the_field_is_named(other, reason):
    runs = [run("a", 2.0, k=1), run("b", 1.0, k=2, **other)]
    comparison = compare(runs)
    assert (comparison.ranked, list(comparison.obstacles), places(comparison)) == (
        False,
        [reason],
        ["a", "b"],
    )
    assert f"not ranked: {reason}" in verdicts(comparison)


def test_anyway_ranks_and_says_what_is_wrong_with_it():
    comparison = compare([run("a", 2.0, k=1), run("b", 1.0, k=2, protocol={"split": "by time"})], anyway=True)
    assert (comparison.ranked, places(comparison)) == (True, ["b", "a"])
    assert verdicts(comparison)[-1].startswith("ranked although it is not comparable: split: ")


def test_a_metric_that_some_lack_is_named_with_the_runs_that_lack_it():
    runs = [run("a", k=1), run("b", k=2, metric="loss")]
    assert compare(runs, "loss").obstacles == ("metric: loss is not recorded by aaaaaaaa",)
    with pytest.raises(
        InputError, match=r"--metric los: no finished run has recorded it; did you mean 'loss'"
    ):
        compare(runs, "los")


def test_runs_without_a_protocol_are_not_ranked():
    old = Recorded("f" * 32, "05_ratings", "FINISHED", {"seed": "0"}, {"rmse.validation": 1.0}, {})
    assert "no protocol recorded by ffffffff" in compare([run("a"), old]).obstacles[0]
    assert compare([old]).obstacles == ()


def test_without_data_two_runs_of_one_notebook_are_comparable_and_two_notebooks_are_not():
    none = {"data_digest": "", "split": ""}
    runs = [run("a", k=1, protocol=none), run("b", k=2, protocol=none)]
    assert compare(runs).ranked
    other = replace(runs[0], run_id="c" * 8, notebook="01_masked_loss")
    assert compare([*runs, other]).obstacles == (
        "data: none recorded, and the notebooks differ (05_ratings, 01_masked_loss)",
    )


def test_settings_must_have_seen_the_same_data_also_over_seeds():
    runs = [
        run(f"{k}{seed}", seed=seed, k=k, protocol={"data_digest": f"d{seed}"})
        for k in (1, 2)
        for seed in (0, 1)
    ]
    assert compare(runs).ranked
    assert compare(runs[:-1]).obstacles[0].startswith("data: ")


def test_what_failed_is_shown_and_not_counted():
    comparison = compare([run("a", 5.0, k=1), run("b", 1.0, k=2, status="FAILED"), run("c", 2.0, k=3)])
    assert places(comparison) == ["c", "a", "b"]
    assert "not counted: bbbbbbbb is FAILED" in verdicts(comparison)
    assert re.search(r"^–\s+bbbbbbbb\s+FAILED", table(comparison), re.MULTILINE)


def test_parameters_that_differ_stand_first_and_no_others():
    lines = table(
        compare([run("a", 2.0, k=1, x=7), run("b", 1.0, k=2, x=7, protocol={"commit": "c1"})])
    ).splitlines()
    assert lines[0].split() == ["place", "run", "k", "commit", "rmse.validation"]
    assert lines[2].split() == ["1", "bbbbbbbb", "2", "c1", "1"]


def test_settings_that_nothing_tells_apart_are_told_apart_by_id():
    runs = [run("a"), run("b", protocol={"data_digest": "d1"})]
    assert labels(compare(runs)) == ["aaaaaaaa", "bbbbbbbb"]


def test_a_label_has_the_notebook_and_what_differs_among_its_runs():
    other = replace(run("c"), notebook="04_gradient_descent")
    names = labels(compare([run("a", k=1), run("b", k=2), other]))
    assert names == ["05_ratings, k = 1", "05_ratings, k = 2", "04_gradient_descent"]


def test_hostile_text_is_shown_as_text():
    hostile = run("a", k=HOSTILE, **{"<b>x</b>": HOSTILE})
    comparison = compare([hostile, run("b", k=2, protocol={"split": HOSTILE})], anyway=True)
    for text in (table(comparison), *verdicts(comparison), *labels(comparison)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    html = page(comparison, b"")
    assert "<script" not in html
    assert "<b>x" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def stored(shared_project, patch):
    """A store with an experiment of four runs, a parent above them, and one that compares them."""
    patch.setenv("MFLIB_ROOT", str(shared_project.root))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = open_store()
    client, experiment = store.client(), store.experiment("trial")
    parent = client.create_run(experiment, run_name="sweep").info.run_id
    for i, (rate, seed) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        tags = {"mflib.notebook": "05_ratings", "mlflow.parentRunId": parent}
        made = client.create_run(experiment, tags=tags, start_time=10 + i).info.run_id
        fields = {"data_digest": f"d{seed}", "split": "random", "seed": str(seed), "commit": "c"}
        series = [Metric("loss", 4.0 / (step + rate + seed), 5, step) for step in range(5)]
        client.log_batch(
            made,
            [*series, Metric("loss", 7.0 - rate + seed, 9, 4)],
            [Param("seed", str(seed)), Param("rate", str(rate))],
            [RunTag(f"mflib.protocol.{name}", value) for name, value in fields.items()],
        )
        client.set_terminated(made)
    last = client.create_run(experiment, tags={"mflib.notebook": "07"}, start_time=99).info.run_id
    client.log_param(last, "runs", "[]")
    client.set_terminated(last)
    return store


def test_an_experiment_is_compared_without_parents_and_without_what_compares(stored):
    runs = chosen(stored, [], "trial")
    assert [(one.parameters["rate"], one.seed) for one in runs] == [
        ("1", "0"),
        ("1", "1"),
        ("2", "0"),
        ("2", "1"),
    ]
    assert chosen(stored, [], None) == runs
    assert chosen(stored, [runs[2].run_id], None) == [runs[2]]
    with pytest.raises(InputError, match="expected either runs or an experiment, got both"):
        chosen(stored, ["latest"], "trial")


def test_a_history_is_the_series_without_the_last_word(stored):
    comparison = compare(chosen(stored, [], "trial"))
    ((name, settings),) = histories(stored.client(), comparison).items()
    assert (name, [*settings]) == ("loss", ["rate = 2", "rate = 1"])
    assert settings["rate = 1"][0].tolist() == [[step, 4.0 / (step + 1)] for step in range(5)]
    assert comparison.settings[0].mean("loss") == 5.5


def test_the_command_ranks_writes_both_files_and_ends_with_0(stored, shared_project):
    done = shared_project.mflib("compare", "--html", "all.html", "--png", "all.png")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.match(r"1 +[0-9a-f]{8}  0, 1   2 ", lines[2])
    assert lines[-1] == "rate = 1 is no further from it than their spreads: do not rely on the order"
    assert (shared_project.root / "all.png").read_bytes().startswith(b"\x89PNG")
    html = (shared_project.root / "all.html").read_text(encoding="utf-8")
    assert html.count("<math") == 2
    assert set(re.findall(r"(?:src|href)=.{6}", html)) == {'src="data:'}


def test_the_command_refuses_to_rank_unless_told_to(stored, capsys):
    first, *_, last = chosen(stored, [], "trial")
    assert main(["compare", first.run_id, last.run_id[:12]]) == 2
    out, err = capsys.readouterr()
    assert err == "mflib: not comparable (data); --anyway ranks them all the same\n"
    assert re.search(r"^not ranked: data: d0 in \w{8}; d1 in \w{8}$", out, re.MULTILINE)
    assert main(["compare", first.run_id, last.run_id, "--anyway"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("zzz",), "run 'zzz': expected an id, the beginning of one, or 'latest'"),
        (("--experiment", "tria"), "experiment 'tria': there is none of this name; did you mean 'trial'?"),
        (("--html", "no/file"), "--html no/file: cannot be written: No such file or directory"),
    ],
)
def test_wrong_input_ends_with_2_and_one_sentence(stored, capsys, arguments, message):
    assert main(["compare", *arguments]) == 2
    assert capsys.readouterr().err == f"mflib: {message}\n"
