"""Files that are written whole or not at all, and files of lines."""

from __future__ import annotations

import resource

import pytest

from spae.atomic import append_lines, atomic_path, cut_torn_line, path_inside, read_lines, write_text


def test_a_block_that_ends_well_puts_the_file_in_place(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic_path(target) as draft:
        assert draft.parent == target.parent and draft != target
        draft.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("old", [None, "before"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_all_as_it_was(tmp_path, old, error, durable):
    target = tmp_path / "file.txt"
    if old:
        target.write_text(old)
    with pytest.raises(error), atomic_path(target, durable=durable) as draft:
        draft.write_text("half")
        raise error
    assert [path.read_text() for path in tmp_path.iterdir()] == ([old] if old else [])


def test_text_is_written_as_it_stands(tmp_path):
    write_text(tmp_path / "file.txt", "é\r\n\n")
    assert (tmp_path / "file.txt").read_bytes() == "é\r\n\n".encode()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "c:d", "a\0b", "/etc/passwd"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="must be plain"):
        path_inside(tmp_path, name)


def test_a_link_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="must be a file of its own"):
        path_inside(tmp_path, "link")
    assert path_inside(tmp_path, "file.json") == tmp_path / "file.json"


@pytest.mark.parametrize("sync", [False, True])
def test_appended_lines_are_read_back(tmp_path, sync):
    path = tmp_path / "lines"
    assert read_lines(path) == ([], False)
    append_lines(path, ["a", "b"], sync=sync)
    append_lines(path, [], sync=sync)
    append_lines(path, ["c"], sync=sync)
    assert read_lines(path) == ([b"a", b"b", b"c"], False)


def test_an_append_that_fails_halfway_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "lines"
    append_lines(path, ["a" * 99])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, limit[1]))
    try:
        with pytest.raises(OSError):
            append_lines(path, ["b" * 99], sync=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert read_lines(path) == ([b"a" * 99], False)


def test_a_line_cut_short_is_left_out_and_removed(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"a\nb\nhal")
    assert read_lines(path) == ([b"a", b"b"], True)
    cut_torn_line(path)
    assert path.read_bytes() == b"a\nb\n"
    path.write_bytes(b"hal")
    cut_torn_line(path)
    assert path.read_bytes() == b""
    cut_torn_line(tmp_path / "none")
    assert not (tmp_path / "none").exists()
