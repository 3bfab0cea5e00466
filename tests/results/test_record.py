"""Records: their id, their bytes, and what they refuse."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from results.record import Call, Record, Step
from spae.canonical import canonical_json


def test_id_is_the_sha256_json_cell_and_sample(key, of):
    record = of(key())
    cell = {name: getattr(record, name) for name in (
        "task", "setting", "tokenizer", "tokenizer_fingerprint", "layers", "shuffled", "model", "model_revision",
        "dtype", "data", "data_fingerprint", "prompt_style", "scoring", "seed")}  # fmt: skip
    text = json.dumps({"cell": cell, "sample_id": record.sample_id}, sort_keys=True, separators=(",", ":"))
    assert record.id == hashlib.sha256(text.encode()).hexdigest()
    assert record.record_id(record.sample_id) == record.id


@pytest.mark.parametrize("field", ["tokenizer_fingerprint", "model_revision", "dtype", "layers", "data_fingerprint"])
def test_whatever_could_change_a_reply_changes_the_id(key, field):
    assert key().record_id("a") != key(**{field: "9"}).record_id("a")


def test_fields_are_frozen_and_hold_no_time_and_no_cache_flag(key, of):
    assert list(Record.model_fields) == [
        "task", "setting", "tokenizer", "tokenizer_fingerprint", "layers", "shuffled", "model", "model_revision",
        "dtype", "data", "data_fingerprint", "prompt_style", "scoring", "seed", "id", "sample_id", "sample_fingerprint",
        "prompt", "choices", "target", "references", "reply", "prediction", "status", "scores", "explanation",
        "steps", "tokens", "images",
    ]  # fmt: skip
    with pytest.raises(ValidationError):
        of(key()).target = "vase"


def test_a_line_leaves_out_fields_with_their_default(key, of):
    plain = json.loads(of(key(), choices=()).line())
    assert {"shuffled", "choices", "references", "explanation", "steps", "tokens", "images"}.isdisjoint(plain)
    assert plain["reply"] == " lion" and plain["seed"] == 0  # required fields stay, whatever they hold


def test_a_line_holds_scores_steps_tokens_and_images(key, of):
    step = Step(prompt_sha256=("a" * 64,), samples=2, temperature=0.5, retries=1, filled=3, out_of_vocabulary=4)
    record = of(
        key(shuffled=True), scores={"mse": 0.25, "psnr": 12.0}, references=("a lion", "lions"), steps=(step, step),
        tokens=(("cat",), ("cat", "dog")), images=("a.png",),
    )  # fmt: skip
    held = json.loads(record.line())
    assert held["scores"] == {"mse": 0.25, "psnr": 12.0} and held["shuffled"] is True
    assert held["steps"][0] == step.model_dump(mode="json") and held["tokens"] == [["cat"], ["cat", "dog"]]
    assert Record.model_validate_json(record.line()) == record
    assert Record.model_validate_json(record.line()).line() == record.line()


def test_a_line_is_ascii_one_line_and_reads_back_equal(key, of):
    record = of(key(), reply="a\n\u202eb\u2028\x1b[31m löwe", explanation='"')
    line = record.line()
    assert line.isascii() and "\n" not in line and "\x1b" not in line
    assert Record.model_validate_json(line) == record
    assert Record.model_validate_json(line).line() == line


@pytest.mark.parametrize("changes", [
    pytest.param({"status": "empty"}, id="empty-with-a-value"),
    pytest.param({"scores": {}}, id="scored-without-a-value"),
    pytest.param({"scores": {"accuracy": float("nan")}}, id="nan"),
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
