"""Files that a user names are written whole or not at all."""

import pytest

from mflib.runs.files import write_text
from mflib.runs.project import InputError


def test_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("before")
    write_text(path, "η")
    assert path.read_text(encoding="utf-8") == "η"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o444


def test_what_stood_there_stays_when_the_text_cannot_be_written(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_place_that_cannot_be_written_is_said_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"there/out.json: cannot be written: No such file"):
        write_text(tmp_path / "there" / "out.json", "text")
