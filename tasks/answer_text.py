"""Answers brought to one spelling, so that "A red apple." and "red apple", "two" and "2" count as the same.

After the rules of the VQA challenge (Antol et al., arXiv 1505.00468, section 4): lower case, no articles, numbers as
digits, no punctuation. Not its program: that one also mends contractions ("dont"), by a list.
"""

from __future__ import annotations

import re

ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
} | {"none": "0"}

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_MARKS = re.compile(r"[^\w\s.'’]|_")
# A point is part of a decimal, an apostrophe of a word; elsewhere both are punctuation.
_POINTS = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<!\w)['’]|['’](?!\w)")


def one_spelling(text: str) -> str:
    """The text in lower case, without punctuation and articles, numbers up to ten as digits, words one space apart.

    A text of articles alone keeps them: "a" is then the answer.
    """
    bare = _POINTS.sub(" ", _MARKS.sub(" ", _THOUSANDS.sub("", text.casefold())))
    words = [NUMBERS.get(word, word) for word in bare.replace("’", "'").split()]
    return " ".join([word for word in words if word not in ARTICLES] or words)
