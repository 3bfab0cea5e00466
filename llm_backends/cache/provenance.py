"""What a reply was asked for: written beside an entry, never part of its key.

Two tokenizers may turn different images into the same words. Their prompts are then equal and share one reply; that
they do is only known because each notes here that it asked.
"""

from __future__ import annotations

from pydantic import Field

from spae.canonical import Frozen


class Provenance(Frozen):
    """One question behind a stored reply."""

    task: str = Field(description="name of the task")
    sample: str = Field(description="id of the sample, or episode, in the task's manifest")
    tokenizer: str = Field(description="name of the tokenizer whose words are in the prompt")
    fingerprint: str = Field(description="sha256 of that tokenizer: configuration, weights and vocabulary")
