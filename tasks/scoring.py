"""Rules that turn a model's reply into right or wrong, for classification and questions.

Published code differs in this, so the rule is an option, and every record and table names it. All but `ranked` read
the reply's line: white space and line breaks are stripped from both ends, then the text is cut at its first line
break. (So no stop string may be sent: a reply that opens with a line break would be cut to nothing.) Letters are
compared without case; articles and punctuation are part of the text, but under `normalised`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.answer_text import one_spelling
from tasks.errors import TaskInputError
from tasks.protocol import Outcome

Test = Callable[[str, str], bool]


@dataclass(frozen=True)
class Rule:
    """One way to score.

    Attributes:
        name: as commands and records write it.
        title: one line that says what counts as right.
        asks: "completion" for free text, "likelihood" for the log-likelihood of each class.
        comparable: whether its numbers may stand beside the paper's.
        test: (line, answer) -> right; None for "likelihood".
    """

    name: str
    title: str
    asks: Literal["completion", "likelihood"]
    comparable: bool
    test: Test | None


def line_of(reply: str) -> str:
    """The part of a reply that is scored: stripped, and cut at the first line break."""
    stripped = reply.strip()
    return stripped.splitlines()[0].rstrip() if stripped else ""


def is_exact(line: str, answer: str) -> bool:
    """The line is the answer, case aside."""
    return line.casefold() == answer.strip().casefold()


def is_prefix(line: str, answer: str) -> bool:
    """The line starts with the answer, character by character: "antelope" passes for "ant", as in V2L-Tokenizer."""
    return line.casefold().startswith(answer.strip().casefold())


def is_contained(line: str, answer: str) -> bool:
    """The line has the answer in it as whole words: "an ant" passes for "ant", "antelope" does not."""
    return re.search(rf"(?<!\w){re.escape(answer.strip().casefold())}(?!\w)", line.casefold()) is not None


def is_normalised(line: str, answer: str) -> bool:
    """The line is the answer once both are in one spelling: case, articles, punctuation and number words aside."""
    return one_spelling(line) == one_spelling(answer)


RULES: dict[str, Rule] = {
    "exact": Rule("exact", "the reply is the class name, case aside", "completion", True, is_exact),
    "prefix": Rule("prefix", "the reply starts with the class name", "completion", True, is_prefix),
    "contains": Rule("contains", "the reply has the class name in it", "completion", False, is_contained),
    "normalised": Rule(
        "normalised",
        "the reply is the answer, case, articles and marks aside",
        "completion",
        False,
        is_normalised,
    ),
    "ranked": Rule("ranked", "the class name is the likeliest of the episode's", "likelihood", False, None),
}
"""By name, default first."""


def rule(name: str) -> Rule:
    """The rule of that name.

    Raises:
        TaskInputError: there is none.
    """
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise TaskInputError(f"unknown scoring {name!r}: {hint}known: {', '.join(RULES)}")
    return RULES[name]


def score_text(test: Test, reply: str, answer: str, classes: Sequence[str]) -> Outcome:
    """Scores free text. A reply of nothing but white space is `empty`, not wrong."""
    line = line_of(reply)
    if not line:
        return Outcome(status="empty", reply=reply)
    right = test(line, answer)
    fits = [name for name in classes if test(line, name)]
    detail = f"fits {len(fits)} classes: {', '.join(fits)}" if len(fits) > 1 else None
    return Outcome(status="scored", value=float(right), prediction=line, reply=reply, detail=detail)


def score_ranked(values: Sequence[float], answer: str, classes: Sequence[str]) -> Outcome:
    """Scores log-likelihoods: the class with the largest is the answer, the first of several that tie exactly.

    Args:
        values: per class, in nats; minus infinity is impossible text, NaN and plus infinity are no log-likelihoods.
        answer: the right class.
        classes: in the order of `values`.

    Returns:
        `scored`; `failed` where the values are not one log-likelihood per class.
    """
    if len(values) != len(classes):
        return Outcome(
            status="failed", detail=f"the model must give {len(classes)} log-likelihoods, gave {len(values)}"
        )
    if any(math.isnan(value) or value == math.inf for value in values) or max(values) == -math.inf:
        return Outcome(status="failed", detail=f"log-likelihoods must be numbers, got {list(values)}")
    best = max(values)
    tied = [name for name, value in zip(classes, values, strict=True) if value == best]
    winner = tied[0]
    detail = f"tie of {', '.join(tied)}: the first counts" if len(tied) > 1 else None
    return Outcome(status="scored", value=float(winner == answer), prediction=winner, reply=winner, detail=detail)
