"""A server's own text tokenizer, over HTTP: vLLM and llama.cpp have it beside /v1, llama-cpp-python under /extras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from llm_backends.errors import BackendUnavailable

PATHS = ("tokenize", "extras/tokenize")
TEXT_FIELDS = ("prompt", "content", "text", "input")
"""Of vLLM, llama.cpp and llama-cpp-python: sent under all names, as each ignores the others'."""


class ServerTokenizer:
    """Tokenizes by asking the server.

    Args:
        post: sends a JSON body to a path beside /v1 and gives the answer's JSON; None where the path answers none.
        place: of the server, for messages.
        model: the server's name of the model.
    """

    def __init__(self, post: Callable[[str, Mapping[str, Any]], Any], place: str, model: str) -> None:
        self._post = post
        self._place = place
        self._model = model
        self._path: str | None = None
        self.pieces = lru_cache(maxsize=64)(self._pieces)
        """Token ids of a text, without leading special tokens. Raises BackendUnavailable: the server gives none."""

    def _pieces(self, text: str) -> list[int]:
        fields = dict.fromkeys(TEXT_FIELDS, text) | {"add_special_tokens": False, "add_special": False}
        for path in PATHS if self._path is None else (self._path,):
            answer = self._post(path, {"model": self._model} | fields)
            ids = answer.get("tokens") if isinstance(answer, Mapping) else None
            if isinstance(ids, list) and all(type(one) is int for one in ids):
                self._path = path
                return ids
        raise BackendUnavailable(self._none("tokenize"))

    def join(self, ids: Sequence[int]) -> str:
        """The text of tokens. Raises as `pieces`."""
        path = (self._path or PATHS[0]).replace("tokenize", "detokenize")
        answer = self._post(path, {"model": self._model, "tokens": list(ids)})
        found = [answer.get(name) for name in TEXT_FIELDS] if isinstance(answer, Mapping) else []
        text = next((one for one in found if isinstance(one, str)), None)
        if text is None:
            raise BackendUnavailable(self._none("detokenize"))
        return text

    def _none(self, what: str) -> str:
        return (
            f"a round trip needs the model's text tokenizer, {self._place} has no /{what} beside /v1: name a folder "
            "with the model's tokenizer.json by --llm-args tokenizer=FOLDER"
        )
