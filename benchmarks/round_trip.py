"""Whether a SPAE string survives a language model's own text tokenizer.

Words are joined, appended to the `Input:` of a prompt, tokenized, detokenized and split. A vocabulary of whole words of
the same model always survives, one token per word (`tests/benchmarks/test_round_trip.py`). For
any other pair of model and vocabulary the rate is measured: a text tokenizer may fold case, drop marks or lack a
character.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.errors import UsageError
from llm_backends.protocol import Loads
from llm_backends.registry import open_backend
from spae.errors import InputError
from spae.vocabulary import open_vocabulary

LEAD = "Input:"
WORDS_A_STRING = 5
SHOWN = 5


class Words(Protocol):
    """A vocabulary, as `spae.vocabulary.LexicalVocabulary` is one."""

    @property
    def words(self) -> tuple[str, ...]:
        """All of them."""
        ...

    @property
    def join(self) -> str:
        """The text between two words."""
        ...

    def split(self, text: str) -> list[int]:
        """The ids of a text's words. Raises InputError for an unknown word."""
        ...


class TextModel(Protocol):
    """A language model's text tokenizer."""

    def pieces(self, text: str) -> list[int]:
        """Token ids of a text, without leading marks."""
        ...

    def join(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        ...


@dataclass(frozen=True)
class RoundTrip:
    """How well a vocabulary survives a text tokenizer.

    Attributes:
        strings: number of strings tried.
        round_trip_rate: fraction of them that came back with the same words, 0 to 1.
        tokens_per_word: mean; 1 where each word is one token.
        lost: the first that did not, each with what came back instead.
    """

    strings: int
    round_trip_rate: float
    tokens_per_word: float
    lost: tuple[tuple[str, str], ...]

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "strings": self.strings,
            "round_trip_rate": self.round_trip_rate,
            "tokens_per_word": self.tokens_per_word,
            "lost": [{"shown": shown, "came_back": back} for shown, back in self.lost],
        }


def round_trip(vocabulary: Words, text: TextModel, ids: Sequence[int]) -> tuple[str, bool, int]:
    """Tokenizes and detokenizes one string of words.

    Args:
        vocabulary: the words.
        text: the model's text tokenizer.
        ids: of the words in the string.

    Returns the string as it came back, whether it splits into the same words, and its number of tokens.
    """
    shown = f" {vocabulary.join.join(vocabulary.words[i] for i in ids)}"
    tokens = text.pieces(LEAD + shown)
    lead = text.join(text.pieces(LEAD))
    back = text.join(tokens)
    came = back[len(lead) :] if back.startswith(lead) else back
    try:
        same = came[:1] == " " and vocabulary.split(came[1:]) == list(ids)
    except InputError:
        same = False
    return came, same, len(tokens) - len(text.pieces(LEAD))


def measure(vocabulary: Words, text: TextModel, *, strings: int | None = None, seed: int = 0) -> RoundTrip:
    """Round trips of strings of five words, until every word of the vocabulary was in one.

    Args:
        vocabulary: the words, at least one.
        text: the model's text tokenizer.
        strings: their largest number; None for all.
        seed: of the words' order.
    """
    good, tokens, words, tried = 0, 0, 0, 0
    lost: list[tuple[str, str]] = []
    for ids in _strings(len(vocabulary.words), seed):
        if tried == strings:
            break
        back, same, count = round_trip(vocabulary, text, ids)
        tried, good, tokens, words = tried + 1, good + same, tokens + count, words + len(ids)
        if not same and len(lost) < SHOWN:
            lost.append((vocabulary.join.join(vocabulary.words[i] for i in ids), back))
    return RoundTrip(tried, good / tried, tokens / words, tuple(lost))


def measure_names(llm: str, vocabulary: str) -> RoundTrip:
    """`measure` by the names that the command line takes; loads a local model, to refuse what `run` refuses.

    Raises:
        UsageError: the model's text tokenizer is not on this machine.
        BackendError, SpaeError: a name is unknown, or what it names is not available or cannot be used.
    """
    model = open_backend(llm)
    text: TextModel | None = getattr(model, "text_tokenizer", None)
    if text is None:
        raise UsageError(f"a round trip needs the model's own text tokenizer, {llm} has none: pass a local --llm")
    if isinstance(model, Loads):
        model.load()
    return measure(open_vocabulary(vocabulary), text)


def _strings(size: int, seed: int) -> Iterator[list[int]]:
    order = list(range(size))
    random.Random(seed).shuffle(order)
    for begin in range(0, size, WORDS_A_STRING):
        yield order[begin : begin + WORDS_A_STRING]
