"""The options of `run` that concern a server, from text to one value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from llm_backends.registry import find_backend


def server_options(
    llm: str,
    *,
    base_url: str | None = None,
    api: str | None = None,
    key_env: str | None = None,
    key_file: Path | None = None,
    concurrency: int | None = None,
    timeout: float | None = None,
    attempts: int | None = None,
    budget: str | None = None,
    price: str | None = None,
    llm_tokenizer: Path | None = None,
    echo_logprobs: bool = False,
    context_length: int | None = None,
) -> dict[str, str] | None:
    """What was asked for, or None for a model that is no server and was given no such option.

    Args:
        llm: as on the command line.
        context_length: also an option of local models, so it alone makes nothing a server.

    The others are as on the command line, and None (or False) where they were left out. Without `base_url`, the
    variable OPENAI_BASE_URL is looked at, as OpenAI's own client does.

    Raises:
        UsageError: --api is none of its values.
        BackendInputError: any other value is wrong, or the options do not go together.
    """
    if api not in (None, "auto", "completions", "chat"):
        raise UsageError(f"--api is completions, chat or auto, got {api!r}")
    if not find_backend(llm)[0].server:
        given: dict[str, Any] = {
            "--base-url": base_url,
            "--api": api,
            "--key-env": key_env,
            "--key-file": key_file,
            "--concurrency": concurrency,
            "--timeout": timeout,
            "--attempts": attempts,
            "--budget": budget,
            "--price": price,
            "--llm-tokenizer": llm_tokenizer,
            "--echo-logprobs": echo_logprobs or None,
        }
        named = ", ".join(name for name, value in given.items() if value is not None)
        if named:
            raise UsageError(f"{named} concern a server, --llm openai:MODEL, got --llm {llm}: leave them out")
        return None
    given = {
        "base_url": base_url,
        "api": api,
        "key_env": key_env,
        "key_file": key_file,
        "concurrency": concurrency,
        "timeout": timeout,
        "max_attempts": attempts,
        "budget": budget,
        "price": price,
        "tokenizer": llm_tokenizer,
        "echo_logprobs": echo_logprobs or None,
    }
    return {name: str(value) for name, value in given.items() if value is not None}
