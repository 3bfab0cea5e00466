"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

from spae.cache_folder import cache_folder


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
