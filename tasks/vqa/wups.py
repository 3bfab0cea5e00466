"""WUPS: how close an answer is to the right one in WordNet (Malinowski and Fritz, arXiv 1410.0210, section 4).

The Wu-Palmer similarity of two nouns is twice the depth of their deepest common ancestor over the sum of their depths;
of two words, the best over their senses. Below a threshold it counts a tenth. COCO-QA reports WUPS at 0.9 and at 0.0.

    WUP(cat, dog) = 0.857    WUPS@0.9: 0.086    WUPS@0.0: 0.857

Equal words score 1; a word that is no noun of WordNet scores 0. WordNet is not part of this project: its files are read
by NLTK, which the published WUPS script calls, from the folder $SPAE_WORDNET (dict/ of its download, or corpora/wordnet
of NLTK's). Versions of WordNet give different numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from spae.metrics.protocol import MetricFacts
from tasks.protocol import Answered, CorpusScore

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

THRESHOLDS = (0.9, 0.0)
BELOW = 0.1
METRICS = tuple(
    MetricFacts(
        name=f"WUPS@{threshold:.1f}",
        unit="fraction of 1",
        higher_is_better=True,
        protocol=f"Wu-Palmer similarity in the user's WordNet, by NLTK; below {threshold} it counts a tenth",
        low=0.0,
        high=1.0,
    )
    for threshold in THRESHOLDS
)
VARIABLE = "SPAE_WORDNET"
NO_WORDNET = f"it needs WordNet: set {VARIABLE} to the folder with its files (data.noun, index.noun, ...)"


class WordNet:
    """Similarity of two words as nouns of WordNet.

    Args:
        home: the folder with WordNet's files.

    Raises:
        OSError, ValueError: a file is missing, or is not in the database's format.
    """

    def __init__(self, home: Path) -> None:
        self._reader = _reader(home)
        self.similarity = lru_cache(maxsize=65536)(self._similarity)

    def _similarity(self, first: str, second: str) -> float:
        """The best over the words' senses, 0 to 1; case is ignored."""
        first, second = ("_".join(word.casefold().split()) for word in (first, second))
        if first == second:
            return 1.0
        senses = (self._reader.synsets(word, "n") for word in (first, second))
        return max((one.wup_similarity(other) or 0.0 for one, other in product(*senses)), default=0.0)


def wups(similarity: float, threshold: float) -> float:
    """The score of one answer from its similarity to the right one."""
    return similarity if similarity >= threshold else BELOW * similarity


def wups_scores(groups: Sequence[Sequence[Answered]]) -> list[list[CorpusScore]]:
    """WUPS at 0.9 and at 0.0 of each group; of several right answers the closest counts."""
    wordnet, reason = open_wordnet()
    if wordnet is None:
        return [[CorpusScore(metric.name, None, unavailable=reason) for metric in METRICS] for _ in groups]
    found = []
    for group in groups:
        best = [max(wordnet.similarity(one.prediction, right) for right in one.references) for one in group]
        scores = []
        for metric, threshold in zip(METRICS, THRESHOLDS, strict=True):
            each = tuple(wups(one, threshold) for one in best)
            scores.append(CorpusScore(metric.name, sum(each) / len(each), each))
        found.append(scores)
    return found


def open_wordnet() -> tuple[WordNet | None, str]:
    """WordNet, or None and the reason."""
    home = os.environ.get(VARIABLE)
    if not home:
        return None, NO_WORDNET
    try:
        return WordNet(Path(home)), ""
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        return None, f"{VARIABLE} must be a folder with WordNet's files, {home} is none ({reason}): set it to one"


def _reader(home: Path) -> WordNetCorpusReader:
    """NLTK's reader of a folder, checked on one entry of the index."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError  # half a second

    class Reader(WordNetCorpusReader):
        """English only: without NLTK's own data, which its map to other languages would look for."""

        def map_wn(self, version: str = "wordnet") -> None:
            return

    missing = [name for name in Reader._FILES if not (home / name).is_file()]
    if missing:
        raise ValueError(f"missing {', '.join(missing[:3])}")
    try:
        reader = Reader(str(home), None)
        nouns = reader.all_lemma_names("n")
        first = next(iter(nouns), None)
        if first is None or not reader.synsets(first, "n"):
            raise ValueError("index.noun has no nouns")
    except (WordNetError, StopIteration, AssertionError, KeyError, IndexError) as error:
        raise ValueError(f"not in WordNet's format: {type(error).__name__} {error}") from error
    return reader
