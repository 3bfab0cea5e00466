"""Replies made up to tell scoring rules apart, against outcomes worked out by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.scorer_cases import probe
from llm_backends.protocol import CompletionRequest, Likelihoods
from tasks.fewshot.episodes import Episode
from tasks.registry import open_task

EPISODE = Episode(
    id="e-0", setting="i1-s1-r0", images=("a", "b", "q"), answer="lion", fingerprint="0" * 64, index=0,
    classes=("vase", "lion"), support=(("a", "vase"), ("b", "lion")), query="q",
)  # fmt: skip
# Cases in which each rule says right; white space alone is empty, all others are wrong.
ALWAYS = {
    "the answer", "after a space, before a line break", "after line breaks", "in capitals",
    "on the first of two lines", "another class on the second line",
}  # fmt: skip
STARTS = ALWAYS | {"with a full stop", "then more words", "then more letters", "the answer and another class"}
HAS = (STARTS - {"then more letters"}) | {
    "with an article", "in quotation marks", "after more words", "another class and the answer",
}  # fmt: skip


@pytest.mark.parametrize(("scoring", "right"), [("exact", ALWAYS), ("prefix", STARTS), ("contains", HAS)])
def test_texts(scoring: str, right: set[str]) -> None:
    outcomes = probe(open_task("miniimagenet-2way"), EPISODE, "gpt", scoring)
    assert {case for case, outcome in outcomes.items() if outcome.startswith("scored 1.0")} == right
    assert {case for case, outcome in outcomes.items() if outcome.startswith("empty")} == {"nothing", "white space"}
    assert all(outcome.startswith(("scored", "empty")) for outcome in outcomes.values())
    assert all("\n" not in outcome for outcome in outcomes.values())


def test_likelihoods() -> None:
    outcomes = probe(open_task("miniimagenet-2way"), EPISODE, "palm", "ranked")
    starts = {case: outcome.split()[:2] for case, outcome in outcomes.items()}
    assert starts["number 1 likeliest"] == ["scored", "0.0"] and starts["number 2 likeliest"] == ["scored", "1.0"]
    assert starts["all alike"] == ["scored", "0.0"] and "tie" in outcomes["all alike"]  # the first counts
    assert starts["one impossible"] == ["scored", "1.0"]
    for case in ("all impossible", "one that is no number", "one missing"):
        assert outcomes[case].startswith("failed")


def test_a_rule_that_raises_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.errors import TaskInputError

    task = open_task("miniimagenet-2way")

    def score(sample: object, request: object, reply: object, scoring: str) -> None:
        assert isinstance(request, CompletionRequest) and not isinstance(reply, Likelihoods)
        raise TaskInputError("no such rule")

    monkeypatch.setattr(task, "score", score)
    assert set(probe(task, EPISODE, "gpt", "exact").values()) == {"error: no such rule"}


def test_cases_are_of_the_number_asked_for() -> None:
    from benchmarks.scorer_cases import _likelihoods

    for count in (1, 2, 5):
        cases = _likelihoods(count)
        assert {len(values) for case, values in cases.items() if case != "one missing"} == {count}
        assert math.isnan(cases["one that is no number"][0])
