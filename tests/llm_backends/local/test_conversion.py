"""Conversion of GGUF files: once, atomically, by one process at a time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_backends.errors import BackendUnavailable
from llm_backends.local.conversion import FILES, INDEX, Convertible, cache_folder, converted_folder, is_complete


def made(gguf: Path, **changed: object) -> Convertible:
    """A file to be converted, whose sha256 is as expected."""
    sha256 = hashlib.sha256(gguf.read_bytes()).hexdigest()
    facts = {"package": "a test"}
    values = {"title": "Tiny", "stem": "tiny", "sha256": sha256, "fix": "fetch it", "megabytes": 1, "facts": facts}
    return Convertible(**{**values, "find": lambda parts: gguf, **changed})  # type: ignore[arg-type]


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF of a test")
    return path


def write_model(gguf: Path, folder: Path) -> None:
    for name in FILES:
        (folder / name).write_bytes(gguf.read_bytes())


def silent(line: str) -> None:
    """Says nothing."""


def folders(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def test_another_file_is_refused(gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"must have sha256 000000000000\.\.\., got .*: fetch it"):
        converted_folder(made(gguf, sha256="0" * 64), cache=tmp_path / "cache", convert=write_model)
    assert folders(tmp_path / "cache") == []


def test_it_is_converted_once(gguf: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    model = made(gguf)
    folder = converted_folder(model, cache=tmp_path / "cache", convert=write_model, say=lines.append)
    assert folder.parent == tmp_path / "cache" and "once" in lines[0] and str(folder) in lines[0]
    assert '"package": "a test"' in (folder / "source.json").read_text()
    lines.clear()

    def again(gguf: Path, folder: Path) -> None:
        raise AssertionError("converted twice")

    gguf.unlink()  # the conversion stands on its own
    assert converted_folder(model, cache=tmp_path / "cache", convert=again, say=lines.append) == folder and lines == []


def test_temporary_parts_are_removed(gguf: Path, tmp_path: Path) -> None:
    seen: list[Path] = []

    def find(parts: Path) -> Path:
        seen.append(parts)
        (parts / "whole.gguf").write_bytes(gguf.read_bytes())
        return parts / "whole.gguf"

    model = made(gguf, find=find)
    folder = converted_folder(model, cache=tmp_path / "cache", convert=write_model, say=silent)
    assert folders(tmp_path / "cache") == [folder] and not seen[0].exists()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_failed_conversion_leaves_nothing_behind(gguf: Path, tmp_path: Path, error: BaseException) -> None:
    def broken(gguf: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        assert not (folder.parent / made(gguf).target(folder.parent).name).exists(), "the target exists already"
        raise error

    with pytest.raises(type(error)):
        converted_folder(made(gguf), cache=tmp_path / "cache", convert=broken, say=silent)
    assert folders(tmp_path / "cache") == []
    assert converted_folder(made(gguf), cache=tmp_path / "cache", convert=write_model, say=silent).is_dir()


@pytest.mark.parametrize("error", [RuntimeError("bad tensor\nmore"), KeyError("x"), NotImplementedError("Q9_K")])
def test_conversion_errors_are_one_line(gguf: Path, tmp_path: Path, error: Exception) -> None:
    def broken(gguf: Path, folder: Path) -> None:
        raise error

    with pytest.raises(BackendUnavailable, match=r"tiny\.gguf cannot be converted") as raised:
        converted_folder(made(gguf), cache=tmp_path / "cache", convert=broken, say=silent)
    assert "\n" not in str(raised.value)


def test_leftovers_of_a_killed_conversion_are_removed(gguf: Path, tmp_path: Path) -> None:
    left = tmp_path / "cache" / f"{made(gguf).target(tmp_path).name}.making-abc"
    left.mkdir(parents=True)
    other = tmp_path / "cache" / "another-model.making-abc"
    other.mkdir()
    folder = converted_folder(made(gguf), cache=tmp_path / "cache", convert=write_model, say=silent)
    assert sorted(folders(tmp_path / "cache")) == sorted([folder, other])


def test_an_incomplete_conversion_is_not_used(gguf: Path, tmp_path: Path) -> None:
    def halfway(gguf: Path, folder: Path) -> None:
        for name in FILES[:2]:
            (folder / name).touch()

    with pytest.raises(BackendUnavailable, match=r"tokenizer\.json is missing"):
        converted_folder(made(gguf), cache=tmp_path / "cache", convert=halfway, say=silent)
    folder = converted_folder(made(gguf), cache=tmp_path / "cache", convert=write_model, say=silent)
    (folder / "model.safetensors").unlink()
    assert converted_folder(made(gguf), cache=tmp_path / "cache", convert=write_model, say=silent) == folder
    assert (folder / "model.safetensors").is_file()


def test_sharded_weights_are_complete(tmp_path: Path) -> None:
    for name in (FILES[0], FILES[2], INDEX):
        (tmp_path / name).touch()
    assert is_complete(tmp_path)


TOGETHER = """
import sys, time
from pathlib import Path
from llm_backends.local.conversion import Convertible, FILES, converted_folder
cache, gguf, sha256, log = sys.argv[1:]
def convert(gguf, folder):
    with open(log, "a") as stream: stream.write("x")
    time.sleep(0.4)
    for name in FILES: (folder / name).touch()
model = Convertible("Tiny", "tiny", sha256, lambda parts: Path(gguf), "", 1, {})
converted_folder(model, cache=Path(cache), convert=convert)
"""


def test_two_processes_convert_once(gguf: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "cache"), str(gguf), made(gguf).sha256, str(log)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert log.read_text() == "x"


def test_a_cache_that_cannot_be_written(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendUnavailable, match="set SPAE_CACHE"):
        converted_folder(made(gguf), cache=tmp_path / "file" / "cache", convert=write_model)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SPAE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "spae"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "spae"
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
