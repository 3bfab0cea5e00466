"""Stored replies in front of a model, in each mode."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from llm_backends.cache.cached_backend import CachedBackend, CacheMode
from llm_backends.cache.entry import Provenance
from llm_backends.cache.jsonl import ReadOnlySource, export
from llm_backends.cache.request_key import request_key
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import (
    BackendInputError,
    BackendUnavailable,
    CacheCorrupt,
    CacheMiss,
    CallFailed,
    PromptTooLong,
)
from llm_backends.local.backend import LocalBackend
from llm_backends.local.folder import FolderSource
from llm_backends.protocol import (
    Backend,
    Choice,
    Completion,
    CompletionRequest,
    LikelihoodRequest,
    Likelihoods,
)
from llm_backends.scripted.backend import Script, ScriptedBackend
from tests.llm_backends.behind_store import SCRIPT, ask, behind


def text_of(backend: CachedBackend) -> str:
    """Its reply to "a"."""
    (answer,) = backend.ask([ask("a")])
    assert isinstance(answer.reply, Completion)
    return answer.reply.text


def never() -> Backend:
    raise AssertionError("a model was made")


def test_each_request_is_asked_once(store: ReplyCache) -> None:
    inner = ScriptedBackend(SCRIPT)
    cached = behind(inner, store)
    first = cached.ask([ask("a"), ask("b"), ask("a")])
    assert [(a.reply.text, a.cached) for a in first if isinstance(a.reply, Completion)] == [("lion", False)] * 3
    assert inner.asked == [ask("a"), ask("b")]
    again = cached.ask([ask("b"), ask("c")])
    assert [a.cached for a in again] == [True, False] and inner.asked[2:] == [ask("c")]
    (scored,) = cached.ask([LikelihoodRequest(context="a", continuations=("b",))])
    assert scored.reply == Likelihoods(values=(-1.0,))


def test_a_replay_opens_no_model(store: ReplyCache) -> None:
    inner = ScriptedBackend(SCRIPT)
    behind(inner, store).ask([ask("a")])
    modes: tuple[CacheMode, ...] = ("normal", "cache-only")
    for mode in modes:
        replay = CachedBackend(never, inner.identity, store, (), mode)
        assert [a.cached for a in replay.ask([ask("a")])] == [True]


def test_another_model_is_another_reply(store: ReplyCache) -> None:
    behind(ScriptedBackend(SCRIPT), store).ask([ask("a")])
    other = ScriptedBackend(SCRIPT.model_copy(update={"default": "vase"}))
    assert text_of(behind(other, store)) == "vase"


def test_sources_are_searched_after_the_store_and_not_written(store: ReplyCache, tmp_path: Path) -> None:
    inner = ScriptedBackend(SCRIPT)
    behind(inner, store).ask([ask("a")])
    path = tmp_path / "layer.jsonl"
    export(store, path, [request_key(inner.identity, ask("a"))])
    before = path.read_bytes()
    layered = behind(inner, ReplyCache(tmp_path / "empty.sqlite"), sources=(ReadOnlySource(path),))
    assert layered.ask([ask("a")])[0].cached
    fresh = ReplyCache(tmp_path / "second.sqlite")
    assert [a.cached for a in behind(inner, fresh, sources=(ReadOnlySource(path),)).ask([ask("a"), ask("b")])] == [
        True,
        False,
    ]
    assert fresh.keys() == [request_key(inner.identity, ask("b"))] and path.read_bytes() == before
    fresh.close()


def test_refresh_asks_again_and_replaces(store: ReplyCache) -> None:
    replies = iter(["one", "two"])
    inner = ScriptedBackend(reply=lambda prompt: next(replies))
    behind(inner, store).ask([ask("a")])
    live = behind(inner, store, "refresh").ask([ask("a")])[0]
    assert live.reply == Completion(choices=(Choice(text="two", finish="stop"),)) and not live.cached
    assert store.get(inner.identity, ask("a")) == live.reply


def test_refresh_asks_a_request_once_over_all_rounds(store: ReplyCache) -> None:
    behind(ScriptedBackend(reply=lambda prompt: "old"), store).ask([ask("a"), ask("b")])
    inner = ScriptedBackend(reply=lambda prompt: f"{prompt} {len(inner.asked)}")
    refreshing = behind(inner, store, "refresh")
    rounds = [refreshing.ask([ask("a")]), refreshing.ask([ask("a"), ask("b")]), refreshing.ask([ask("b")])]
    said = [answer.reply.text for one in rounds for answer in one if isinstance(answer.reply, Completion)]
    assert said == ["a 1", "a 1", "b 2", "b 2"] and inner.asked == [ask("a"), ask("b")]


def test_a_crash_loses_at_most_one_chunk(store: ReplyCache) -> None:
    def reply(prompt: str) -> str:
        if prompt == "7":
            raise KeyboardInterrupt
        return "x"

    inner = ScriptedBackend(reply=reply)
    with pytest.raises(KeyboardInterrupt):
        behind(inner, store, chunk=3).ask([ask(str(i)) for i in range(20)])
    assert store.keys() == sorted(request_key(inner.identity, ask(str(i))) for i in range(6))


def test_order_and_kinds_are_kept(store: ReplyCache) -> None:
    inner = ScriptedBackend(SCRIPT, reply=lambda prompt: prompt.upper(), likelihood=lambda c, t: -float(len(c)))
    score = LikelihoodRequest(context="ccc", continuations=(" d",))
    answers = behind(inner, store, chunk=2).ask([ask("a"), score, ask("b"), ask("c"), ask("d")])
    assert [a.reply.text if isinstance(a.reply, Completion) else a.reply.values for a in answers if a.reply] == [
        "A", (-3.0,), "B", "C", "D"
    ]  # fmt: skip
    assert inner.asked == [ask("a"), score, ask("b"), ask("c"), ask("d")]


def test_a_failed_request_does_not_affect_others_and_is_not_stored(store: ReplyCache) -> None:
    long = ask("one two three four five six seven eight")
    inner = ScriptedBackend(SCRIPT)
    answers = behind(inner, store).ask([ask("a"), long, ask("b")])
    assert [a.reply is not None for a in answers] == [True, False, True]
    assert isinstance(answers[1].error, PromptTooLong)
    failing = ScriptedBackend(SCRIPT, failures={2: CallFailed("down"), 4: CallFailed("down")})
    answers = behind(failing, store).ask([ask("p"), ask("q"), ask("r")])
    assert [type(a.error) for a in answers] == [type(None), CallFailed, type(None)]
    assert len(store.keys()) == 4


def test_a_miss_names_the_prompt_the_reason_and_the_fix(store: ReplyCache) -> None:
    inner = ScriptedBackend(SCRIPT)
    only = behind(inner, store, "cache-only")
    with pytest.raises(CacheMiss, match=r"none for 'a'.*nothing is stored.*drop --cache-only, or .*--refresh-cache"):
        only.ask([ask("a\nb")])
    behind(inner, store).ask([ask("a")])
    with pytest.raises(
        CacheMiss, match=rf"{request_key(inner.identity, ask('a', seed=1))}.*differs in seed \(0 stored, 1 asked\)"
    ):
        only.ask([ask("a", seed=1)])
    with pytest.raises(CacheMiss, match=r"differs in prompt \('a \[no newline\]' stored, 'b"):
        only.ask([ask("b")])
    assert len(inner.asked) == 1


def test_a_miss_is_explained_from_sources_too(store: ReplyCache, tmp_path: Path) -> None:
    inner = ScriptedBackend(SCRIPT)
    behind(inner, store).ask([ask("a")])
    path = tmp_path / "layer.jsonl"
    export(store, path, store.keys())
    only = behind(inner, None, "cache-only", (ReadOnlySource(path),))
    with pytest.raises(CacheMiss, match="differs in seed"):
        only.ask([ask("a", seed=1)])
    with pytest.raises(CacheMiss, match="differs in prompt"):
        only.ask([ask("b")])


def test_too_long_is_not_a_miss(store: ReplyCache) -> None:
    only = behind(ScriptedBackend(SCRIPT), store, "cache-only")
    (answer,) = only.ask([ask("one two three four five six seven eight")])
    assert isinstance(answer.error, PromptTooLong) and "10 tokens" in str(answer.error)


def test_too_long_is_not_a_miss_for_a_local_model(tiny_llama: Path, store: ReplyCache) -> None:
    inner = LocalBackend(FolderSource(tiny_llama, "float32"))
    only = behind(inner, store, "cache-only")
    assert isinstance(only.ask([ask("lion " * 300)])[0].error, PromptTooLong)
    with pytest.raises(CacheMiss):
        only.ask([ask("lion " * 30)])
    assert "_runner" not in inner.__dict__


def test_a_miss_converts_no_model(store: ReplyCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_backends.registry import open_backend

    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    inner = open_backend("smollm2")
    with pytest.raises(CacheMiss):
        behind(inner, store, "cache-only").ask([ask("lion " * 9000)])
    assert not (tmp_path / "cache").exists()


def test_an_unavailable_model_raises(store: ReplyCache) -> None:
    def unavailable() -> Backend:
        raise BackendUnavailable("no such model here")

    identity = ScriptedBackend().identity
    with pytest.raises(BackendUnavailable):
        CachedBackend(unavailable, identity, store).ask([ask("a")])
    with pytest.raises(CacheMiss):
        CachedBackend(unavailable, identity, store, mode="cache-only").ask([ask("a")])


class Short(ScriptedBackend):
    """Loses its last reply."""

    def complete(self, requests: object) -> list[Completion]:  # type: ignore[override]
        return super().complete(requests)[:-1]  # type: ignore[arg-type]


def test_too_few_replies_are_an_error(store: ReplyCache) -> None:
    answers = behind(Short(SCRIPT), store).ask([ask("a"), ask("b")])
    assert all(isinstance(a.error, CallFailed) for a in answers) and store.keys() == []


def test_wrong_options() -> None:
    inner = ScriptedBackend(SCRIPT)
    with pytest.raises(BackendInputError, match="got 'offline'"):
        CachedBackend(never, inner.identity, mode="offline")  # type: ignore[arg-type]
    with pytest.raises(BackendInputError, match="at least one"):
        CachedBackend(never, inner.identity, chunk=0)
    other = inner.identity.model_copy(update={"revision": "other"})
    with pytest.raises(BackendInputError, match="own identity"):
        CachedBackend(lambda: inner, other).ask([ask("a")])


def test_without_a_store_nothing_is_stored() -> None:
    cached = behind(ScriptedBackend(SCRIPT), None)
    assert not cached.ask([ask("a")])[0].cached and not cached.ask([ask("a")])[0].cached


def test_a_replay_of_the_real_model_imports_no_torch(tmp_path: Path) -> None:
    from llm_backends.registry import open_backend

    store = ReplyCache(tmp_path / "replies.sqlite")
    store.put(
        open_backend("smollm2").identity,
        ask("a"),
        Completion(choices=(Choice(text=" b", finish="stop"),)),
    )
    store.close()
    code = f"""
import sys
from pathlib import Path
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.protocol import Choice, CompletionRequest
from llm_backends.registry import open_backend
inner, store = open_backend("smollm2"), ReplyCache(Path({str(tmp_path / "replies.sqlite")!r}))
cached = CachedBackend(lambda: inner, inner.identity, store)
print(cached.ask([CompletionRequest(prompt="a", max_new_tokens=2)])[0].reply.text, "torch" in sys.modules)
store.close()
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert out.stdout.split() == ["b", "False"]


@pytest.mark.parametrize(
    "choice", [Choice(text="", finish="length"), None], ids=["cut before its first word", "too few samples"]
)
def test_an_incomplete_reply_is_an_error_and_not_stored(store: ReplyCache, choice: Choice | None) -> None:
    class Cutting(ScriptedBackend):
        def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
            return [Completion(choices=(choice or Choice(text="one", finish="stop"),)) for _ in requests]

    asked = ask("a") if choice else ask("a", n=2, temperature=1.0)
    (answer,) = behind(Cutting(SCRIPT), store).ask([asked])
    assert isinstance(answer.error, CallFailed) and "one complete reply" in str(answer.error) and store.keys() == []


def test_an_empty_reply_is_stored_and_not_asked_again(store: ReplyCache) -> None:
    inner = ScriptedBackend(Script(default=""))
    behind(inner, store).ask([ask("a")])
    (answer,) = behind(inner, store).ask([ask("a")])
    assert answer.cached and isinstance(answer.reply, Completion) and answer.reply.text == "" and len(inner.asked) == 1


def test_samples_are_stored_separately_and_asked_together(store: ReplyCache) -> None:
    inner = ScriptedBackend(Script(completions={"a": ("one", "two")}))
    three = ask("a", n=3, temperature=1.0)
    (answer,) = behind(inner, store).ask([three])
    assert isinstance(answer.reply, Completion) and [c.text for c in answer.reply.choices] == ["one", "two", "one"]
    assert len(store.keys()) == 3 and answer.key == request_key(inner.identity, three)
    assert behind(inner, store, "cache-only").ask([three])[0].reply == answer.reply
    behind(inner, store).ask([ask("a", n=2, temperature=1.0)])
    assert len(inner.asked) == 2, "another n is another question"
    with pytest.raises(BackendInputError, match="temperature above 0"):
        behind(inner, store).ask([ask("a", n=2)])


def questions_on_record(store: ReplyCache) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute("select key, sample, tokenizer from provenance order by sample, tokenizer").fetchall()
    finally:
        connection.close()


def test_equal_prompts_of_two_tokenizers_share_one_call_and_both_are_recorded(store: ReplyCache) -> None:
    inner = ScriptedBackend(SCRIPT)
    origins = [
        Provenance(task="t", sample=sample, tokenizer=name, fingerprint=name)
        for sample, name in (("1", "spae"), ("1", "vqgan"), ("2", "spae"))
    ]
    behind(inner, store).ask([ask("a"), ask("a"), ask("b")], origins)
    assert inner.asked == [ask("a"), ask("b")]
    later = Provenance(task="t", sample="3", tokenizer="late", fingerprint="late")
    behind(inner, store).ask([ask("a"), ask("b")], [later, None])
    a, b = (request_key(inner.identity, ask(prompt)) for prompt in "ab")
    assert questions_on_record(store) == [(a, "1", "spae"), (a, "1", "vqgan"), (b, "2", "spae"), (a, "3", "late")]
    before = questions_on_record(store)
    behind(inner, store, "cache-only").ask([ask("b")], [later])
    assert questions_on_record(store) == before, "cache-only writes nothing"


def test_two_models_never_share_an_entry(store: ReplyCache) -> None:
    """Every field of the identity apart, same prompts, both ways round."""
    base = ScriptedBackend(SCRIPT).identity
    for field in type(base).model_fields:
        other = base.model_copy(update={field: "another"})
        for identity, text in ((base, "mine"), (other, "theirs")):
            store.put(identity, ask(field), Completion(choices=(Choice(text=text, finish="stop"),)))
        for identity, text in ((base, "mine"), (other, "theirs")):
            (answer,) = CachedBackend(never, identity, store, mode="cache-only").ask([ask(field)])
            assert isinstance(answer.reply, Completion) and answer.reply.text == text


def test_a_damaged_reply_ends_the_run_and_is_never_served(store: ReplyCache) -> None:
    inner = ScriptedBackend(SCRIPT)
    behind(inner, store).ask([ask("a"), ask("b")])
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute("update replies set reply = replace(reply, 'lion', 'lynx')")
    connection.close()
    with pytest.raises(CacheCorrupt, match="prune --bad"):
        behind(inner, store).ask([ask("a")])
    assert text_of(behind(inner, store, "refresh")) == "lion"
    assert text_of(behind(inner, store)) == "lion"
