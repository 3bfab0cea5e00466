"""What a server says of its models: `GET /models`, asked once before the first request."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS = 10.0
"""For the answer, at most; a server without one is asked all the same."""
# vLLM; OpenRouter, Together; Groq; LM Studio.
CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")
SHOWN = 5


@dataclass(frozen=True)
class ModelList:
    """The models that a server lists.

    Attributes:
        names: of all of them.
        contexts: name -> context length in tokens, of those whose length it states.
    """

    names: tuple[str, ...]
    contexts: Mapping[str, int]

    def missing(self, model: str) -> str:
        """What to tell of a model that is not in the list: "it lists 'a', 'b'"; empty if it is, or the list is."""
        if not self.names or model in self.names:
            return ""
        near = difflib.get_close_matches(model, self.names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        more = f" and {len(self.names) - SHOWN} more" if len(self.names) > SHOWN else ""
        return f"it lists {', '.join(map(repr, self.names[:SHOWN]))}{more}{hint}"


def read_models(content: bytes) -> ModelList | None:
    """The list in an answer's body; None if it holds none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    held = body.get("data") if isinstance(body, dict) else body
    if not isinstance(held, Sequence):
        return None
    models = [one for one in held if isinstance(one, dict) and isinstance(one.get("id"), str)]
    contexts = {one["id"]: length for one in models if (length := _context(one)) is not None}
    return ModelList(tuple(one["id"] for one in models), contexts)


def _context(model: Mapping[str, Any]) -> int | None:
    found = (model.get(name) for name in CONTEXT_FIELDS)
    return next((length for length in found if type(length) is int and length > 0), None)
