"""Committed replies: found fast, checked when served, written atomically."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from llm_backends.cache.jsonl import ReadOnlySource, export, open_source
from llm_backends.cache.request_key import prompt_key, request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt, CacheMiss
from llm_backends.protocol import (
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Request,
)

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
SCORE = LikelihoodRequest(context="c\u2028d", continuations=(" a", " b"))
ASKS: list[Request] = [CompletionRequest(prompt=f"prompt {i} \u2028 é", max_new_tokens=7) for i in range(5)] + [SCORE]
NATS = Likelihoods(values=(-0.30000000000000004, -12.5))


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    for i, ask in enumerate(ASKS):
        cache.put(
            IDENTITY, ask, NATS if ask is SCORE else Completion(choices=(Choice(text=f"reply {i}", finish="stop"),))
        )
    path = tmp_path / "out" / "demo.jsonl"
    assert export(cache, path, reversed(cache.keys())) == len(ASKS)
    cache.close()
    return path


def test_what_is_exported_is_served(committed: Path) -> None:
    layer = ReadOnlySource(committed)
    assert layer.get(IDENTITY, SCORE) == NATS
    assert layer.get(IDENTITY, ASKS[2]) == Completion(choices=(Choice(text="reply 2", finish="stop"),))
    assert layer.get(IDENTITY, ASKS[2].model_copy(update={"max_new_tokens": 8})) is None


def test_an_exported_file_has_one_sorted_readable_line_per_reply(committed: Path) -> None:
    lines = [json.loads(line) for line in committed.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    assert [line["key"] for line in lines] == sorted(request_key(IDENTITY, ask) for ask in ASKS)
    assert all(list(line) == ["key", "identity", "request", "sample", "reply", "checksum"] for line in lines)
    assert "é" in committed.read_text(encoding="utf-8") and committed.read_bytes().endswith(b"}\n")


def test_the_same_replies_make_the_same_file(committed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    export([ReadOnlySource(committed)], again, ReadOnlySource(committed).keys() * 2)
    assert again.read_bytes() == committed.read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('"prompt 3 ', '"prompt 9 ', id="prompt"),
        pytest.param('"model": "m"', '"model": "n"', id="model"),
        pytest.param('"text": "reply 3"', '"text": "reply 4"', id="reply"),
        pytest.param('"stop"', '"length"', id="how it ended"),
        pytest.param('"sample": 0', '"sample": 1', id="sample"),
        pytest.param('"checksum": "', '"checksum": "0', id="checksum"),
        pytest.param('"text"', '"values"', id="kind of reply"),
        pytest.param('"stop"}', '"stop"', id="not whole"),
        pytest.param('"checksum"', '"was"', id="no checksum"),
        pytest.param('"identity"', '"who"', id="a name"),
    ],
)
def test_a_line_that_was_changed_is_refused_when_served(committed: Path, old: str, new: str) -> None:
    key = request_key(IDENTITY, ASKS[3])
    lines = committed.read_text(encoding="utf-8").split("\n")
    changed = [line.replace(old, new) if key in line else line for line in lines]
    assert changed != lines
    committed.write_text("\n".join(changed), encoding="utf-8")
    layer = ReadOnlySource(committed)
    assert layer.get(IDENTITY, ASKS[2]) is not None, "the other lines are still good"
    for look in (lambda: layer.get(IDENTITY, ASKS[3]), lambda: layer.entry(key)):
        with pytest.raises(CacheCorrupt, match=key):
            look()


def test_swapped_keys_are_refused(committed: Path) -> None:
    a, b = request_key(IDENTITY, ASKS[0]), request_key(IDENTITY, ASKS[1])
    text = committed.read_text(encoding="utf-8")
    lines = [line.replace(a, "\0").replace(b, a).replace("\0", b) for line in text.split("\n")]
    committed.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CacheCorrupt, match="have another key"):
        ReadOnlySource(committed).get(IDENTITY, ASKS[0])


def test_two_replies_to_one_request_are_refused(committed: Path) -> None:
    line = committed.read_text(encoding="utf-8").split("\n")[0]
    with committed.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    assert len(ReadOnlySource(committed).keys()) == len(ASKS), "the same line twice is harmless"
    with committed.open("a", encoding="utf-8") as stream:
        stream.write(line.replace('"reply"', '"reply" ') + "\n")
    with pytest.raises(CacheCorrupt, match="second reply"):
        ReadOnlySource(committed).keys()


def test_files_that_hold_no_replies(tmp_path: Path) -> None:
    with pytest.raises(BackendInputError, match="readable"):
        ReadOnlySource(tmp_path / "none.jsonl").get(IDENTITY, ASKS[0])
    (tmp_path / "bad.jsonl").write_text("\n<<<<<<< ours\n")
    with pytest.raises(CacheCorrupt, match="line 2"):
        ReadOnlySource(tmp_path / "bad.jsonl").get(IDENTITY, ASKS[0])


def test_a_line_with_its_names_in_another_order_is_found(committed: Path) -> None:
    lines = [json.loads(line) for line in committed.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    text = "\n".join(json.dumps(dict(reversed(line.items()))) for line in lines)
    committed.write_text(text, encoding="utf-8")
    assert ReadOnlySource(committed).get(IDENTITY, SCORE) == NATS


def test_a_failed_export_leaves_the_old_file(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, layer = committed.read_bytes(), ReadOnlySource(committed)
    with pytest.raises(CacheMiss, match="has none"):
        export(layer, committed, [*layer.keys(), "0" * 64])
    monkeypatch.setattr("spae.atomic.os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(BackendUnavailable, match="disk full"):
        export(layer, committed, layer.keys()[:1])
    assert committed.read_bytes() == before and os.listdir(committed.parent) == [committed.name]


def test_six_thousand_lines_load_well_under_a_second(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    prompt = "Input: lion vase truck cat\\nOutput: lion\\n###\\n" * 50
    with path.open("w") as stream:
        for i in range(6000):
            stream.write(
                f'{{"key": "{i:064x}", "identity": {{}}, "request": {{"prompt": "{prompt}"}}, "checksum": ""}}\n'
            )
    layer, start = ReadOnlySource(path), time.perf_counter()
    assert layer.get(IDENTITY, SCORE) is None
    assert time.perf_counter() - start < 0.5


def test_open_source_goes_by_content(committed: Path, tmp_path: Path) -> None:
    lines = tmp_path / "without an ending"
    lines.write_bytes(committed.read_bytes())
    for path in (committed, lines, tmp_path / "replies.sqlite"):
        assert open_source(path).keys() == ReadOnlySource(committed).keys()
    with pytest.raises(BackendInputError, match="readable"):
        open_source(tmp_path / "none.sqlite")


def test_similar_entries_are_found(committed: Path) -> None:
    layer = ReadOnlySource(committed)
    (found,) = layer.with_prompt(prompt_key(ASKS[1]))
    assert found.request == ASKS[1]
    assert [entry.request for entry in layer.nearest_in_length(1, most=1)] == [SCORE]
