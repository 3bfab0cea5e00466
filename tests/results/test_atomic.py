"""Files of a run: whole, and inside their folder."""

import os

import pytest

from results.atomic import write_text_atomic
from results.errors import RecordError


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/x", "a\\b", "c:x", "a\0b"])
def test_names_never_leave_the_folder(tmp_path, name):
    with pytest.raises(RecordError, match="plain name"):
        write_text_atomic(tmp_path / "run", name, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.md").symlink_to(tmp_path / "secret")
    with pytest.raises(RecordError, match="link"):
        write_text_atomic(tmp_path / "run", "report.md", "x")
    assert (tmp_path / "secret").read_text() == "kept"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    write_text_atomic(tmp_path, "summary.json", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text_atomic(tmp_path, "summary.json", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("summary.json", "old")]


def test_text_is_written_as_it_is(tmp_path):
    path = write_text_atomic(tmp_path / "new", "a.txt", "é\r\n✓\n")
    assert path.read_bytes() == "é\r\n✓\n".encode()
