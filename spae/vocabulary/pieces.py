"""From the pieces of a text tokenizer to words: which pieces start a word, and its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spae.errors import InputError

# A vocabulary piece of GPT-2 style byte-level BPE that starts with a space shows it as this letter.
BPE_SPACE = "Ġ"
# The same of sentencepiece.
SENTENCEPIECE_SPACE = "▁"
WHOLE_WORD = re.compile("[a-z]{3,}")


def whole_words(pieces: Sequence[str]) -> list[int]:
    """Ids of the pieces that are a space and a whole lower-case word of three letters or more.

    Joined by single spaces after a space, such words split back into the same pieces, because byte-pair encoders split
    text before each space first and find each of these pieces whole.
    """
    return [i for i, piece in enumerate(pieces) if piece[:1] == BPE_SPACE and WHOLE_WORD.fullmatch(piece[1:])]


def words_of_pieces(pieces: Sequence[str]) -> dict[int, str]:
    """The pieces that start a word: id to the word, without its space.

    Pieces inside words, of incomplete characters, or with white space inside are left out. Each word has its first id.

    Args:
        pieces: by id, in the notation of byte-level BPE or sentencepiece.

    Raises:
        InputError: the pieces mark spaces in neither notation.
    """
    counts = {mark: sum(piece.startswith(mark) for piece in pieces) for mark in (BPE_SPACE, SENTENCEPIECE_SPACE)}
    mark = max(counts, key=lambda one: counts[one])
    if not counts[mark]:
        raise InputError(
            f"pieces must mark spaces by {BPE_SPACE} (byte-level BPE) or {SENTENCEPIECE_SPACE} (sentencepiece), "
            f"none of {len(pieces)} does: use the vocabulary of a causal language model"
        )
    found = {}
    for i, piece in enumerate(pieces):
        if piece.startswith(mark):
            word = _byte_level(piece) if mark == BPE_SPACE else piece.replace(SENTENCEPIECE_SPACE, " ")
            if word is not None:
                found[i] = word
    return behind_a_space(found)


def behind_a_space(texts: dict[int, str]) -> dict[int, str]:
    """The pieces, as plain text by id, that are a space and one word: the word, each once."""
    words: dict[str, int] = {}
    for i, text in texts.items():
        word = text[1:]
        if text.startswith(" ") and word and word.isprintable() and not any(letter.isspace() for letter in word):
            words.setdefault(word, i)
    return {i: word for word, i in words.items()}


def _byte_level(piece: str) -> str | None:
    """The text of a byte-level piece; None if its bytes are not whole characters."""
    try:
        return bytes(_BYTES[letter] for letter in piece).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 stands for itself, all others follow from U+0100 on, in order."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in shown}
    hidden = (byte for byte in range(0x100) if byte not in set(shown))
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


_BYTES = _byte_letters()
