"""The nouns of WordNet, from its own database files (wndb(5WN)), and the Wu-Palmer similarity of two of them.

    data.noun    02124272 05 n 02 cat 0 true_cat 0 020 @ 02123649 n 0000 ... | feline mammal usually having thick ...
    index.noun   cat n 8 4 @ ~ #m %p 8 1 02124272 10172934 ...
    noun.exc     oxen ox

Similarity is that of NLTK, which the published WUPS script calls: depths are counted from the top, the deepest common
ancestor is the one whose nearest way to the top is longest, and its own depth is its longest way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

FILES = ("data.noun", "index.noun", "noun.exc")
# Endings of plurals, tried in this order.
ENDINGS = (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
           ("men", "man"), ("ies", "y"))  # fmt: skip


class WordNet:
    """Nouns and how near they are to each other. A synset (one sense) is known by its byte offset in data.noun.

    Args:
        home: the folder with `FILES`.

    Raises:
        OSError: a file is missing.
        ValueError: one is not in the database's form.
    """

    def __init__(self, home: Path) -> None:
        self._above: dict[int, tuple[int, ...]] = {}
        self._first: dict[int, str] = {}
        for fields in _lines(home / FILES[0]):
            offset, count = int(fields[0]), int(fields[3], 16)
            pointers = fields[5 + 2 * count :]
            self._first[offset] = fields[4].lower()
            self._above[offset] = tuple(
                int(pointers[i + 1]) for i in range(0, 4 * int(fields[4 + 2 * count]), 4) if pointers[i] in ("@", "@i")
            )
        self._senses: dict[str, tuple[int, ...]] = {}
        for fields in _lines(home / FILES[1]):
            self._senses[fields[0]] = tuple(int(one) for one in fields[-int(fields[2]) :])
        self._irregular: dict[str, list[str]] = {}
        for line in (home / FILES[2]).read_text(encoding="utf-8").splitlines():
            plural, *singular = line.split()
            self._irregular[plural] = singular
        if not self._senses or not all(one in self._above for found in self._senses.values() for one in found):
            raise ValueError(f"{FILES[1]} must name synsets of {FILES[0]}, it names none or others")
        self.similarity = lru_cache(maxsize=65536)(self._similarity)

    def _similarity(self, first: str, second: str) -> float:
        """Of two words the best over their senses, 0 to 1; 1 for equal words, 0 where one is no noun. Case is none."""
        first, second = ("_".join(word.casefold().split()) for word in (first, second))
        if first == second:
            return 1.0
        pairs = ((one, other) for one in self.senses(first) for other in self.senses(second))
        return max((self.wu_palmer(one, other) for one, other in pairs), default=0.0)

    def senses(self, word: str) -> tuple[int, ...]:
        """Synsets of a word, lower case, underscores for spaces; of the singular where it is a plural."""
        if word in self._irregular:
            return self._of([word, *self._irregular[word]])
        forms = _singulars([word])
        found = self._of([word, *forms])
        while not found and forms:
            forms = _singulars(forms)
            found = self._of(forms)
        return found

    def wu_palmer(self, first: int, second: int) -> float:
        """Of two synsets; 0 where nothing is above both."""
        if first == second:
            return 1.0
        ways = [self._ways(one) for one in (first, second)]
        common = ways[0].keys() & ways[1].keys()
        if not common:
            return 0.0
        deepest = max(self._depths(one)[0] for one in common)
        tied = sorted((one for one in common if self._depths(one)[0] == deepest), key=self._name)
        ancestor = first if first in tied else tied[0]
        depth = self._depths(ancestor)[1] + 1
        beyond = self._ways(ancestor)
        steps = [min(way[one] + beyond[one] for one in way.keys() & beyond.keys()) for way in ways]
        return 2 * depth / (2 * depth + sum(steps))

    def _of(self, forms: list[str]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(one for form in forms for one in self._senses.get(form, ())))

    def _ways(self, synset: int) -> dict[int, int]:
        """Everything above a synset and itself -> the fewest steps up to it."""
        found = {synset: 0}
        level = [synset]
        while level:
            level = list(dict.fromkeys(up for one in level for up in self._above[one] if up not in found))
            steps = max(found.values()) + 1
            found.update(dict.fromkeys(level, steps))
        return found

    @lru_cache(maxsize=65536)  # noqa: B019 (one WordNet lives as long as the program)
    def _depths(self, synset: int) -> tuple[int, int]:
        """Steps to the top by the shortest way and by the longest."""
        above = [self._depths(up) for up in self._above[synset]]
        return (1 + min(d[0] for d in above), 1 + max(d[1] for d in above)) if above else (0, 0)

    def _name(self, synset: int) -> str:
        """Its first word and which sense of it: 'cat.n.01'."""
        word = self._first[synset]
        senses = self._senses.get(word, ())
        return f"{word}.n.{senses.index(synset) + 1 if synset in senses else 0:02d}"


def _lines(path: Path) -> Iterator[list[str]]:
    """Fields of each line up to its gloss; the licence at the top, indented, is passed over."""
    number = 0
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line[0] != " ":
                fields = line.partition("|")[0].split()
                if len(fields) < 6:
                    raise ValueError(f"{path.name} line {number} has {len(fields)} fields, WordNet's have six or more")
                yield fields


def _singulars(forms: list[str]) -> list[str]:
    return [form[: -len(old)] + new for form in forms for old, new in ENDINGS if form.endswith(old)]
