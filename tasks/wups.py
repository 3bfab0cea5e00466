"""WUPS: how near an answer is to the right one in WordNet (Malinowski and Fritz, arXiv 1410.0210, section 4).

The Wu-Palmer similarity of two nouns is twice the depth of their deepest common ancestor over the sum of their depths;
of two words, the best over their senses. Below a threshold it counts a tenth. COCO-QA gives WUPS at 0.9 and at 0.0.

    WUP(cat, dog) = 0.857    WUPS@0.9: 0.086    WUPS@0.0: 0.857

Where both words are equal the score is 1; where one of them is no noun of WordNet, 0. WordNet is not part of this
project: its files (data.noun, index.noun, noun.exc, lexnames, ...) are read from the folder $SPAE_WORDNET, else from
where `nltk.download("wordnet")` puts them. Versions of WordNet give different numbers.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.protocol import Answered, CorpusScore

THRESHOLDS = (0.9, 0.0)
BELOW = 0.1
VARIABLE = "SPAE_WORDNET"
NO_NLTK = "it needs nltk: pip install 'spae-bench[wordnet]'"
NO_WORDNET = (
    f"it needs WordNet: set {VARIABLE} to the folder with its files (data.noun, ...), or download nltk's wordnet"
)


class WordNet:
    """Nouns and how near they are to each other.

    Args:
        reader: an `nltk.corpus.reader.WordNetCorpusReader`.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.similarity = lru_cache(maxsize=65536)(self._similarity)

    def _similarity(self, first: str, second: str) -> float:
        """Wu-Palmer, 0 to 1; 1 for equal words, 0 where one is no noun. Case does not count."""
        first, second = first.casefold().strip(), second.casefold().strip()
        if first == second:
            return 1.0
        senses = [self._reader.synsets(word.replace(" ", "_"), pos="n") for word in (first, second)]
        return max((one.wup_similarity(other) or 0.0 for one in senses[0] for other in senses[1]), default=0.0)


def wups(similarity: float, threshold: float) -> float:
    """The score of one answer from its similarity to the right one."""
    return similarity if similarity >= threshold else BELOW * similarity


def wups_scores(groups: Sequence[Sequence[Answered]]) -> list[list[CorpusScore]]:
    """WUPS at 0.9 and at 0.0 of each group; of several right answers the nearest counts."""
    wordnet, reason = open_wordnet()
    if wordnet is None:
        return [[CorpusScore(_name(threshold), None, unavailable=reason) for threshold in THRESHOLDS] for _ in groups]
    found = []
    for group in groups:
        best = [max(wordnet.similarity(one.prediction, right) for right in one.references) for one in group]
        scores = []
        for threshold in THRESHOLDS:
            each = tuple(wups(one, threshold) for one in best)
            scores.append(CorpusScore(_name(threshold), sum(each) / len(each), each))
        found.append(scores)
    return found


def open_wordnet() -> tuple[WordNet | None, str]:
    """WordNet, or None and why there is none."""
    try:
        from nltk.corpus.reader import WordNetCorpusReader
        from nltk.data import find
    except ImportError:
        return None, NO_NLTK
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        return None, f"{VARIABLE} must be a folder, {named} is none: set it to WordNet's"
    try:
        root = named or find("corpora/wordnet")
    except LookupError:
        return None, NO_WORDNET
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its other languages are not there
            return WordNet(WordNetCorpusReader(root, None)), ""
    except (OSError, ValueError, LookupError) as error:
        return None, f"WordNet's files in {root} do not read ({' '.join(str(error).split())[:200]}): restore them"


def _name(threshold: float) -> str:
    return f"WUPS@{threshold:.1f}"
