"""Plain text to token ids and back: no chat template, no markup.

`tokenizer.json` is read with the `tokenizers` package, so counting tokens imports no torch. Special tokens that the
tokenizer adds before a text (a Llama's `<s>`) are kept, those it adds after are dropped; SmolLM2's adds none. Markup
such as `<|im_end|>` inside a prompt is encoded as plain characters: a class name in a user's data must not end a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from llm_backends.errors import BackendInputError, BackendUnavailable
from spae.regular_file import MOST_INDEX, read_json_text


@dataclass(frozen=True)
class Split:
    """A context and its continuations, split into tokens at one position."""

    context: list[int]
    tails: list[list[int]]
    """Per continuation, the tokens to be scored after `context`; none is empty."""


class PlainTokenizer:
    """Encodes prompts, decodes replies and splits continuations from their context.

    Args:
        tokenizer: of the model; its padding and truncation are switched off.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        marked, bare = tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids
        start = next((i for i in range(len(marked)) if marked[i : i + len(bare)] == bare), 0)
        self._lead: list[int] = marked[:start]

    @classmethod
    def read(cls, folder: Path) -> PlainTokenizer:
        """Reads `folder/tokenizer.json`.

        Raises:
            BackendUnavailable: there is no such file, or it cannot be read.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise BackendUnavailable(
                f"a model folder needs tokenizer.json, {folder} has none: save it with a fast tokenizer "
                "(AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER))"
            )
        try:
            # Unlike from_file, this raises a named exception.
            return cls(Tokenizer.from_buffer(read_json_text(path, MOST_INDEX)))
        except (OSError, ValueError) as error:
            raise BackendUnavailable(f"{path} is not a tokenizer this program can read: {error}") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, with the tokenizer's leading special tokens."""
        return self._lead + self.pieces(text)

    def checked(self, ids: Sequence[int]) -> list[int]:
        """A prompt given as token ids, unchanged: no leading special tokens are added.

        Raises:
            BackendInputError: the tokenizer has no such token.
        """
        for i in ids:
            if i < 0 or self._tokenizer.id_to_token(i) is None:
                raise BackendInputError(
                    f"a prompt's token ids must be of the model's own tokenizer, got {i}, which it does not have: "
                    "encode the prompt with it"
                )
        return list(ids)

    def pieces(self, text: str) -> list[int]:
        """Token ids of a text, without leading special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def join(self, ids: Sequence[int]) -> str:
        """The text of tokens at the beginning of a text."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def decode_after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """Text of `new` as it reads after `prompt`.

        Decoded together with the prompt's last tokens, because some tokenizers drop the space of a text's first word.
        """
        tail = list(prompt[-4:])
        base = self._tokenizer.decode(tail, skip_special_tokens=False)
        whole = self._tokenizer.decode(tail + list(new), skip_special_tokens=False)
        if whole.startswith(base):
            return whole[len(base) :]
        return str(self._tokenizer.decode(list(new), skip_special_tokens=False))

    def split(self, context: str, continuations: Sequence[str]) -> Split:
        """Encodes each `context + continuation` as one text and splits all of them at the same token.

        The split is after the longest common run of the context's own tokens. If no token crosses the border, that
        is the context's end. If one does ("A: " + "lion" has the token " lion"), the split moves before it, as in
        lm-evaluation-harness, for all continuations of the request, so that their sums stay comparable.

        Raises:
            BackendInputError: a continuation is empty, or no token of the context is left to condition on.
        """
        return split_after(self.encode, context, continuations)


def split_after(encode: Callable[[str], list[int]], context: str, continuations: Sequence[str]) -> Split:
    """`PlainTokenizer.split` for any encoder of prompts. Raises as it does."""
    if not all(continuations):
        raise BackendInputError("a continuation to score needs at least one character, got '': leave it out")
    own = encode(context)
    wholes = [encode(context + continuation) for continuation in continuations]
    cut = min(common_prefix(own, whole) for whole in wholes)
    # A continuation that adds no token of its own (its characters are normalised away) still has one to score.
    cut = min(cut, min(len(whole) for whole in wholes) - 1)
    if cut < 1:
        raise BackendInputError(
            f"a log-likelihood needs a context of at least one whole token, got {context[:40]!r}: "
            "put some text before the continuation"
        )
    return Split(wholes[0][:cut], [whole[cut:] for whole in wholes])


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    shortest = min(len(a), len(b))
    for i in range(shortest):
        if a[i] != b[i]:
            return i
    return shortest
