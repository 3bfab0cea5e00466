"""The SQLite store: exact round trips, several writers at once, and damage."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_backends.cache.entry import Provenance
from llm_backends.cache.request_key import identity_key, prompt_key, request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendInputError, BackendUnavailable, CacheCorrupt, CallFailed
from llm_backends.protocol import Choice, Completion, CompletionRequest, Identity, LikelihoodRequest, Likelihoods

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
ASK = CompletionRequest(prompt="naïve 日本\u2028 prompt", max_new_tokens=7)
THREE = CompletionRequest(prompt="three", max_new_tokens=7, temperature=1.0, n=3)
IDS = CompletionRequest(prompt=(1, 2, 3), max_new_tokens=7)
SCORE = LikelihoodRequest(context="c", continuations=(" a", " b"))


def said(*texts: str) -> Completion:
    return Completion(choices=tuple(Choice(text=text, finish="stop") for text in texts))


LION = said(" lion\n\t")
NATS = Likelihoods(values=(-0.1 - 0.2, -1e-17))
ASKED = Provenance(task="t", sample="s-1", tokenizer="spae", fingerprint="f1")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = ReplyCache(tmp_path / "sub" / "replies.sqlite")
    yield made
    made.close()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def edit(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def test_replies_round_trip(cache: ReplyCache) -> None:
    given = [(ASK, LION), (SCORE, NATS), (THREE, said("a", "", "c")), (IDS, said("by ids"))]
    cache.put_many(IDENTITY, given)
    cache.close()
    assert [cache.get(IDENTITY, request) for request, _ in given] == [reply for _, reply in given]
    assert len(cache.keys()) == 6 and cache.keys() == sorted(cache.keys())


def test_each_sample_has_its_own_row(cache: ReplyCache) -> None:
    cache.put(IDENTITY, THREE, said("a", "b", "c"))
    keys = [request_key(IDENTITY, THREE, i) for i in range(3)]
    entries = [cache.entry(key) for key in keys]
    assert [(e.sample, e.part.text) for e in entries if e and isinstance(e.part, Choice)] == [
        (0, "a"), (1, "b"), (2, "c"),
    ]  # fmt: skip
    edit(cache.path, f"delete from replies where key = '{keys[1]}'")
    assert cache.get(IDENTITY, THREE) is None, "two samples of three are no answer"
    assert cache.put(IDENTITY, THREE, said("x", "y", "z")) == said("a", "y", "c")


def test_the_request_is_readable_beside_its_hash(cache: ReplyCache) -> None:
    cache.put(IDENTITY, SCORE, NATS)
    ((key, request, identity, prompt),) = rows(cache.path, "select key, request, identity, prompt from replies")
    assert hashlib.sha256(str(request).encode()).hexdigest() == key
    assert (identity, prompt) == (identity_key(IDENTITY), prompt_key(SCORE))
    ((context, model),) = rows(
        cache.path,
        "select json_extract(request, '$.request.context'), json_extract(request, '$.identity.model') from replies",
    )
    assert (context, model) == ("c", "m")


def test_reading_creates_no_file(cache: ReplyCache) -> None:
    assert cache.get(IDENTITY, ASK) is None and cache.keys() == [] and not cache.path.parent.exists()


def test_the_first_reply_stays_unless_replaced(cache: ReplyCache) -> None:
    other = said("vase")
    assert cache.put(IDENTITY, ASK, LION) == LION
    assert cache.put(IDENTITY, ASK, other) == LION == cache.get(IDENTITY, ASK)
    assert cache.put(IDENTITY, ASK, other, replace=True) == other == cache.get(IDENTITY, ASK)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        pytest.param(SCORE, Likelihoods(values=(float("inf"), 0.0)), id="not finite"),
        pytest.param(SCORE, Likelihoods(values=(-1.0,)), id="too few values"),
        pytest.param(SCORE, LION, id="text for values"),
        pytest.param(THREE, said("a", "b"), id="too few samples"),
        pytest.param(ASK, Completion(choices=(Choice(text="", finish="length"),)), id="cut before its first word"),
    ],
)
def test_incomplete_replies_are_not_stored(
    cache: ReplyCache, request_: CompletionRequest | LikelihoodRequest, reply: Completion | Likelihoods
) -> None:
    with pytest.raises(CallFailed, match="not stored"):
        cache.put_many(IDENTITY, [(ASK.model_copy(update={"seed": 9}), LION), (request_, reply)])
    assert cache.keys() == []


def test_an_empty_reply_is_stored(cache: ReplyCache) -> None:
    cache.put(IDENTITY, ASK, said(""))
    assert cache.get(IDENTITY, ASK) == said("")


@pytest.mark.parametrize("column", ["key", "identity", "prompt", "request", "reply", "created", "checksum"])
def test_a_bit_flipped_in_any_column_is_never_served(cache: ReplyCache, column: str) -> None:
    cache.put(IDENTITY, ASK, LION)
    cache.close()
    ((text,),) = rows(cache.path, f"select {column} from replies")
    for at in range(0, len(str(text)), 7):
        flipped = bytearray(str(text).encode())
        flipped[at] ^= 1 << (at % 7)
        connection = sqlite3.connect(cache.path)
        with connection:
            connection.execute(f"update replies set {column} = cast(? as text)", (bytes(flipped),))
        connection.close()
        if column == "key":
            assert cache.get(IDENTITY, ASK) is None, "under another key it is another's"
            found = bytes(flipped).decode("utf-8", "replace")
            with pytest.raises(CacheCorrupt):
                cache.entry(found)
        else:
            with pytest.raises(CacheCorrupt, match=r"key [0-9a-f]{64} .*--refresh-cache, or remove it.*prune --bad"):
                cache.get(IDENTITY, ASK)
        cache.close()
    if column != "key":
        assert cache.put(IDENTITY, ASK, LION, replace=True) == LION == cache.get(IDENTITY, ASK)


def test_a_reply_moved_to_another_row_is_corrupt(cache: ReplyCache) -> None:
    second = ASK.model_copy(update={"seed": 1})
    cache.put_many(IDENTITY, [(ASK, LION), (second, said("vase"))])
    a, b = request_key(IDENTITY, ASK), request_key(IDENTITY, second)
    edit(
        cache.path,
        f"update replies set (reply, checksum) = (select reply, checksum from replies where key = '{a}') "
        f"where key = '{b}'",
    )
    with pytest.raises(CacheCorrupt):
        cache.get(IDENTITY, second)


def test_a_row_of_another_type_is_corrupt(cache: ReplyCache) -> None:
    cache.put(IDENTITY, ASK, LION)
    edit(cache.path, "update replies set reply = x'00ff'")
    with pytest.raises(CacheCorrupt):
        cache.get(IDENTITY, ASK)


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"this is not a database, whatever its name says" * 50)
    with pytest.raises(CacheCorrupt, match="cache verify"):
        ReplyCache(path).get(IDENTITY, ASK)
    newer = tmp_path / "newer.sqlite"
    edit(newer, "pragma user_version = 9")
    with pytest.raises(CacheCorrupt, match="layout 9, this program reads 3"):
        ReplyCache(newer).get(IDENTITY, ASK)
    with pytest.raises(BackendUnavailable, match="cannot be"):
        ReplyCache(path / "below" / "a file").put(IDENTITY, ASK, LION)


def test_provenance_is_recorded_once(cache: ReplyCache) -> None:
    other = ASKED.model_copy(update={"tokenizer": "vqgan", "fingerprint": "f2"})
    key = request_key(IDENTITY, ASK)
    cache.put_many(IDENTITY, [(ASK, LION)], [[ASKED]])
    cache.note([(key, ASKED), (key, other), (key, other), ("0" * 64, other)])
    ReplyCache(cache.path).note([(key, other)])
    assert rows(cache.path, "select key, task, sample, tokenizer, fingerprint from provenance order by 5") == [
        (key, "t", "s-1", "spae", "f1"),
        (key, "t", "s-1", "vqgan", "f2"),
    ]
    assert cache.keys() == [key], "what a reply is for is no part of its key"


def test_similar_entries_are_found(cache: ReplyCache) -> None:
    hot = ASK.model_copy(update={"temperature": 1.0})
    other = IDENTITY.model_copy(update={"dtype": "bfloat16"})
    cache.put_many(IDENTITY, [(ASK, LION), (hot, LION), (SCORE, NATS)])
    cache.put(other, ASK, LION)
    found = {(entry.identity.dtype, entry.request) for entry in cache.with_prompt(prompt_key(ASK))}
    assert found == {("float32", ASK), ("float32", hot), ("bfloat16", ASK)}
    assert [entry.request for entry in cache.nearest_in_length(10, most=1)] == [SCORE]
    edit(cache.path, "update replies set reply = replace(reply, 'lion', 'vase')")
    assert [entry.request for entry in cache.nearest_in_length(10, most=9)] == [SCORE], "damaged ones explain nothing"


def test_a_read_only_cache_is_never_written(cache: ReplyCache) -> None:
    cache.put(IDENTITY, ASK, LION)
    cache.close()
    folder, before = cache.path.parent, cache.path.read_bytes()
    listing = sorted(os.listdir(folder))
    shared = ReplyCache(cache.path, read_only=True)
    assert shared.get(IDENTITY, ASK) == LION and shared.get(IDENTITY, SCORE) is None
    with pytest.raises(BackendInputError, match="read-only"):
        shared.put(IDENTITY, SCORE, NATS)
    assert sorted(os.listdir(folder)) == listing and cache.path.read_bytes() == before
    shared.close()
    # While another process writes it, its newest replies are seen too.
    cache.put(IDENTITY, SCORE, NATS)
    assert (folder / (cache.path.name + "-wal")).exists()
    assert shared.get(IDENTITY, SCORE) == NATS
    shared.close()


WRITER = """
import sys
from pathlib import Path
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.protocol import Choice, Completion, CompletionRequest, Identity
identity = Identity(kind="k", model="m", revision="r", dtype="float32")
cache, name, count, batch = ReplyCache(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
reply = Completion(choices=(Choice(text=name, finish="stop"),))
print("ready", flush=True)
sys.stdin.readline()
for begin in range(0, count, batch):
    asks = [CompletionRequest(prompt=f"{who} {i}", max_new_tokens=1)
            for i in range(begin, begin + batch) for who in ("shared", name)]
    for stored in cache.put_many(identity, [(ask, reply) for ask in asks])[::2]:
        print(stored.text)
cache.close()
"""


@pytest.mark.parametrize(
    ("count", "batch"), [pytest.param(2500, 250, id="10,000 entries"), pytest.param(20, 1, id="one at a time")]
)
def test_two_processes_write_one_new_file_at_once(tmp_path: Path, count: int, batch: int) -> None:
    path = tmp_path / "replies.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(count), str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("left", "right")
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said_by = [writer.communicate(timeout=120) for writer in writers]
    assert [(writer.returncode, errors) for writer, (_, errors) in zip(writers, said_by, strict=True)] == [(0, "")] * 2
    seen = [out.split() for out, _ in said_by]
    assert seen[0] == seen[1] and len(seen[0]) == count, "both must be told the reply that is stored"
    cache = ReplyCache(path)
    for who in ("shared", "left", "right"):
        wanted = [CompletionRequest(prompt=f"{who} {i}", max_new_tokens=1) for i in range(count)]
        assert all(cache.get(IDENTITY, ask) is not None for ask in wanted[:: max(1, count // 200)])
    assert len(cache.keys()) == 3 * count
    cache.close()


def test_a_forked_child_opens_its_own_connection(cache: ReplyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(IDENTITY, ASK, LION)
    before = cache.file._connection
    parent = os.getpid()
    monkeypatch.setattr("llm_backends.cache.sqlite_file.os.getpid", lambda: parent + 1)
    assert cache.get(IDENTITY, ASK) == LION
    assert cache.file._connection is not before
    assert before is not None
    before.close()
