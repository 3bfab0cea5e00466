"""The layout of the table, against cells made by hand."""

from typing import Any

from results.analysis.aggregate import Cell
from results.analysis.settings import FEW_SHOT
from results.analysis.tables import result_tables
from results.record import MetricFacts
from results.run_facts import RunFacts


def cell(**changes: Any) -> Cell:
    fields: dict[str, Any] = {
        "task": "miniimagenet-5way", "setting": "i1-s1-r0", "tokenizer": "spae", "layers": "1-2", "model": "small",
        "data": "pictograms", "scoring": "ranked", "prompt_style": "gpt", "n": 10, "scored": 10, "failed": 0,
        "infeasible": 0, "empty": 0, "refused": 0, "cached": 0, "metric": "accuracy", "value": 0.5, "ci_low": 0.2,
        "ci_high": 0.8,
    }  # fmt: skip
    return Cell(**{**fields, **changes})


NONE = {"value": None, "ci_low": None, "ci_high": None, "scored": 0}


def entries(table, row=0, group=0):
    return dict(zip(table.settings, table.groups[group].rows[row].entries, strict=True))


def test_columns_and_heads_are_those_of_table_1(facts):
    [table] = result_tables([cell()], {("spae", "1-2"): 5}, facts)
    assert table.settings == (*FEW_SHOT, "average")
    assert table.heads == (
        ("Task induction", ("", "✓", "✓", "✓", "✓", "✓", "✓", "Avg")),
        ("Inner shots", ("1", "1", "3", "5", "1", "1", "1", "")),
        ("Repeats", ("0", "0", "0", "0", "1", "3", "5", "")),
    )
    assert table.groups[0].rows[0].labels == ("spae", "1-2 : 5", "small", "ranked, gpt")
    assert result_tables([cell()], None, facts)[0].groups[0].rows[0].pyramid == "1-2"


def test_values_are_per_cent_and_a_missing_one_has_its_reason(facts):
    [table] = result_tables([
        cell(), cell(setting="i1-s5-r0", infeasible=10, **NONE),
        cell(setting="i1-s3-r0", failed=4, infeasible=6, **NONE), cell(setting="i1-s1-r1", scored=8, empty=2),
    ], None, facts)  # fmt: skip
    row = entries(table)
    assert (row["i1-s1-r0"].value_text, row["i1-s1-r0"].interval_text) == ("50.0", "20.0–80.0")
    assert [row[s].value_text for s in ("i1-s5-r0", "i1-s3-r0", "i1-s1-r1", "average")] == ["-", "n/s", "50.0†", ""]
    assert [note[:4] for note in table.footnotes] == ["Valu", "-: t", "n/s:", "†: n", "Empt"]


def test_footnotes_explain_only_what_is_there(facts):
    [table] = result_tables([cell(task="other", setting="shots=1")], None, facts)
    assert len(table.footnotes) == 1 and table.heads == (("Setting", ("shots=1",)),)


def test_nothing_is_marked_without_the_records_that_could_tell_rows_apart(facts):
    [table] = result_tables([cell(tokenizer="vqgan", value=0.3), cell()], None, facts)
    assert not any(entry.best for row in table.groups[0].rows for entry in row.entries)
    assert any("30 samples or more" in note and "never a control" in note for note in table.footnotes)


def test_the_papers_rows_say_where_ours_rank_candidates(facts):
    for task in ("miniimagenet-5way", "real-fast-vqa"):
        for scoring, said in (("ranked", True), ("exact", False)):
            [table] = result_tables([cell(task=task, scoring=scoring)], None, facts)
            assert ("the paper scores free text" in table.groups[1].caption) is said, (task, scoring)


def test_rows_of_the_paper_stand_apart_and_are_never_best(facts):
    [table] = result_tables([cell()], None, facts)
    ours, paper = table.groups
    assert paper.source == "paper" and "not comparable" in paper.caption and "mini-ImageNet" in paper.caption
    assert len(paper.rows) == 9 and paper.rows[2].labels == ("SPAE (GPT)", "1-2 : 5", "GPT 3.5", "Table 1")
    assert entries(table, 8, 1)["i1-s3-r0"].value_text == "-" and entries(table, 2, 1)["average"].value_text == "53.9"
    assert not any(entry.best for row in paper.rows for entry in row.entries) and len(ours.rows) == 1


def test_one_table_per_task_data_and_metric(facts):
    cells = [cell(), cell(data="mine"), cell(task="miniimagenet-2way"), cell(metric="cider")]
    tables = result_tables(cells, None, facts)
    assert [(t.task, t.data, t.metric, len(t.groups)) for t in tables] == [
        ("miniimagenet-5way", "pictograms", "accuracy", 2), ("miniimagenet-5way", "mine", "accuracy", 2),
        ("miniimagenet-2way", "pictograms", "accuracy", 2), ("miniimagenet-5way", "pictograms", "cider", 1),
    ]  # fmt: skip


MSE = MetricFacts(name="mse", unit="", higher_is_better=False, low=0.0)


def test_a_metric_of_which_less_is_better_says_so():
    [table] = result_tables([cell(task="t", metric="mse", setting="s")], None, RunFacts(metrics={"t": (MSE,)}))
    assert "Lower is better." in table.footnotes[0] and table.title.endswith(": mse")


def test_units_decide_how_values_are_shown():
    psnr = MetricFacts(name="PSNR", unit="dB", higher_is_better=True)
    known = RunFacts(metrics={"t": (psnr, MSE)})
    one = cell(task="t", metric="PSNR", setting="s", value=21.345, ci_low=20.0, ci_high=23.0)
    [table] = result_tables([one], None, known)
    assert table.title.endswith("PSNR in dB") and table.groups[0].rows[0].entries[0].value_text == "21.3"
    [table] = result_tables([one.model_copy(update={"metric": "mse", "value": 0.03851})], None, known)
    assert table.groups[0].rows[0].entries[0].value_text == "0.0385"


def test_the_strict_value_stands_beside_the_other_only_where_they_differ(facts):
    [table] = result_tables([
        cell(scored=8, empty=2, value=0.5, strict=0.4, strict_n=10), cell(setting="i1-s3-r0"),
        cell(setting="i1-s5-r0", empty=10, strict=0.0, strict_n=10, **NONE),
    ], None, facts)  # fmt: skip
    row = entries(table)
    assert (row["i1-s1-r0"].value_text, row["i1-s1-r0"].strict_text) == ("50.0†", "strict 40.0, n 8 / 10")
    assert row["i1-s3-r0"].strict_text == "" and row["i1-s5-r0"].strict_text == "strict 0.0, n 0 / 10"
    assert any(note.startswith("Strict:") for note in table.footnotes)
