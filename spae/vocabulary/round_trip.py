"""Whether words written as text come back as the tokens they were."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from spae.errors import InputError

# A prompt stands before the words: without it, some tokenizers treat the first word of a text as no other.
BEFORE = "Input:"


def round_trip_rate(
    words: Sequence[str], tokens: Sequence[int], encode: Callable[[str], list[int]], seed: int = 0
) -> float:
    """The part of the words, in [0, 1], that the tokenizer finds again as their one token between other words.

    Every word is asked for once, behind another word and before one, both drawn from the vocabulary; it has come back
    when the text's ids begin with those of the text before it and go on with its token. Joined by single spaces.

    Args:
        words: V of them.
        tokens: the V ids they should come back as.
        encode: text to ids, without special tokens.

    Raises:
        InputError: there are no words.
    """
    if not words:
        raise InputError("a round trip needs words, got none")
    draw = random.Random(seed)
    found = 0
    for word, token in zip(words, tokens, strict=True):
        before, after = draw.choice(words), draw.choice(words)
        start = encode(f"{BEFORE} {before}")
        found += encode(f"{BEFORE} {before} {word} {after}")[: len(start) + 1] == [*start, token]
    return found / len(words)
