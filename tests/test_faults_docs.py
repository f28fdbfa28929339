"""The pages of faults, of runs and of clusters, and the tests that they name."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
# the tests that must all be named by each
PAGES = {"faults.md": "test_faults_*.py", "cluster.md": "test_cluster_faults.py"}


def rows():
    found = []
    for page in PAGES:
        lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
        found += [line.split("|")[1:-1] for line in lines if line.startswith("| ")][1:]
    return found


def source(test):
    """The file, and the decorators and the head of a test that the page names."""
    file, name = test.split("::")
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    found = re.search(rf"((?:^@[^\n]*\n(?:^[ )\]][^\n]*\n)*)*)^def {name}\(", text, re.MULTILINE)
    assert found, f"a page of faults names {test}, which is not there"
    return found[1]


def test_every_fault_names_tests_that_exist():
    assert rows()
    for what, promise, shown in rows():
        assert promise.strip(), what
        tests = re.findall(r"`(test_\w+\.py::\w+)`", shown)
        assert tests, what
        for test in tests:
            source(test)


def test_what_the_page_calls_long_is_run_by_make_soak_alone():
    for what, _, shown in rows():
        for long, test in re.findall(r"(\*long\* )?`(test_\w+\.py::\w+)`", shown):
            soak = re.search(r"^@pytest\.mark\.soak\b", source(test), re.MULTILINE)
            assert bool(long) == bool(soak), f"{what}: {test}"


def test_no_test_of_a_fault_is_left_out():
    for name, files in PAGES.items():
        page = (DOCS / name).read_text(encoding="utf-8")
        for file in Path(__file__).parent.glob(files):
            if file != Path(__file__):
                for test in re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE):
                    assert f"`{file.name}::{test}`" in page
