"""Which words of a vocabulary become T: frequent, whole, of chosen scripts, and not offensive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spae.errors import InputError
from spae.regular_file import MOST_CONFIG, read_text

BLOCK_LIST = Path(__file__).with_name("blocked_words.txt")


def read_block_list(path: Path) -> frozenset[str]:
    """Words to leave out, one a line, case ignored; empty lines and lines that start with # are skipped.

    Raises:
        InputError: the file cannot be read as text.
    """
    try:
        lines = read_text(path, MOST_CONFIG).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"a block list is a text file with a word a line, {path} cannot be read: {error}") from error
    return frozenset(line.strip().casefold() for line in lines if line.strip() and not line.startswith("#"))


def blocked_words() -> frozenset[str]:
    """The packaged list: English swear words, slurs and sexual terms (the file's head names the source).

    It is short, of one language, and matches whole words only. For public use or other languages, bring a longer list.
    """
    return read_block_list(BLOCK_LIST)


@dataclass(frozen=True)
class WordFilter:
    """Which words of a vocabulary are kept.

    Attributes:
        most_frequent: how many words, the first by id after the other filters; None keeps all.
        whole_words: letters only, lower case if the script has cases. Without it, everything that follows a space:
            names, numbers, signs, beginnings of words.
        least_letters: of a whole word. Scripts with one-letter words, such as Han, need 1.
        scripts: Unicode scripts ("Latin", "Cyrillic", "Han"): each letter of a word must be of one of them. None: any.
        blocked: words to leave out, casefolded.

    Raises:
        InputError: a number below 1 or a script that Unicode lacks.
    """

    most_frequent: int | None = None
    whole_words: bool = True
    least_letters: int = 3
    scripts: tuple[str, ...] | None = ("Latin",)
    blocked: frozenset[str] = field(default_factory=blocked_words, repr=False)

    def __post_init__(self) -> None:
        for name in ("most_frequent", "least_letters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be 1 or more, got {value}")
        if self.scripts == ():
            raise InputError("scripts must name one or more, or be None for any, got none")
        _letters_of(self.scripts)

    def keep(self, words: Mapping[int, str]) -> list[int]:
        """The token ids that are kept, ascending.

        Args:
            words: by token id, the most frequent first.

        Raises:
            InputError: no word is left.
        """
        import regex

        scripts = _letters_of(self.scripts)
        # Lower case letters, letters of scripts without case, and combining marks.
        whole = regex.compile(rf"(?:[\p{{Ll}}\p{{Lo}}]\p{{M}}*){{{self.least_letters},}}")
        kept = [
            i
            for i, word in sorted(words.items())
            if scripts.fullmatch(word)
            and (not self.whole_words or whole.fullmatch(word))
            and word.casefold() not in self.blocked
        ][: self.most_frequent]
        if not kept:
            raise InputError(f"no word is left of {len(words)}: relax the filter {self.describe()}")
        return kept

    def describe(self) -> dict[str, object]:
        """For a vocabulary's file; the blocked words by their number and hash."""
        return {
            "most_frequent": self.most_frequent,
            "whole_words": self.whole_words,
            "least_letters": self.least_letters,
            "scripts": None if self.scripts is None else list(self.scripts),
            "blocked_words": len(self.blocked),
            "blocked_sha256": hashlib.sha256("\n".join(sorted(self.blocked)).encode()).hexdigest(),
        }


def _letters_of(scripts: Iterable[str] | None) -> Any:
    """A pattern of text whose letters are all of these scripts; other characters pass."""
    import regex

    if scripts is None:
        return regex.compile(r".*", regex.DOTALL)
    try:
        # Script_Extensions: a letter shared by several scripts counts for each of them.
        named = "".join(rf"\p{{Script_Extensions={script}}}" for script in scripts)
        return regex.compile(rf"(?:[^\p{{L}}\p{{M}}]|[{named}]|\p{{M}})*")
    except regex.error as error:
        raise InputError(f'scripts are named as Unicode names them ("Latin"), got {scripts!r}') from error
