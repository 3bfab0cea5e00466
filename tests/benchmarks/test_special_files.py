"""Names on the command line that lead to a pipe, a device or a link in a circle: one line, at once, in every reader."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from results.errors import RecordError
from results.jsonl import load_lines, read_file
from results.record import Call
from spae.regular_file import MOST_CONTAINERS
from tests.spae.test_regular_file import special_file

from .conftest import Command

pytestmark = pytest.mark.usefixtures("home", "tokenizers")
BOMB = b"[" + b"[]," * MOST_CONTAINERS + b"0]"
RUN = ("run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--limit", "1", "--scoring", "exact")
READERS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "script": lambda path: (*RUN, "--llm", f"scripted:{path}"),
    "manifest": lambda path: (*RUN, "--manifest", path),
    "cache-file": lambda path: (*RUN, "--llm", "none", "--cache-file", path),
    "key-file": lambda path: (*RUN, "--llm", "openai:x", "--llm-args", f"key_file={path}"),
    "gguf": lambda path: (*RUN, "--llm", f"gguf:{path}"),
    "captions": lambda path: ("validate", "--task", "coco-captioning", "--data", path),
    "csv": lambda path: ("validate", "--task", "miniimagenet-2way", "--data", path.with_suffix(".csv")),
    "cache": lambda path: ("cache", "verify", path),
    "report": lambda path: ("report", path.parent),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a circle"])
def test_special_file_is_one_line(command: Command, tmp_path: Path, kind: str, reader: str) -> None:
    for name in ("run.json", "run.csv"):
        special_file(tmp_path / "there" / name, kind)
    code, _, err = command(*READERS[reader](tmp_path / "there" / "run.json"))
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors", "vocab.txt"])
def test_model_folder_with_a_pipe_is_one_line(command: Command, tmp_path: Path, file: str) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "model" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
    special_file(tmp_path / "model" / file, "a named pipe")
    code, _, err = command(*RUN, "--llm", f"hf:{tmp_path / 'model'}")
    assert code == 2 and err.count("\n") == 1 and f"{file} cannot be read (it is a named pipe" in err


@pytest.mark.parametrize("reader", ["script", "manifest"])
def test_bomb_of_json_is_one_line(command: Command, tmp_path: Path, reader: str) -> None:
    (tmp_path / "bomb.json").write_bytes(BOMB)
    code, _, err = command(*READERS[reader](tmp_path / "bomb.json"))
    assert code == 2 and err.count("\n") == 1 and "over 5,000,000 lists and objects" in err


def test_bomb_in_a_small_archive_is_one_line(command: Command, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "real_name_mi.tar.gz", "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("real_name_mi/real_name_mi_shots_1_ways_2_all_questions.json")
        member.size = len(BOMB)
        archive.addfile(member, io.BytesIO(BOMB))
    code, _, err = command("validate", "--task", "miniimagenet-2way", "--data", tmp_path / "real_name_mi.tar.gz")
    assert code == 2 and "over 5,000,000 lists and objects" in err


def test_files_of_a_run_are_no_bombs(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(BOMB)
    with pytest.raises(RecordError, match=r"run\.json cannot be read \(it holds over 5,000,000"):
        read_file(tmp_path, "run.json")
    (tmp_path / "calls.jsonl").write_bytes(BOMB + b"\n")
    with pytest.raises(RecordError, match=r"calls\.jsonl line 1 is not a Call \(it holds over 5,000,000"):
        load_lines(tmp_path / "calls.jsonl", Call)
    special_file(tmp_path / "calls.jsonl", "a named pipe")
    with pytest.raises(RecordError, match=r"calls\.jsonl cannot be read \(it is a named pipe"):
        load_lines(tmp_path / "calls.jsonl", Call)


def test_bomb_among_stored_replies_is_a_damaged_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "replies.jsonl").write_bytes(b'{"reply":' + BOMB + b',"key":"x"}\n')
    code, out, err = command("cache", "verify", tmp_path / "replies.jsonl")
    assert code == 1 and "1 damaged" in out and json.dumps("Traceback") not in err
