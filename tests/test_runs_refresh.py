import nbformat

from mflib.runs.refresh import main


def test_a_refresh_stores_the_outputs_of_a_clean_run_only(project, capsys, monkeypatch):
    monkeypatch.setenv("MFLIB_RUN_DIR", str(project.root / "not there"))
    good = project.notebook(
        "good", "from mflib.runs import record_metrics; record_metrics({'loss': 1})", "2 + 1"
    )
    bad = project.notebook("bad", "print('before')", "1 / 0")
    before = bad.read_bytes()
    assert main([str(bad), str(good)]) == 1
    assert bad.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err

    content = nbformat.read(good, as_version=4)
    nbformat.validate(content)
    assert content.cells[-1].outputs[0].data["text/plain"] == "3"
    assert content.cells[-2].outputs[0].text.startswith("Opened by hand")
    assert [cell.metadata for cell in content.cells] == [{}, {"tags": ["parameters"]}, {}, {}]
    assert content.metadata.language_info == {"name": "python"}
    first = good.read_bytes()
    assert main([str(good)]) == 0
    assert good.read_bytes() == first
