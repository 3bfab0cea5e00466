"""The metrics of COCO captions: BLEU-1 to BLEU-4, METEOR, ROUGE-L, CIDEr-D and SPICE (arXiv 1504.00325).

Computed by the official package, `pycocoevalcap`, on words of `tasks.captioning.caption_words` instead of its Java
tokenizer's. METEOR and SPICE are Java programs: where they cannot run they are unavailable, with the reason.

Each is a fraction of 1, but CIDEr-D of 10. CIDEr-D weighs words by how many of the corpus's images have them in their
references: of one image alone it would be 0 whatever the caption, and is unavailable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from tasks.captioning.caption_words import caption_words
from tasks.protocol import Answered, CorpusScore

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D", "SPICE")
NO_JAVA = "it is a Java program, and there is no `java` on this machine: install Java 8 or newer"
NO_MODELS = (
    "it needs the models of Stanford CoreNLP 3.6.0, which are not installed: run "
    "`python -m pycocoevalcap.spice.get_stanford_models` in the package's folder spice/ once"
)

Texts = dict[int, list[str]]


def rouge_l(caption: str, references: Sequence[str]) -> float:
    """ROUGE-L of one caption, 0 to 1; the corpus's is the mean."""
    return float(Rouge().calc_score([_words(caption)], [_words(one) for one in references]))


def caption_scores(groups: Sequence[Sequence[Answered]]) -> list[list[CorpusScore]]:
    """All metrics of `NAMES`, in that order, for each group of captions; a group is a corpus, and not empty."""
    texts = [_texts(group) for group in groups]
    meteor = _meteor(texts)
    spice = _spice(texts)
    return [
        [*_bleu(*one), meteor[i], _mean("ROUGE-L", Rouge(), *one), _cider(*one), spice[i]]
        for i, one in enumerate(texts)
    ]


def _words(text: str) -> str:
    return " ".join(caption_words(text))


def _texts(group: Sequence[Answered]) -> tuple[Texts, Texts]:
    """References and captions as the official package takes them: number of the sample -> texts."""
    references = {i: [_words(one) for one in pair.references] for i, pair in enumerate(group)}
    return references, {i: [_words(pair.prediction)] for i, pair in enumerate(group)}


def _bleu(references: Texts, captions: Texts) -> list[CorpusScore]:
    values, _ = Bleu(4).compute_score(references, captions, verbose=0)
    return [CorpusScore(name, float(value)) for name, value in zip(NAMES, values, strict=False)]


def _mean(name: str, scorer: Any, references: Texts, captions: Texts) -> CorpusScore:
    value, each = scorer.compute_score(references, captions)
    return CorpusScore(name, float(value), tuple(float(one) for one in each))


def _cider(references: Texts, captions: Texts) -> CorpusScore:
    if not any(text for texts in references.values() for text in texts):
        return CorpusScore("CIDEr-D", None, unavailable="no reference has a word in it")
    if len({_phrases(texts) for texts in references.values()}) == 1:
        count = len(references)
        same = "there is only one image" if count == 1 else f"all {count} images have the same references"
        reason = f"it weighs words by how few of the images have them, and {same}: caption more images (--limit)"
        return CorpusScore("CIDEr-D", None, unavailable=reason)
    return _mean("CIDEr-D", Cider(), references, captions)


def _phrases(texts: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """Every run of one to four words in an image's references: what CIDEr-D counts images by."""
    words = [text.split() for text in texts]
    return frozenset(tuple(one[i : i + n]) for one in words for n in (1, 2, 3, 4) for i in range(len(one) - n + 1))


def _meteor(groups: Sequence[tuple[Texts, Texts]]) -> list[CorpusScore]:
    """One Java machine for all groups: it takes seconds to read its paraphrases."""
    reason = java_problem()
    if not reason:
        from pycocoevalcap.meteor.meteor import Meteor

        scorer = None
        try:
            scorer = Meteor()
            values = [scorer.compute_score(*_with_words(*group))[0] for group in groups]
            return [CorpusScore("METEOR", float(value)) for value in values]
        except (OSError, ValueError) as error:
            reason = f"its Java program failed ({_line(error)})"
        finally:
            if scorer is not None:  # its own end of life leaves these two open
                scorer.meteor_p.stdout.close()
                scorer.meteor_p.stderr.close()
    return [CorpusScore("METEOR", None, unavailable=reason) for _ in groups]


def _with_words(references: Texts, captions: Texts) -> tuple[Texts, Texts]:
    """The program takes no empty text: a full stop matches nothing but another."""
    return {i: [one or "." for one in texts] for i, texts in references.items()}, {
        i: [texts[0] or "-"] for i, texts in captions.items()
    }


def _spice(groups: Sequence[tuple[Texts, Texts]]) -> list[CorpusScore]:
    reason = java_problem() or spice_problem()
    if not reason:
        from pycocoevalcap.spice.spice import Spice

        try:
            scores = []
            for references, captions in groups:
                value, each = Spice().compute_score(references, captions)
                scores.append(CorpusScore("SPICE", float(value), tuple(float(one["All"]["f"]) for one in each)))
            return scores
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            reason = f"its Java program failed ({_line(error)})"
    return [CorpusScore("SPICE", None, unavailable=reason) for _ in groups]


def java_problem() -> str:
    """Why no Java program can run here; "" where one can."""
    return "" if shutil.which("java") else NO_JAVA


def spice_problem() -> str:
    """Why SPICE cannot run though Java is there; "" where it can. The package would download its models unasked."""
    package = find_spec("pycocoevalcap")
    home = Path(package.submodule_search_locations[0]) if package and package.submodule_search_locations else Path()
    if not (home / "spice" / "lib" / "stanford-corenlp-3.6.0.jar").is_file():
        return NO_MODELS
    return "" if os.access(home / "spice", os.W_OK) else f"it writes into {home / 'spice'}, which is read-only here"


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
