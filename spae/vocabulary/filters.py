"""Which words of a vocabulary become T: frequent ones, whole ones, of chosen scripts, and none that offend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spae.errors import InputError

BLOCK_LIST = Path(__file__).with_name("blocked_words.txt")


def read_block_list(path: Path) -> frozenset[str]:
    """Words to leave out: one a line, whatever their case; empty lines and lines that start with # are skipped.

    Raises:
        InputError: there is no such text file.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"a block list is a text file with a word a line, {path} cannot be read: {error}") from error
    return frozenset(line.strip().casefold() for line in lines if line.strip() and not line.startswith("#"))


def blocked_words() -> frozenset[str]:
    """The list that comes with this package: English swear words, slurs and sexual terms (its head names the source).

    It is short and of one language, and knows words only as they stand. For anything shown to the public, or for other
    languages, bring a longer one.
    """
    return read_block_list(BLOCK_LIST)


@dataclass(frozen=True)
class WordFilter:
    """What of a vocabulary is kept.

    Attributes:
        most_frequent: at most so many words, the first by id after all else is left out; None keeps all.
        whole_words: letters alone, lower case where the script has cases. Without it, all that starts behind a space:
            names, numbers, signs, beginnings of words.
        least_letters: of a whole word. Scripts that write a word in one letter, such as Han, want 1.
        scripts: Unicode scripts ("Latin", "Cyrillic", "Han"): each letter of a word must be of one of them. None: any.
        blocked: words to leave out, in lower case (`casefold`).

    Raises:
        InputError: a number below 1 or a script that Unicode does not have.
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
        """The token ids that stay, ascending.

        Args:
            words: by token id, the most frequent first.

        Raises:
            InputError: none is left.
        """
        import regex

        scripts = _letters_of(self.scripts)
        # Lower case, letters of scripts without case, and the marks that some of them are written with.
        whole = regex.compile(rf"(?:[\p{{Ll}}\p{{Lo}}]\p{{M}}*){{{self.least_letters},}}")
        kept = [
            i
            for i, word in sorted(words.items())
            if scripts.fullmatch(word)
            and (not self.whole_words or whole.fullmatch(word))
            and word.casefold() not in self.blocked
        ][: self.most_frequent]
        if not kept:
            raise InputError(f"no word is left of {len(words)}: ask for less than {self.describe()}")
        return kept

    def describe(self) -> dict[str, object]:
        """As a vocabulary's file records it; the blocked words by their number and hash."""
        return {
            "most_frequent": self.most_frequent,
            "whole_words": self.whole_words,
            "least_letters": self.least_letters,
            "scripts": None if self.scripts is None else list(self.scripts),
            "blocked_words": len(self.blocked),
            "blocked_sha256": hashlib.sha256("\n".join(sorted(self.blocked)).encode()).hexdigest(),
        }


def _letters_of(scripts: Iterable[str] | None) -> Any:
    """Matches text whose letters are all of these scripts; other signs pass."""
    import regex

    if scripts is None:
        return regex.compile(r".*", regex.DOTALL)
    try:
        # Script_Extensions, so that a letter that several scripts share counts for each of them.
        named = "".join(rf"\p{{Script_Extensions={script}}}" for script in scripts)
        return regex.compile(rf"(?:[^\p{{L}}\p{{M}}]|[{named}]|\p{{M}})*")
    except regex.error as error:
        raise InputError(f'scripts are named as Unicode names them ("Latin"), got {scripts!r}') from error
