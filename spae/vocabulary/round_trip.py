"""Whether the text of words is tokenized back into the same tokens."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from spae.errors import InputError

# Some tokenizers treat the first word of a text specially: a prompt comes before the words.
BEFORE = "Input:"


def round_trip_rate(
    words: Sequence[str], tokens: Sequence[int], encode: Callable[[str], list[int]], seed: int = 0
) -> float:
    """The part of the words, in [0, 1], that the text tokenizer splits into their own token between other words.

    Every word is tested once, between two words sampled from the vocabulary, joined by single spaces. It passes if the
    ids of the text start with those of the text before it, followed by its token.

    Args:
        words: V of them.
        tokens: the V ids expected.
        encode: text to ids, without special tokens.

    Raises:
        InputError: no words.
    """
    if not words:
        raise InputError("a round trip needs words, got none")
    rng = random.Random(seed)
    found = 0
    for word, token in zip(words, tokens, strict=True):
        before, after = rng.choice(words), rng.choice(words)
        start = encode(f"{BEFORE} {before}")
        found += encode(f"{BEFORE} {before} {word} {after}")[: len(start) + 1] == [*start, token]
    return found / len(words)
