"""A store in front of scripted models, for tests."""

from __future__ import annotations

from llm_backends.cache.cached_backend import CachedBackend, CacheMode
from llm_backends.cache.jsonl import ReadOnlySource
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.protocol import Backend, CompletionRequest
from llm_backends.scripted.backend import Script

SCRIPT = Script(completions={"bad": "-"}, default="lion", default_likelihood=-1.0, context_length=9)


def ask(prompt: str, **options: object) -> CompletionRequest:
    return CompletionRequest.model_validate({"prompt": prompt, "max_new_tokens": 2, **options})


def behind(
    inner: Backend,
    store: ReplyCache | None,
    mode: CacheMode = "normal",
    sources: tuple[ReadOnlySource, ...] = (),
    chunk: int = 8,
) -> CachedBackend:
    return CachedBackend(lambda: inner, inner.identity, store, sources, mode, chunk)
