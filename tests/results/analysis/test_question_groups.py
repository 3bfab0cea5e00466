"""Questions by type and the text-only baseline, counted by hand."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from results.analysis.question_groups import QuestionGroup, question_tables, text_only_note


def group(setting: str, question_type: str, samples: list[str], text_only: float) -> QuestionGroup:
    return QuestionGroup(
        task="real-fast-vqa",
        data="scenes",
        setting=setting,
        question_type=question_type,
        samples=tuple(samples),
        text_only=text_only,
    )


def test_table_by_question_type(key, values):
    records = []
    for setting, scores in (("shots=1", [1.0, 0.0, 1.0, None]), ("shots=3", [1.0, 1.0, 0.0, 0.0])):
        records += values(key(task="real-fast-vqa", data="scenes", setting=setting), scores)
    groups = [
        group("shots=1", "what", ["shots=1/0", "shots=1/1"], 0.5),
        group("shots=1", "side", ["shots=1/2", "shots=1/3"], 1.0),
        group("shots=3", "what", ["shots=3/0"], 1.0),
        group("shots=3", "side", ["shots=3/1", "shots=3/2", "shots=3/3"], 2 / 3),
    ]
    [table] = question_tables(records, groups)
    assert (table.task, table.data, table.types) == ("real-fast-vqa", "scenes", ("side", "what"))
    assert table.text_only == pytest.approx((100 * 4 / 5, 100 * 2 / 3))
    [(row, entries)] = table.rows
    assert row.tokenizer == "spae" and [entry.text for entry in entries] == ["50.0 (4)", "66.7 (3)"]
    note = text_only_note(groups)
    assert note.endswith("in per cent: 75.0 (shots=1), 75.0 (shots=3).")


def test_nothing_scored_and_one_type_alone(key, values):
    records = values(key(task="real-fast-vqa", data="scenes", setting="shots=1"), [None, 1.0])
    one = [group("shots=1", "what", ["shots=1/0", "shots=1/1"], 0.5)]
    assert question_tables(records, one) == [] and question_tables(records, []) == [] and text_only_note([]) == ""
    two = [group("shots=1", "what", ["shots=1/0"], 1.0), group("shots=1", "side", ["shots=1/1"], 1.0)]
    [table] = question_tables(records, two)
    assert [entry.text for entry in table.rows[0][1]] == ["100.0 (1)", "n/s"]


def test_a_share_is_a_share():
    with pytest.raises(ValidationError):
        group("shots=1", "what", ["a"], 1.5)
