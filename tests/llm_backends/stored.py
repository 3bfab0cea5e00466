"""A small cache to damage, move and explain."""

from __future__ import annotations

from pathlib import Path

from llm_backends.cache.entry import Provenance
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.protocol import Choice, Completion, CompletionRequest, Identity, LikelihoodRequest, Likelihoods

IDENTITY = Identity(kind="k", model="m", revision="r", dtype="float32")
OTHER = IDENTITY.model_copy(update={"model": "other"})
SCORE = LikelihoodRequest(context="Input: lion\nOutput:", continuations=(" a", " b"))


def said(*texts: str) -> Completion:
    return Completion(choices=tuple(Choice(text=text, finish="stop") for text in texts))


def ask(i: int, **changes: object) -> CompletionRequest:
    fields = {"prompt": f"Input: number {i}\n### {' word' * 20}\nOutput:", "max_new_tokens": 7}
    return CompletionRequest.model_validate(fields | changes)


def asked(tokenizer: str, sample: str = "s-1") -> Provenance:
    return Provenance(task="t", sample=sample, tokenizer=tokenizer, fingerprint=f"sha of {tokenizer}")


def fill(path: Path, count: int = 12) -> ReplyCache:
    """Completions 0 to count - 1 (number 3 empty), one set of log-likelihoods and two samples; notes of spae."""
    cache = ReplyCache(path)
    pairs = [(ask(i), said("" if i == 3 else f" reply {i}")) for i in range(count)]
    cache.put_many(IDENTITY, pairs, [[asked("spae", f"s-{i}")] for i in range(count)])
    cache.put(IDENTITY, SCORE, Likelihoods(values=(-1.5, -0.1 - 0.2)))
    cache.put(OTHER, ask(0, n=2, temperature=1.0), said("one", "two"))
    return cache
