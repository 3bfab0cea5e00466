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
import warnings
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from spae.canonical import folded
from spae.metrics.wups import WUPS_METRICS, WUPS_THRESHOLDS, wups
from tasks.protocol import Answered, CorpusScore

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import Synset, WordNetCorpusReader

VARIABLE = "SPAE_WORDNET"
NO_WORDNET = f"it needs WordNet: set {VARIABLE} to the folder with its files (data.noun, index.noun, ...)"


class WordNet:
    """Similarity of two words as nouns of WordNet. To be closed: NLTK's reader keeps files open.

    Args:
        home: the folder with WordNet's files.

    Raises:
        OSError, ValueError: a file is missing, or is not in the database's format.
    """

    def __init__(self, home: Path) -> None:
        self._reader = _reader(home)
        self.similarity = lru_cache(maxsize=65536)(self._similarity)
        try:
            first = next(iter(self._reader.all_lemma_names("n")), None)
            if first is None or not self._senses(first):
                raise ValueError("index.noun must name synsets of data.noun, it names none or others")
        except ValueError:
            self.close()
            raise

    def _similarity(self, first: str, second: str) -> float:
        """The best over the words' senses, 0 to 1; case is ignored."""
        first, second = ("_".join(folded(word).split()) for word in (first, second))
        if first == second:
            return 1.0
        pairs = product(self._senses(first), self._senses(second))
        return max((one.wup_similarity(other) or 0.0 for one, other in pairs), default=0.0)

    def _senses(self, word: str) -> list[Synset]:
        """Raises ValueError where a line of data.noun cannot be read."""
        from nltk.corpus.reader.wordnet import WordNetError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # NLTK warns of a synset that is not there, and gives None
                return [synset for synset in self._reader.synsets(word, "n") if synset is not None]
        except (WordNetError, AssertionError, LookupError, StopIteration) as error:
            raise ValueError(f"data.noun is not in WordNet's format: {type(error).__name__} {error}") from error

    def close(self) -> None:
        """Closes the files."""
        for stream in self._reader._data_file_map.values():
            stream.close()


def wups_scores(groups: Sequence[Sequence[Answered]]) -> list[list[CorpusScore]]:
    """WUPS at 0.9 and at 0.0 of each group; of several right answers the closest counts."""
    wordnet, reason = open_wordnet()
    if wordnet is None:
        return [[CorpusScore(metric.name, None, unavailable=reason) for metric in WUPS_METRICS] for _ in groups]
    with closing(wordnet):
        return [_group_scores(wordnet, group) for group in groups]


def _group_scores(wordnet: WordNet, group: Sequence[Answered]) -> list[CorpusScore]:
    best = [max(wordnet.similarity(one.prediction, right) for right in one.references) for one in group]
    scores = []
    for metric, threshold in zip(WUPS_METRICS, WUPS_THRESHOLDS, strict=True):
        each = tuple(wups(one, threshold) for one in best)
        scores.append(CorpusScore(metric.name, sum(each) / len(each), each))
    return scores


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
    import nltk.data  # half a second
    from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError

    # English only: without NLTK's own data, which its map to other languages would look for.
    english = type("English", (WordNetCorpusReader,), {"map_wn": lambda self, version="wordnet": None})
    if str(home) not in nltk.data.path:
        nltk.data.path.append(str(home))  # NLTK refuses to read anywhere else
    try:
        return english(str(home), omw_reader=())  # None would warn that other languages are missing
    except (WordNetError, AssertionError, LookupError, StopIteration) as error:
        raise ValueError(f"not in WordNet's format: {type(error).__name__} {error}") from error
