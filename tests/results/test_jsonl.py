"""Lines on disk: all or none, and what a crash leaves behind."""

import errno
import os

import pytest
from pydantic import BaseModel

import spae.atomic
from results.errors import RecordError
from results.jsonl import append_lines, load_lines, path_inside, write_text


class Item(BaseModel):
    number: int


def write(path, *numbers, **how):
    append_lines(path, [Item(number=number).model_dump_json() for number in numbers], **how)


def test_lines_come_back_in_order(tmp_path):
    path = tmp_path / "items.jsonl"
    assert load_lines(path, Item) == ([], False)
    write(path)
    assert not path.exists()
    write(path, 1, 2)
    write(path, 3, sync=False)
    assert [item.number for item in load_lines(path, Item)[0]] == [1, 2, 3]


@pytest.mark.parametrize("left", [1, 5, 10])
def test_a_line_cut_short_is_left_out_and_cut_off(tmp_path, left):
    path = tmp_path / "items.jsonl"
    write(path, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number":3'[:left])
    assert [item.number for item in load_lines(path, Item)[0]] == [1, 2] and load_lines(path, Item)[1]
    spae.atomic.cut_torn_line(path)
    assert path.read_bytes() == whole and not load_lines(path, Item)[1]


def test_a_broken_whole_line_is_named(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"number":1}\n{"number":"x"}\n{"number":3}\n')
    with pytest.raises(RecordError, match=r"line 2 is not a Item \(number"):
        load_lines(path, Item)


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "items.jsonl"
    write(path, 1)
    before = path.read_bytes()

    class Full:
        """A file that takes five bytes and then no more."""

        def __init__(self, file):
            self.file, self.left = file, 5

        def __enter__(self):
            return self

        def __exit__(self, *problem):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if not self.left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken, self.left = self.file.write(data[: self.left]), 0
            return taken

    opened = type(path).open
    monkeypatch.setattr(type(path), "open", lambda self, *how, **more: Full(opened(self, *how, **more)))
    with pytest.raises(RecordError, match="make room there"):
        write(path, 2)
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_synced_lines_are_brought_to_the_disk_before_the_call_returns(tmp_path, monkeypatch):
    path, synced = tmp_path / "items.jsonl", []
    monkeypatch.setattr(spae.atomic.os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    write(path, 1, sync=False)
    assert synced == []
    write(path, 2)
    assert synced == [path.stat().st_size]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "C:x", "nul\0"])
def test_a_file_of_a_run_lies_in_its_folder(tmp_path, name):
    with pytest.raises(RecordError, match="must lie in its folder"):
        write_text(tmp_path, name, "x")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "there").write_text("safe")
    (tmp_path / "report.md").symlink_to(tmp_path / "there")
    with pytest.raises(RecordError, match="remove the link"):
        path_inside(tmp_path, "report.md")
    with pytest.raises(RecordError, match="remove the link"):
        write_text(tmp_path, "report.md", "x")
    assert (tmp_path / "there").read_text() == "safe"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    assert write_text(tmp_path / "new", "a.txt", "ä\n").read_bytes() == "ä\n".encode()

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spae.atomic.os, "replace", fail)
    with pytest.raises(RecordError, match="make room there"):
        write_text(tmp_path / "new", "a.txt", "other")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä\n".encode()
