"""Records: their id, their bytes, and what they refuse."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from results.record import Call, Record, canonical_json


def test_id_is_the_sha256_of_cell_and_sample(key, of):
    record = of(key())
    cell = {name: getattr(record, name) for name in (
        "task", "setting", "tokenizer", "tokenizer_fingerprint", "layers", "llm", "llm_revision", "dtype", "data",
        "data_fingerprint", "prompt_style", "scoring", "seed")}  # fmt: skip
    text = json.dumps({"cell": cell, "sample": record.sample}, sort_keys=True, separators=(",", ":"))
    assert record.id == hashlib.sha256(text.encode()).hexdigest()
    assert record.record_id(record.sample) == record.id


@pytest.mark.parametrize("field", ["tokenizer_fingerprint", "llm_revision", "dtype", "layers", "data_fingerprint"])
def test_whatever_could_change_a_reply_changes_the_id(key, field):
    assert key().record_id("a") != key(**{field: "9"}).record_id("a")


def test_fields_are_frozen_and_hold_no_time_and_no_cache_flag(key, of):
    assert list(Record.model_fields) == [
        "task", "setting", "tokenizer", "tokenizer_fingerprint", "layers", "llm", "llm_revision", "dtype", "data",
        "data_fingerprint", "prompt_style", "scoring", "seed", "id", "sample", "sample_fingerprint", "prompt",
        "choices", "answer", "reply", "prediction", "status", "value", "detail", "metric", "references",
    ]  # fmt: skip
    with pytest.raises(ValidationError):
        of(key()).answer = "vase"


def test_a_line_says_metric_and_references_only_where_they_say_something(key, of):
    assert {"metric", "references"}.isdisjoint(json.loads(of(key()).line()))
    caption = of(key(), metric="ROUGE-L", references=("a lion", "lions"))
    held = json.loads(caption.line())
    assert (held["metric"], held["references"]) == ("ROUGE-L", ["a lion", "lions"])
    assert Record.model_validate_json(caption.line()) == caption and caption.id == of(key()).id


def test_a_line_is_ascii_one_line_and_reads_back_equal(key, of):
    record = of(key(), reply="a\n\u202eb\u2028\x1b[31m löwe", detail='"')
    line = record.line()
    assert line.isascii() and "\n" not in line and "\x1b" not in line
    assert Record.model_validate_json(line) == record
    assert Record.model_validate_json(line).line() == line


@pytest.mark.parametrize("changes", [
    pytest.param({"status": "empty"}, id="empty-with-a-value"),
    pytest.param({"value": None}, id="scored-without-a-value"),
    pytest.param({"value": float("nan")}, id="nan"),
    pytest.param({"status": "wrong"}, id="unknown-status"),
])  # fmt: skip
def test_inconsistent_records_are_refused(key, of, changes):
    with pytest.raises(ValidationError):
        of(key(), **changes)


def test_an_edited_record_no_longer_fits_its_id(key, of):
    fields = json.loads(of(key()).line()) | {"tokenizer": "vqgan"}
    with pytest.raises(ValidationError, match="id must be the sha256"):
        Record.model_validate(fields)


@pytest.mark.parametrize("layers", ["", "1-", "a", "1;2", "-1"])
def test_layers_are_numbers_and_ranges(key, layers):
    with pytest.raises(ValidationError):
        key(layers=layers)


def test_calls_have_no_negative_time():
    with pytest.raises(ValidationError):
        Call(record="a", cached=False, seconds=-1)


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert (
        canonical_json({"b": 1, "a": [1.0, None]})
        == canonical_json({"a": [1.0, None], "b": 1})
        == '{"a":[1.0,null],"b":1}'
    )
