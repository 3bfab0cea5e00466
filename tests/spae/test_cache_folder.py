"""Where the cache is, and files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from spae.cache_folder import atomic_path, cache_folder


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("SPAE_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "spae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder() == tmp_path / "home" / ".cache" / "spae"
    assert not any(tmp_path.iterdir()), "nothing is created"


def test_a_block_that_ends_well_puts_the_file_in_place(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic_path(target) as draft:
        assert draft.parent == target.parent and draft != target
        draft.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("old", [None, "before"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_all_as_it_was(tmp_path, old, error):
    target = tmp_path / "file.txt"
    if old:
        target.write_text(old)
    with pytest.raises(error), atomic_path(target) as draft:
        draft.write_text("half")
        raise error
    assert [path.read_text() for path in tmp_path.iterdir()] == ([old] if old else [])


def test_a_block_that_writes_nothing_fails_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "file.txt"):
        pass
    assert not any(tmp_path.iterdir())
