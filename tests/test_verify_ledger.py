"""The ledger holds, and its proofs have teeth: every mutant is refused by every method that applies."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from mflib import dense, verify
from mflib.verify import ledger, provers, spelled_model, verdict

ROOT = Path(__file__).resolve().parent.parent
MUTANTS = [(equation.id, name) for equation in verify.LEDGER for name in equation.mutants]
MISPRINTS = {f"M{number}" for number in range(1, 9)}


@pytest.fixture(scope="module")
def bench():
    return provers.Workbench(0)


@pytest.fixture(scope="module")
def verdicts():
    return verify.check_all(seed=0)


def test_every_equation_holds(verdicts):
    assert [v.id for v in verdicts] == [f"E{number:02}" for number in range(1, 20)]
    assert [v.failures for v in verdicts] == [[]] * 19


def test_the_table_of_proofs_in_readme_is_current(readme, verdicts):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_proofs(text, verdicts) == text, "README's table of proofs is out of date: make readme"


def test_every_misprint_stands_in_the_ledger():
    named = {name.split(":")[0] for _, name in MUTANTS}
    assert named >= MISPRINTS


def test_every_equation_has_two_mutants_beside_the_misprints():
    for equation in verify.LEDGER:
        own = [name for name in equation.mutants if name.split(":")[0] not in MISPRINTS]
        assert len(own) >= 2, equation.id


@pytest.mark.parametrize(("id", "name"), MUTANTS, ids=lambda value: str(value).replace(" ", "_"))
def test_mutant_is_refused_by_every_method(bench, id, name):
    equation = ledger.LEDGER[verify.IDS.index(id)]
    model = next(iter(equation.subjects.values()))
    subject = provers.Subject(equation.mutants[name], model.kinds, model.loss)
    methods = verdict.provers_of(equation)
    assert set(methods) == ({"exact", "complex step", "differences"} if equation.derivative_of else {"exact"})
    for method, prove in methods.items():
        assert not verdict.guarded(method, name, prove, bench, subject).holds, method


@pytest.mark.parametrize("method", ["exact", "complex step", "differences"])
def test_each_method_alone_refuses_a_gradient_a_tenth_of_a_percent_off(bench, method):
    equation = ledger.LEDGER[verify.IDS.index("E13")]
    wrong = provers.Subject(lambda *p: (dense.gradients(*p)[0] * 1001 / 1000,), loss=dense.loss)
    finding = verdict.provers_of(equation)[method](bench, wrong)
    assert not finding.holds
    np.testing.assert_allclose(finding.error, 1e-3, rtol=0.01)


def test_a_mutant_that_means_the_same_program_fails_the_entry():
    equation = ledger.LEDGER[0]
    same = mock.Mock(side_effect=lambda Y, R, U, V: dense.predict(U, V))
    with mock.patch.dict(equation.mutants, {"the same": same}):
        found = verify.check("E01")
    assert not found.holds
    assert found.failures == ["mutant not refused: the same"]


def test_a_subject_that_returns_nan_is_refused(bench):
    nan = provers.Subject(lambda Y, R, U, V: (U * np.nan,), ("float64",), dense.loss)
    for method, prove in verdict.provers_of(ledger.LEDGER[verify.IDS.index("E13")]).items():
        assert not verdict.guarded(method, "nan", prove, bench, nan).holds, method


def test_a_function_that_raises_is_reported_and_not_raised(bench):
    broken = provers.Subject(lambda *p: 1 / 0)
    finding = verdict.guarded("exact", "broken", verdict.provers_of(ledger.LEDGER[0])["exact"], bench, broken)
    assert not finding.holds
    assert "broken raises ZeroDivisionError" in finding.detail


def test_definitions_have_no_derivative_columns(verdicts):
    rows = {row["id"]: row for row in verify.rows(verdicts)}
    for id in ("E01", "E02", "E03", "E04", "E05", "E12", "E16", "E18", "E19"):
        assert (rows[id]["complex step"], rows[id]["differences"]) == ("n/a", "n/a")
    for id in ("E13", "E17"):
        assert "n/a" not in rows[id].values()


def test_metrics_of_a_run_name_each_proof(verdicts):
    numbers = verify.metrics(verdicts)
    assert numbers["proof.E08.holds"] == 1
    assert 0 <= numbers["proof.E08.error"] < 1e-4
    assert len(numbers) == 38


def test_json_is_plain_and_bounds_the_chance_of_a_false_pass(verdicts):
    content = json.loads(json.dumps(verify.as_json(verdicts, seed=0), allow_nan=False))
    assert content["holds"] is True
    assert content["chance_of_a_false_pass_per_mask"] < 2**-58
    assert content["equations"][7]["id"] == "E08"


def test_display_is_the_same_text_on_every_machine():
    first, second = verify.check("E08", seed=0), verify.check("E08", seed=0)
    assert repr(first) == repr(second)
    assert repr(first).startswith("E08 holds: equal in exact arithmetic")
    assert first.latex in first._repr_markdown_()


def test_unknown_equation_and_bad_seed_are_refused():
    with pytest.raises(ValueError, match="id must be one of 'E01'"):
        verify.check("E99")
    with pytest.raises(TypeError, match="seed must be a whole number"):
        verify.check_all(seed="monday")


def test_a_line_whose_objective_has_another_degree_is_no_polynomial():
    """The reference of E19 looks at a sixth point."""
    problem = next(iter(provers.Workbench(0).exact))
    with (
        mock.patch("mflib.verify.spelled.loss", lambda Y, R, U, V: U[0, 0] ** 5),
        pytest.raises(ArithmeticError, match="no polynomial of degree 4"),
    ):
        spelled_model.lines(*problem)
