"""Numbers of a cache, and taking replies out of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from llm_backends.cache.maintenance import cache_stats, prune_cache
from llm_backends.cache.request_key import request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.cache.verify import check_file

from tests.llm_backends.stored import IDENTITY, SCORE, ask, asked, fill, said


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = fill(tmp_path / "replies.sqlite")
    yield made
    made.close()


def damage(cache: ReplyCache, text: str) -> None:
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[content.index(text.encode())] ^= 1
    cache.path.write_bytes(content)


def test_what_is_stored_is_counted(cache: ReplyCache) -> None:
    cache.note([(request_key(IDENTITY, ask(1)), asked("vqgan")), (request_key(IDENTITY, ask(2)), asked("spae", "x"))])
    found = cache_stats(cache)
    assert (found.entries, found.empty, found.shared, found.notes, found.damaged) == (15, 1, 1, 14, 0)
    assert [(one.model, one.entries) for one in found.models] == [("m", 13), ("other", 2)]
    assert found.bytes >= cache.path.stat().st_size and found.oldest <= found.newest and found.oldest


def test_nothing_stored_is_nothing(tmp_path: Path) -> None:
    empty = ReplyCache(tmp_path / "none.sqlite")
    found = cache_stats(empty)
    assert (found.entries, found.models, found.bytes, found.oldest) == (0, (), 0, "")
    assert prune_cache(empty, model="m").entries == 0 and not empty.path.exists()


def test_prune_by_model_and_age(cache: ReplyCache) -> None:
    assert prune_cache(cache, model="other", older_than=timedelta(days=1)).entries == 0
    assert prune_cache(cache, model="nobody").entries == 0
    tried = prune_cache(cache, model="other", dry_run=True)
    assert tried.models == {"other": 2} and len(cache.keys()) == 15
    assert prune_cache(cache, model="other") == tried and len(cache.keys()) == 13
    connection = sqlite3.connect(cache.path)
    with connection:
        connection.execute("pragma wal_checkpoint")
    connection.close()
    assert prune_cache(cache, older_than=timedelta(days=-1)).entries == 13
    assert cache.keys() == [] and cache_stats(cache).notes == 0
    cache.close()
    assert check_file(cache.path).bad == ()


def test_prune_takes_out_what_is_damaged_and_nothing_else(cache: ReplyCache) -> None:
    damage(cache, "reply 5")
    assert cache_stats(cache).damaged == 1
    assert prune_cache(cache, model="nobody").entries == 0, "what cannot be read is only taken out with --bad"
    tried = prune_cache(cache, bad=True, dry_run=True)
    assert (tried.entries, tried.damaged, len(cache.keys())) == (1, 1, 15)
    assert prune_cache(cache, bad=True).damaged == 1
    assert len(cache.keys()) == 14 and cache.get(IDENTITY, ask(5)) is None and cache.get(IDENTITY, SCORE)
    cache.close()
    assert check_file(cache.path).bad == ()


@pytest.mark.parametrize("text", ["sha of spae", request_key(IDENTITY, ask(7))])
def test_damaged_notes_and_indexes_are_made_good(cache: ReplyCache, text: str) -> None:
    damage(cache, text)
    assert check_file(cache.path).bad
    prune_cache(cache, bad=True)
    cache.close()
    assert check_file(cache.path).bad == ()
    assert cache_stats(cache).entries >= 14
    cache.put(IDENTITY, ask(7), said(" reply 7"))
    assert cache.get(IDENTITY, ask(7)) == said(" reply 7")
