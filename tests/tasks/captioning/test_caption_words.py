"""Words of captions against the official tokenizer's: what CoreNLP 3.4.1 gave is in the golden file.

Measured once on other text, 60,000 definitions of WordNet 3.1: 18 differ (abbreviations such as "c." and "Ph.D.",
fractions with a sign, "a...youth").
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.captioning.caption_words import caption_words

GOLDEN = json.loads((Path(__file__).parent / "golden" / "caption_words.json").read_text())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man's dog isn't on the T-shirt.", "a man 's dog is n't on the t-shirt"),
        ("It's 10:30, they can't wait!", "it 's 10:30 they ca n't wait!".replace("!", "")),
        ("Two cats - one black, one white", "two cats one black one white"),
        ("a sign (again)", "a sign -lrb- again -rrb-"),
        ('a "STOP" sign on Main St. at night', "a stop sign on main st. at night"),
        ("wow!! ...", "wow !!"),
        ("you cannot, I'm gonna", "you can not i 'm gon na"),
        (" \u00a0 ", ""),
    ],
)
def test_prose(text: str, words: str) -> None:
    assert " ".join(caption_words(text)) == words


def test_every_golden_line() -> None:
    assert len(GOLDEN) > 400
    wrong = [(text, words, caption_words(text)) for text, words in GOLDEN if list(caption_words(text)) != words]
    assert not wrong


def test_no_text_is_too_strange() -> None:
    for text in ("\ud83d", "'" * 2000, "http://" * 500, "a-" * 3000, "\x00\u202e<script>", "(" * 999):
        assert all(word and not word.isspace() for word in caption_words(text))


@pytest.mark.slow
@pytest.mark.brought
@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
def test_the_golden_file_is_the_official_tokenizers() -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    official = PTBTokenizer().tokenize({i: [{"caption": text}] for i, (text, _) in enumerate(GOLDEN)})
    for i, (text, words) in enumerate(GOLDEN):
        # The package splits at spaces and keeps what stands between two of them.
        assert official[i][0].split(" ") == (words or [""]), text
