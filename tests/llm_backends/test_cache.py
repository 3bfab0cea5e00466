"""The SQLite store: exact replies back, several writers at once, and damage that is noticed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_backends.cache import ReplyCache
from llm_backends.errors import BackendUnavailable, CacheCorrupt, CallFailed
from llm_backends.protocol import Choice, Completion, CompletionRequest, Identity, LikelihoodRequest, Likelihoods
from llm_backends.request_key import request_key

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
ASK = CompletionRequest(prompt="naïve 日本\u2028 prompt", max_new_tokens=7)
SCORE = LikelihoodRequest(context="c", continuations=(" a", " b"))
LION = Completion(choices=(Choice(text=" lion\n\t", finish="stop"),))
NATS = Likelihoods(values=(-0.1 - 0.2, -1e-17))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = ReplyCache(tmp_path / "sub" / "replies.sqlite")
    yield made
    made.close()


def test_replies_come_back_as_they_were(cache: ReplyCache) -> None:
    cache.put_many(IDENTITY, [(ASK, LION), (SCORE, NATS)])
    cache.close()
    assert cache.get(request_key(IDENTITY, ASK)) == LION
    assert cache.get(request_key(IDENTITY, SCORE)) == NATS
    assert cache.keys() == sorted([request_key(IDENTITY, ASK), request_key(IDENTITY, SCORE)])


def test_reading_creates_no_file(cache: ReplyCache) -> None:
    assert cache.get("0" * 64) is None and cache.keys() == [] and not cache.path.parent.exists()


def test_the_first_reply_stays_unless_it_is_replaced(cache: ReplyCache) -> None:
    other = Completion(choices=(Choice(text="vase", finish="stop"),))
    assert cache.put(IDENTITY, ASK, LION) == LION
    assert cache.put(IDENTITY, ASK, other) == LION == cache.get(request_key(IDENTITY, ASK))
    assert cache.put(IDENTITY, ASK, other, replace=True) == other == cache.get(request_key(IDENTITY, ASK))


def test_a_bad_reply_stores_nothing(cache: ReplyCache) -> None:
    with pytest.raises(CallFailed):
        cache.put_many(IDENTITY, [(ASK, LION), (SCORE, Likelihoods(values=(float("inf"), 0.0)))])
    assert cache.keys() == []


def edit(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("update replies set reply = replace(reply, 'lion', 'vase')", id="reply"),
        pytest.param("update replies set checksum = ''", id="checksum"),
        pytest.param("update replies set request = replace(request, '\"seed\": 0', '\"seed\": 1')", id="request"),
        pytest.param("update replies set request = 'x'", id="no json"),
    ],
)
def test_damage_is_noticed_and_names_key_and_fix(cache: ReplyCache, statement: str) -> None:
    key = request_key(IDENTITY, ASK)
    cache.put(IDENTITY, ASK, LION)
    edit(cache.path, statement)
    with pytest.raises(CacheCorrupt, match=rf"key {key} .*--live, or remove it"):
        cache.get(key)
    assert cache.put(IDENTITY, ASK, LION, replace=True) == LION == cache.get(key)


def test_a_reply_moved_to_another_row_is_noticed(cache: ReplyCache) -> None:
    second = ASK.model_copy(update={"seed": 1})
    cache.put_many(IDENTITY, [(ASK, LION), (second, Completion(choices=(Choice(text="vase", finish="stop"),)))])
    a, b = request_key(IDENTITY, ASK), request_key(IDENTITY, second)
    edit(
        cache.path,
        f"update replies set (reply, checksum) = (select reply, checksum from replies where key = '{a}') "
        f"where key = '{b}'",
    )
    with pytest.raises(CacheCorrupt):
        cache.get(b)


def test_files_that_are_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"this is not a database, whatever its name says" * 50)
    with pytest.raises(CacheCorrupt, match="move it away"):
        ReplyCache(path).get("0" * 64)
    newer = tmp_path / "newer.sqlite"
    edit(newer, "pragma user_version = 9")
    with pytest.raises(CacheCorrupt, match="layout 9, this program reads 1"):
        ReplyCache(newer).get("0" * 64)
    with pytest.raises(BackendUnavailable, match="cannot be"):
        ReplyCache(path / "below" / "a file").put(IDENTITY, ASK, LION)


def test_why_a_request_is_not_there(cache: ReplyCache) -> None:
    cache.put(IDENTITY, ASK, LION)
    other = IDENTITY.model_copy(update={"dtype": "bfloat16"})
    assert cache.knows_model(IDENTITY) and not cache.knows_model(other)
    assert cache.knows_prompt(IDENTITY, ASK.model_copy(update={"seed": 5}))
    assert not cache.knows_prompt(IDENTITY, SCORE) and not cache.knows_prompt(other, ASK)


WRITER = """
import sys
from pathlib import Path
from llm_backends.cache import ReplyCache
from llm_backends.protocol import Choice, Completion, CompletionRequest, Identity
identity = Identity(kind="k", model="m", revision="r", dtype="float32")
cache, name = ReplyCache(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for i in range(60):
    reply = Completion(choices=(Choice(text=name, finish="stop"),))
    shared = cache.put(identity, CompletionRequest(prompt=f"shared {i}", max_new_tokens=1), reply)
    cache.put(identity, CompletionRequest(prompt=f"{name} {i}", max_new_tokens=1), reply)
    print(shared.text)
cache.close()
"""


def test_two_processes_write_one_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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
    seen = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen[0] == seen[1] and len(seen[0]) == 60, "both must be told the reply that is stored"
    cache = ReplyCache(path)
    stored = [cache.get(key) for key in cache.keys()]  # noqa: SIM118 (not a dict)
    assert len(stored) == 180 and None not in stored
    cache.close()


def test_a_forked_child_opens_its_own_connection(cache: ReplyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(IDENTITY, ASK, LION)
    before = cache._connection
    parent = os.getpid()
    monkeypatch.setattr("llm_backends.cache.os.getpid", lambda: parent + 1)
    assert cache.get(request_key(IDENTITY, ASK)) == LION
    assert cache._connection is not before
    assert before is not None
    before.close()
