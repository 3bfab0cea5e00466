"""Rules that turn a model's reply into right or wrong, for classification and questions.

Published code differs in this, so the rule is an option, and every record and table names it. All but `ranked` read
the reply's line: white space and line breaks are stripped from both ends, then the text is cut at its first line
break. (So no stop string may be sent: a reply that opens with a line break would be cut to nothing.) Case and Unicode
form (é in one character or in two) are ignored; articles and punctuation are part of the text, except under
`normalised`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_backends.protocol import Completion, LikelihoodRequest, Likelihoods, Reply
from spae.canonical import folded
from spae.metrics.accuracy import ACCURACY
from tasks.errors import TaskInputError
from tasks.protocol import Outcome

Test = Callable[[str, str], bool]


@dataclass(frozen=True)
class Rule:
    """One way to score a reply.

    Attributes:
        name: as commands and records write it.
        title: one line that says what counts as right.
        asks: "completion" for free text, "likelihood" for the log-likelihood of each class.
        comparable: whether its numbers may stand beside the paper's.
        test: (line, target) -> right; None for "likelihood".
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


def is_exact(line: str, target: str) -> bool:
    """The line equals the answer, ignoring case."""
    return folded(line) == folded(target.strip())


def is_prefix(line: str, target: str) -> bool:
    """The line starts with the answer, character by character: "antelope" passes for "ant", as in V2L-Tokenizer."""
    return folded(line).startswith(folded(target.strip()))


def is_contained(line: str, target: str) -> bool:
    """The line contains the answer as whole words: "an ant" passes for "ant", "antelope" does not."""
    return re.search(rf"(?<!\w){re.escape(folded(target.strip()))}(?!\w)", folded(line)) is not None


def is_normalised(line: str, target: str) -> bool:
    """The line equals the answer after `normalise`: case, articles, punctuation and number words ignored."""
    return normalise(line) == normalise(target)


ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
} | {"none": "0"}

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PUNCTUATION = re.compile(r"[^\w\s.'’]|_")
# A point is part of a decimal, an apostrophe of a word; elsewhere both are punctuation.
_POINTS = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<!\w)['’]|['’](?!\w)")


def normalise(text: str) -> str:
    """An answer in lower case, without punctuation and articles, numbers up to ten as digits, single spaces.

    So "A red apple." and "red apple", "two" and "2" count as the same. After the rules of the VQA challenge (Antol et
    al., arXiv 1505.00468, section 4), without its list that mends contractions ("dont"). A text of articles alone keeps
    them: "a" is then the answer.
    """
    bare = _POINTS.sub(" ", _PUNCTUATION.sub(" ", _THOUSANDS.sub("", folded(text))))
    words = [NUMBERS.get(word, word) for word in bare.replace("’", "'").split()]
    return " ".join([word for word in words if word not in ARTICLES] or words)


RULES: dict[str, Rule] = {
    "exact": Rule("exact", "the reply equals the class name, ignoring case", "completion", True, is_exact),
    "prefix": Rule("prefix", "the reply starts with the class name", "completion", True, is_prefix),
    "contains": Rule("contains", "the reply contains the class name", "completion", False, is_contained),
    "normalised": Rule(
        "normalised",
        "the reply equals the answer, ignoring case, articles and punctuation",
        "completion",
        False,
        is_normalised,
    ),
    "ranked": Rule("ranked", "rank classification: the class of the highest likelihood", "likelihood", False, None),
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


def score_text(test: Test, reply: str, target: str, classes: Sequence[str]) -> Outcome:
    """Scores free text. A reply of nothing but white space is `empty`, not wrong."""
    line = line_of(reply)
    if not line:
        return Outcome(status="empty", reply=reply)
    scores = {ACCURACY.name: float(test(line, target))}
    fits = [name for name in classes if test(line, name)]
    explanation = f"fits {len(fits)} classes: {', '.join(fits)}" if len(fits) > 1 else ""
    return Outcome(status="scored", scores=scores, prediction=line, reply=reply, explanation=explanation)


def score_ranked(values: Sequence[float], target: str, classes: Sequence[str]) -> Outcome:
    """Scores log-likelihoods: the class with the largest is the prediction, the first of several that tie exactly.

    Args:
        values: per class, in nats; minus infinity is impossible text, NaN and plus infinity are no log-likelihoods.
        target: the right class.
        classes: in the order of `values`.

    Returns:
        `scored`; `failed` where the values are not one log-likelihood per class.
    """
    if len(values) != len(classes):
        said = f"the model must give {len(classes)} log-likelihoods, gave {len(values)}"
        return Outcome(status="failed", explanation=said)
    if any(math.isnan(value) or value == math.inf for value in values) or max(values) == -math.inf:
        return Outcome(status="failed", explanation=f"log-likelihoods must be numbers, got {list(values)}")
    best = max(values)
    tied = [name for name, value in zip(classes, values, strict=True) if value == best]
    winner = tied[0]
    explanation = f"tie of {', '.join(tied)}: the first counts" if len(tied) > 1 else ""
    scores = {ACCURACY.name: float(winner == target)}
    return Outcome(status="scored", scores=scores, prediction=winner, reply=winner, explanation=explanation)


def likelihood_request(context: str, classes: Sequence[str]) -> LikelihoodRequest:
    """The request of `ranked`: each class after a space, and the newline that ends it."""
    return LikelihoodRequest(context=context, continuations=tuple(f" {name}\n" for name in classes))


def score_reply(scoring: str, reply: Reply, targets: Sequence[str], classes: Sequence[str]) -> Outcome:
    """Scores a reply by a rule; right where it fits any of `targets`.

    Args:
        scoring: name of a rule.
        reply: a completion, or for `ranked` the log-likelihood of each class.
        targets: every right answer, the first of them one of `classes` where there are any.
        classes: the answers to choose from; () where the answer is open.

    Raises:
        TaskInputError: the rule is unknown, or reads another kind of reply.
    """
    test = rule(scoring).test
    if test is None and isinstance(reply, Likelihoods):
        return score_ranked(reply.values, targets[0], classes)
    if test is not None and isinstance(reply, Completion):
        outcomes = [score_text(test, reply.text, target, classes) for target in targets]
        return next((one for one in outcomes if one.scores.get(ACCURACY.name)), outcomes[0])
    raise TaskInputError(
        f"scoring {scoring!r} reads {'Likelihoods' if test is None else 'a Completion'}, got {type(reply).__name__}: "
        "ask with the same --scoring"
    )
