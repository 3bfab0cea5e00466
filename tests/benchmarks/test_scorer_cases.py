"""Invented replies that tell scoring rules apart, against outcomes worked out by hand."""

from __future__ import annotations

import math
from typing import cast

import pytest

from benchmarks.scorer_cases import score_cases
from llm_backends.protocol import CompletionRequest
from tasks.errors import TaskInputError
from tasks.fewshot.episodes import Episode
from tasks.protocol import Codec, Sample, Solution, Style, Task
from tasks.registry import open_task

EPISODE = Episode(
    id="e-0", setting="i1-s1-r0", images=("a", "b", "q"), target="lion", fingerprint="0" * 64, index=0,
    classes=("vase", "lion"), support=(("a", "vase"), ("b", "lion")), query="q",
)  # fmt: skip
# Cases that each rule scores 1; white space alone is empty, all others score 0.
ALWAYS = {
    "the answer", "after a space, before a line break", "after line breaks", "in capitals",
    "on the first of two lines", "another class on the second line",
}  # fmt: skip
STARTS = ALWAYS | {"with a full stop", "then more words", "then more letters", "the answer and another class"}
HAS = (STARTS - {"then more letters"}) | {
    "with an article", "in quotation marks", "after more words", "another class and the answer",
}  # fmt: skip


def outcomes_of(scoring: str, style: Style = "gpt") -> dict[str, str]:
    return score_cases(open_task("miniimagenet-2way").configured(prompt_style=style, scoring=scoring), EPISODE)


@pytest.mark.parametrize(("scoring", "right"), [("exact", ALWAYS), ("prefix", STARTS), ("contains", HAS)])
def test_text_cases_are_scored_as_each_rule_says(scoring: str, right: set[str]) -> None:
    outcomes = outcomes_of(scoring)
    assert {case for case, outcome in outcomes.items() if outcome.startswith("scored accuracy 1 ")} == right
    assert {case for case, outcome in outcomes.items() if outcome.startswith("empty")} == {"nothing", "white space"}
    assert all(outcome.startswith(("scored", "empty")) for outcome in outcomes.values())
    assert all("\n" not in outcome for outcome in outcomes.values())


def test_likelihood_cases_are_ranked() -> None:
    outcomes = outcomes_of("ranked", "palm")
    scores = {case: outcome.split()[2] for case, outcome in outcomes.items() if outcome.startswith("scored accuracy")}
    assert scores["number 1 likeliest"] == "0" and scores["number 2 likeliest"] == scores["one impossible"] == "1"
    assert scores["all alike"] == "0" and "tie" in outcomes["all alike"]  # the first counts
    for case in ("all impossible", "one that is no number", "one missing"):
        assert outcomes[case].startswith("failed")


class Asks:
    """A task whose samples yield the given requests, round by round, and whose score raises."""

    def __init__(self, *rounds: tuple[CompletionRequest, ...]) -> None:
        self.rounds = rounds

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        for requests in self.rounds:
            replies = yield requests
            assert len(replies) == len(requests)
        raise TaskInputError("no such rule")


REQUEST = CompletionRequest(prompt="Output:", max_new_tokens=4)


def test_error_of_a_rule_is_an_outcome() -> None:
    outcomes = score_cases(cast("Task", Asks((REQUEST,))), EPISODE)
    assert len(outcomes) == 20 and set(outcomes.values()) == {"error: no such rule"}


def test_task_with_more_than_one_request_has_no_cases() -> None:
    for rounds in (((REQUEST, REQUEST),), ((REQUEST,), (REQUEST,))):
        assert score_cases(cast("Task", Asks(*rounds)), EPISODE) == {}


def test_likelihood_cases_have_a_value_per_choice() -> None:
    from benchmarks.scorer_cases import _likelihoods

    for count in (1, 2, 5):
        cases = _likelihoods(count)
        assert {len(values) for case, values in cases.items() if case != "one missing"} == {count}
        assert math.isnan(cases["one that is no number"][0])
