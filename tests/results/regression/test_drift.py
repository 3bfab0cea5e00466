"""Drifts between values made by hand; how they come about in a run is in tests/benchmarks/test_check.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from results.analysis.aggregate import aggregate
from results.regression.baseline import Baseline, BaselineFacts, ManifestFact, QuestionLine, ScorerFact, TokenizerFact
from results.regression.drift import Drift, Replayed, find_drifts, unified

MANIFEST = ManifestFact(
    task="t", data="d", data_sha256="1" * 64, seed=0, settings=("s",), samples=2, sha256="2" * 64
)  # fmt: skip
SCORER = ScorerFact(task="t", scoring="exact", outcomes={"the answer": "scored 1.0 'lion'", "nothing": "empty"})
WRONG = SCORER.model_copy(update={"outcomes": {"the answer": "scored 0.0 'lion'", "nothing": "empty"}})
FACTS = BaselineFacts(
    config={"seed": 0}, llm={"kind": "scripted", "model": "m", "revision": "r", "dtype": "none"}, context_length=100,
    manifests=(MANIFEST,), tokenizers=(TokenizerFact(name="spae", sha256="3" * 64),), scorers=(SCORER,),
)  # fmt: skip


def other(**changes: object) -> dict[str, object]:
    """Another manifest in place of the recorded one."""
    return {"manifests": (MANIFEST.model_copy(update={"sha256": "8" * 64, **changes}),)}


def line(number: int, **changes: object) -> QuestionLine:
    fields = {
        "task": "t", "setting": "s", "sample": f"sample{number}", "tokenizer": "spae", "layers": "1-2",
        "scoring": "exact", "request": f"key{number}", "prompt": f"prompt{number}", "reply": f"reply{number}",
        "status": "scored", "value": 1.0, "prediction": "lion", "detail": "",
    }  # fmt: skip
    return QuestionLine.model_validate(fields | changes)


@pytest.fixture
def recorded(key, values) -> Baseline:
    return Baseline(FACTS, tuple(aggregate(values(key(), [1, 0, 1, 1]))), (line(0), line(1)))


def now(baseline: Baseline, **changes: object) -> Replayed:
    fields = {
        "baseline": baseline,
        "asked": {"key0": "Input: a\nOutput:", "key1": "Input: b\nOutput:"},
        "replies": {"key0": "reply0", "key1": "reply1"},
    }
    return Replayed(**fields | changes)  # type: ignore[arg-type]


def facts(baseline: Baseline, **changes: object) -> Replayed:
    return now(replace(baseline, facts=FACTS.model_copy(update=changes)))


def asking(baseline: Baseline, *lines: QuestionLine, **changes: object) -> Replayed:
    return now(replace(baseline, questions=lines), **changes)


def test_nothing_drifts_from_itself(recorded):
    assert find_drifts(recorded, now(recorded)) == []


@pytest.mark.parametrize(
    ("changes", "kind", "where", "old", "new"),
    [
        ({"llm": FACTS.llm | {"revision": "x"}}, "model", "revision", "r", "x"),
        ({"context_length": 50}, "context length", "model", "100", "50"),
        ({"tokenizers": (TokenizerFact(name="spae", sha256="9" * 64),)}, "tokenizer", "spae", "3" * 12, "9" * 12),
        ({"manifests": ()}, "manifest", "t", "2 samples", "not run"),
        (other(seed=7), "seed", "t", "0", "7"),
        (other(data_sha256="7" * 64), "data", "t on d", "1" * 12, "7" * 12),
        (other(), "manifest", "t", "2 samples, 222222222222", "2 samples, 888888888888"),
        ({"scorers": ()}, "scorer", "exact of t, case: nothing", "empty", "none"),
        ({"scorers": (WRONG,)}, "scorer", "exact of t, case: the answer", "scored 1.0 'lion'", "scored 0.0 'lion'"),
    ],
)  # fmt: skip
def test_each_fact_names_itself_alone(recorded, changes, kind, where, old, new):
    found = find_drifts(recorded, facts(recorded, **changes))
    assert found[-1] == Drift(kind, where, old, new) and {drift.kind for drift in found} == {kind}
    assert len(found) == (2 if changes == {"scorers": ()} else 1)
    # What is new is told, too.
    assert find_drifts(facts(recorded, **changes).baseline, now(recorded))


def test_cases_of_a_scorer_are_not_compared_where_their_sample_is_another(recorded):
    changed = facts(recorded, **other(seed=7), scorers=(WRONG,))
    assert [drift.kind for drift in find_drifts(recorded, changed)] == ["seed"]


def test_another_request_is_a_prompt_or_a_parameter(recorded):
    changed = line(1, request="key9", prompt="prompt9", reply=None, status="unanswered", value=None)
    asked = {"key1": "Input: b\nOutput:", "key9": "Input: b\nAnswer:"}
    (drift,) = find_drifts(recorded, asking(recorded, line(0), changed, asked=asked))
    assert (drift.kind, drift.where, drift.count) == ("prompt", "t s spae 1-2 exact sample1", 1)
    assert drift.diff.splitlines()[3:] == [" Input: b", "-Output:", "+Answer:"]
    (drift,) = find_drifts(recorded, asking(recorded, line(0), changed.model_copy(update={"prompt": "prompt1"})))
    assert drift.kind == "request"
    (drift,) = find_drifts(recorded, asking(recorded, line(0), line(1, prompt="edited in the baseline")))
    assert drift.kind == "prompt"
    (drift,) = find_drifts(recorded, asking(recorded, line(0), changed, asked={"key9": "Input: b"}))
    assert "-(its reply, and with it its text, is gone)" in drift.diff and "+Input: b" in drift.diff


def test_replies_are_compared_whatever_is_asked(recorded):
    for changes, kind in (
        ({"replies": {"key0": "reply0"}}, "missing reply"),
        ({"replies": {"key0": "reply0", "key1": "other"}}, "edited reply"),
        ({"replies": {"key0": "reply0"}, "broken": {"key1": "its checksum differs"}}, "edited reply"),
        ({"replies": {"key0": "reply0", "key1": "reply1", "key2": "r"}}, "added reply"),
    ):
        for line1 in (line(1), line(1, request="key9")):
            found = find_drifts(recorded, asking(recorded, line(0), line1, **changes))
            assert kind in [drift.kind for drift in found]
            assert ("request" in [drift.kind for drift in found]) == (line1.request == "key9")


def test_another_outcome_is_the_scorers_only_where_question_and_reply_are_the_same(recorded):
    wrong = {"value": 0.0, "prediction": "vase"}
    (drift,) = find_drifts(recorded, asking(recorded, line(0, **wrong), line(1, **wrong)))
    assert (drift.kind, drift.count) == ("scorer", 2)
    assert drift.where == "exact of t, first: t s spae 1-2 exact sample0"
    assert (drift.recorded, drift.now) == ("scored 1: 'lion'", "scored 0: 'vase'")
    changed = asking(recorded, line(0), line(1, **wrong, reply="x"), replies={"key0": "reply0", "key1": "x"})
    assert [drift.kind for drift in find_drifts(recorded, changed)] == ["edited reply"]


def test_questions_that_come_and_go(recorded):
    found = find_drifts(recorded, asking(recorded, line(0), line(2, reply=None)))
    assert [(d.kind, d.recorded, d.now) for d in found] == [
        ("record", "sample1", "not asked"), ("record", "not recorded", "sample2"),
    ]  # fmt: skip


def test_metrics_beyond_rounding(recorded, key, values):
    for numbers, drifted in (([1, 0, 1, 1], False), ([1, 0, 1, 0], True), ([1, 0, 1], True)):
        cells = tuple(aggregate(values(key(), numbers)))
        assert [d.kind for d in find_drifts(recorded, now(replace(recorded, cells=cells)))] == ["metric"] * drifted
    (cell,) = recorded.cells
    rounded = cell.model_copy(update={"value": cell.value + 1e-13, "cached": 3})
    assert find_drifts(recorded, now(replace(recorded, cells=(rounded,)))) == []
    (drift,) = find_drifts(recorded, now(replace(recorded, cells=(cell.model_copy(update={"ci_low": 0.1}),))))
    assert "ci_low 0.1" in drift.now
    (drift,) = find_drifts(recorded, now(replace(recorded, cells=())))
    assert drift.now == "no such cell"


def test_a_diff_shows_hostile_characters_and_a_line_break_at_the_end():
    text = unified("a\nb", "a\nb\x1b[31m\n")
    assert "\x1b" not in text and "+b⟨U+001B⟩[31m" in text.splitlines() and text.splitlines()[-1] == "+"
