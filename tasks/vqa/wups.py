"""WUPS: how near an answer is to the right one in WordNet (Malinowski and Fritz, arXiv 1410.0210, section 4).

The Wu-Palmer similarity of two nouns is twice the depth of their deepest common ancestor over the sum of their depths;
of two words, the best over their senses. Below a threshold it counts a tenth. COCO-QA gives WUPS at 0.9 and at 0.0.

    WUP(cat, dog) = 0.857    WUPS@0.9: 0.086    WUPS@0.0: 0.857

Where both words are equal the score is 1; where one of them is no noun of WordNet, 0. WordNet is not part of this
project: its files are read from the folder $SPAE_WORDNET (dict/ of its download, or corpora/wordnet of NLTK's).
Versions of WordNet give different numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tasks.protocol import Answered, CorpusScore
from tasks.vqa.wordnet import FILES, WordNet

THRESHOLDS = (0.9, 0.0)
BELOW = 0.1
VARIABLE = "SPAE_WORDNET"
NO_WORDNET = f"it needs WordNet: set {VARIABLE} to the folder with its files ({', '.join(FILES)})"


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
    home = os.environ.get(VARIABLE)
    if not home:
        return None, NO_WORDNET
    try:
        return WordNet(Path(home)), ""
    except (OSError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        return None, f"{VARIABLE} must be a folder with {', '.join(FILES)}, {home} is none ({reason}): set it to one"


def _name(threshold: float) -> str:
    return f"WUPS@{threshold:.1f}"
