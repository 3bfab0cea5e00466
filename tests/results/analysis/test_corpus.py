"""Metrics of whole corpora: what they are worked out of, kept with, and shown as."""

import json

import pytest

from results.analysis.aggregate import aggregate
from results.analysis.corpus import (
    CorpusMetrics,
    Missing,
    corpora,
    corpus_cell,
    digest,
    load_corpus,
    sample_values,
    save_corpus,
)
from results.analysis.metric_tables import metric_tables
from results.errors import RecordError
from results.record import MetricFacts
from results.report.write import render, write_reports
from results.run_facts import RunFacts
from results.store import RunStore

TASK = "coco-captioning"
PERCENT = [
    MetricFacts(name=name, unit="percent of 1", higher_is_better=True) for name in ("ROUGE-L", "BLEU-4", "METEOR")
]
CIDER = MetricFacts(name="CIDEr-D", unit="CIDEr-D points", higher_is_better=True)
FACTS = RunFacts(metrics={TASK: (*PERCENT, CIDER)}, tokenizers=("spae", "vqgan"))


def captions(key, of, tokenizer="spae", values=(0.2, 0.6), **more):
    cell = key(task=TASK, tokenizer=tokenizer, scoring="rouge-l", setting="shots=10", **more)
    return [
        of(cell, i, choices=(), target="a lion", references=("a lion", "lions"), prediction=f"caption {i}",
           scores={} if value is None else {"ROUGE-L": value})
        for i, value in enumerate(values)
    ]  # fmt: skip


def failed(record):
    changes = {"status": "failed", "scores": {}, "prediction": None, "reply": None}
    return type(record).model_validate(json.loads(record.model_copy(update=changes).line()))


def test_a_corpus_is_the_scored_records_of_a_row_and_setting_in_order(key, of):
    records = captions(key, of, values=[0.1] * 11)
    records[3] = failed(records[3])
    found = corpora([*reversed(records), of(key())], TASK)
    assert [one.row.tokenizer for one in found] == ["spae"]
    assert found[0].predictions == tuple(f"caption {i}" for i in range(11) if i != 3)
    assert found[0].references == (("a lion", "lions"),) * 10
    assert corpora([failed(one) for one in captions(key, of)], TASK) == []


def test_values_go_by_sample(key, of):
    [one] = corpora(captions(key, of), TASK)
    assert one.metrics == ("ROUGE-L",) and len(one.samples) == 2
    values = sample_values(one, "CIDEr-D", [0.1, 0.2])
    assert values.row == one.row and list(values.values.items()) == [(one.samples[0], 0.1), (one.samples[1], 0.2)]
    with pytest.raises(ValueError, match="shorter"):
        sample_values(one, "CIDEr-D", [0.1])


def test_without_references_the_target_is_the_one(key, of):
    [one] = corpora([of(key(), target="two", prediction="three")], "miniimagenet-5way")
    assert one.references == (("two",),)


def corpus_metrics(records):
    cells, missing = [], (Missing(task=TASK, metric="METEOR", reason="there is no `java` <b>here</b>"),)
    for n, one in enumerate(corpora(records, TASK), start=1):
        cells.append(corpus_cell(one, "BLEU-4", 0.1 * n, None))
        cells.append(corpus_cell(one, "METEOR", None, None))
        cells.append(corpus_cell(one, "CIDEr-D", 1.5, [1.0, 2.0]))
    return CorpusMetrics(records=digest(records), cells=tuple(cells), missing=missing)


def test_an_interval_where_there_are_values_of_samples(key, of):
    bleu, meteor, cider = corpus_metrics(captions(key, of)).cells
    assert (bleu.ci_low, meteor.value, cider.ci_low, cider.ci_high) == (None, None, 1.0, 2.0)


def test_the_file_counts_while_the_records_are_the_same(key, of, tmp_path):
    records = captions(key, of)
    save_corpus(tmp_path, corpus_metrics(records))
    assert load_corpus(tmp_path, reversed(records)) == corpus_metrics(records)
    assert load_corpus(tmp_path, records[:1]) is None and load_corpus(tmp_path / "other", records) is None
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RecordError, match="holds no metrics"):
        load_corpus(tmp_path, records)


def test_table_by_hand(key, of):
    vqgan = captions(key, of, "vqgan", values=(0.1, 0.3))
    spae = captions(key, of)
    spae[1] = failed(spae[1])
    records = [*vqgan, *spae]
    [table] = metric_tables(aggregate(records, (), FACTS), corpus_metrics(records), {("vqgan", "1-2"): 5}, FACTS)
    assert table.settings == ("ROUGE-L", "BLEU-4", "METEOR", "CIDEr-D")
    texts = [[entry.value_text for entry in row.entries] for row in table.groups[0].rows]
    # CIDEr-D as COCO's tables print it: 1.5, as the official package gives it, is 150.0.
    assert texts == [["20.0", "20.0", "n/a", "150.0"], ["20.0†", "10.0†", "n/a", "150.0†"]]
    assert table.groups[0].rows[0].pyramid == "1-2 : 5"
    assert any("times 100 (CIDEr-D)" in note and "per cent (ROUGE-L" in note for note in table.footnotes)
    assert any(note.startswith("n/a, METEOR: there is no") for note in table.footnotes)


def test_the_report_has_all_metrics_once_and_leaves_other_tasks_alone(key, of, tmp_path):
    records = [*captions(key, of, "vqgan"), *captions(key, of), of(key())]
    store = RunStore.create(tmp_path / "run", {"seed": 0}, resume=False)
    store.append(records)
    save_corpus(store.folder, corpus_metrics(records))
    write_reports(store.folder)
    summary = json.loads((store.folder / "summary.json").read_text())
    names = [cell["metric"] for cell in summary if cell["tokenizer"] == "spae" and cell["task"] == TASK]
    assert names == ["ROUGE-L", "BLEU-4", "METEOR", "CIDEr-D"]
    page, text = render(store.folder, "html"), render(store.folder, "md")
    assert "there is no `java` &lt;b&gt;here" in page and "<b>here</b>" not in page + text
    assert text.count("### coco-captioning") == 1 and "### miniimagenet-5way on pictograms: accuracy" in text
