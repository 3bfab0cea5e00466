"""A caption as the words that COCO's metrics compare: the Stanford PTBTokenizer's, lower-cased, punctuation dropped.

The official package starts a Java machine for this (PTBTokenizer of CoreNLP 3.4.1: -preserveLines -lowerCase). These
are its rules for English prose, written down anew: at each place the longest of the patterns below is the next word.
Where a string is no prose (smileys, mark-up, e-mail) words may differ; its test compares both.

    A man's dog isn't on the T-shirt, it's asleep (again).
    a man 's dog is n't on the t-shirt it 's asleep -lrb- again -rrb-
"""

from __future__ import annotations

from functools import lru_cache

import regex as re

from spae.canonical import composed

# What the official package drops. It names brackets in capitals, which after lower-casing are none: they stay.
DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", ""])
# Written otherwise by the tokenizer: brackets by name, typographic signs by their ASCII forms.
SPELT = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "\u2013": "--", "\u2014": "--", "\u2026": "...", "\u201c": "``", "\u201d": "''", "\u00ab": "``", "\u00bb": "''",
    '"': "''", "\u2018": "'", "\u2019": "'", "\u00a3": "#", "\u20ac": "$", "\u00a2": "cents",
    "\u00bd": "1/2", "\u00bc": "1/4", "\u00be": "3/4", "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''",
    "&nbsp;": "",
}  # fmt: skip
# Words that are two, split after so many letters.
TWO = {"cannot": 3, "gonna": 3, "gotta": 3, "lemme": 3, "gimme": 3, "wanna": 3, "'tis": 2, "'twas": 2, "more'n": 4}
# With their full stop even inside a line; capitalised ones are names of people, places, months or days.
ABBREVIATIONS = ("etc", "vs", "al", "inc", "co", "corp", "ltd", "jr", "sr", "esp", "sup")
TITLES = (
    "mr", "mrs", "ms", "dr", "drs", "prof", "gen", "col", "maj", "capt", "lt", "sgt", "rep", "reps", "sen", "sens",
    "gov", "pres", "rev", "hon", "messrs", "mme", "mlle", "st", "ste", "mt", "ft", "bros", "jan", "feb", "mar", "apr",
    "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "tue", "tues", "wed", "thu", "thurs", "fri", "ave",
    "blvd", "assn", "dept", "univ",
)  # fmt: skip

_LETTER = r"[^\W\d_\u00bc-\u00be]"
_WORD = rf"{_LETTER}(?:[^\W_\u00bc-\u00be]|\p{{M}})*"
_AP = "['\u2019]"
_PATTERNS = [
    re.compile(pattern)
    for pattern in (
        # Links, addresses, tags of networks and of HTML.
        r"(?i)https?://[^\s\"<>|()]+[^\s\"<>|.!?(){},-]",
        r"(?i)(?:www\.(?:[^\s`\"<>|.!?(){},]+\.)+[a-z]{2,4}|(?:[^\s`\"<>|.!?(){},\-_$/]+\.)+(?:com|net|org|edu)\b)"
        r"(?:/[^\s\"<>|()]+[^\s\"<>|.!?(){},-])?",
        r"(?i)[a-z0-9][\w.+-]*@[\w-]+(?:\.[\w-]+)*",
        r"[#@][A-Za-z_]\w*",
        r"</?[A-Za-z][^<>\s]*>",
        r"&(?:amp|lt|gt|quot|nbsp|#\d+);",
        # Words: with a full stop, a slash, an underscore, an ampersand or hyphens inside.
        rf"{_WORD}(?:[.!?/]{_WORD})*",
        r"[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:[A-Za-z0-9]+|\.[A-Za-z]+))+",
        rf"[^\W_]+(?:-{_LETTER}[^\W_]*)+",
        r"\w+(?:_\w+)+",
        r"[A-Z]+&[A-Z]+",
        r"(?i)(?:c\+\+|[cf]#)",
        # Words with an apostrophe inside, before or after.
        rf"(?i)o{_AP}clock|ma{_AP}am|nor{_AP}easter|(?:[dol]|mc){_AP}{_LETTER}{{2,}}|[en]{_AP}er|ne{_AP}er",
        rf"(?!(?i:y{_AP}all)){_LETTER}*[aeiouyAEIOUY]{_AP}[aeiouA-Z]{_LETTER}*(?<!{_AP}[A-Z])",
        rf"(?i)[ldjy]{_AP}|ol{_AP}|somethin{_AP}|c{_AP}mon|{_AP}n{_AP}|{_AP}(?:em|n|till?|cause|[2-9]0s)(?!\w)",
        rf"(?i){_AP}t(?:is|was)(?!\w)|more{_AP}n(?!\w)",
        rf"(?i)n{_AP}t(?!\w)|{_AP}(?:s|d|m|ll|re|ve)(?!\w)",
        # Numbers, fractions, dates, money.
        r"[-+]?(?:\d+(?:[.,:/]\d+)*|(?:[.,:]\d+)+)(?:st|nd|rd|th)?",
        rf"\d+{_LETTER}\w*",
        r"(?:\d{1,4}[- \u00a0])?\d{1,4}/\d{1,4}(?:-[A-Za-z]+)?",
        r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}",
        r"(?:US|A|C|NZ)?\$",
        # Abbreviations and initials.
        rf"(?i)(?:{'|'.join(ABBREVIATIONS)})\.",
        rf"(?:{'|'.join(one.title() for one in TITLES)})\.",
        rf"(?:{'|'.join(TITLES[:5])})\.(?=\s+\w)",
        r"[A-Za-z](?:\.[A-Za-z])+\.",
        r"[A-Z]\.(?=\s+\S)",
        r"(?i)no\.(?=\s+\d)",
        # Marks.
        r"[:;]-?[()DP](?!\w)", r"\.{3,}|(?:\. ){2,}\.", r"-{2,}", r"[?!]+", r"``|''", r"\*+|_+", r"\S",
    )
]  # fmt: skip
_NEGATED = re.compile(rf"([^\W\d_]+?)(?=n{_AP}t(?!\w))", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z]+(?=\s|$|[,;:]\s|[?!]$)")
_SPACE = re.compile(r"\s*")
# Signs that no rule of the tokenizer knows vanish: most of those beyond the first plane, joiners and variants.
_UNKNOWN = re.compile("[\ufe0e\ufe0f\u200b-\u200f]|[\U0001f000-\U000fffff]")


@lru_cache(maxsize=65536)
def caption_words(text: str) -> tuple[str, ...]:
    """The words of one caption, in order."""
    found: list[str] = []
    rest = _UNKNOWN.sub(" ", composed(text))
    place = 0
    while True:
        space = _SPACE.match(rest, place)
        place = space.end() if space else place
        if place == len(rest):
            return tuple(word for word in found if word not in DROPPED)
        word = _next(rest, place)
        place += len(word)
        found.extend(_spelt(word))


def _next(text: str, place: int) -> str:
    plain = _PLAIN.match(text, place)
    if plain:
        return plain[0]
    negated = _NEGATED.match(text, place)
    if negated:
        return negated[0]
    return max((found[0] for pattern in _PATTERNS if (found := pattern.match(text, place))), key=len)


def _spelt(word: str) -> list[str]:
    lower = word.lower()
    plain = lower.replace("\u2019", "'")
    if plain in TWO:
        return [plain[: TWO[plain]], plain[TWO[plain] :]]
    if lower[0] in "'\u2019" or plain in ("n't", "o'clock"):
        lower = plain
    if lower.startswith("...") or re.fullmatch(r"(?:\. ){2,}\.", lower):
        return ["..."]
    if re.fullmatch("-{2,}", lower):
        return ["--"]
    if re.fullmatch(r"\d+ \d+/\d+(?:-[a-z]+)?", lower):
        return [lower.replace(" ", "\u00a0")]  # so the tokenizer writes it: one word to it
    if lower[0] in ":;":  # a smiley
        return ["".join(SPELT.get(sign, sign) for sign in lower)]
    return [SPELT.get(lower, lower)]
