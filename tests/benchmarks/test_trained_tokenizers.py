"""`--tokenizer FOLDER` and `--tokenizer hf:OWNER/NAME`: trained models in a run, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from spae.tokenizers.build import build_model, save_model, saved_config
from spae.tokenizers.config import ModelConfig
from spae.vocabulary import LexicalVocabulary, saved_vocabulary_path
from tests.spae.tokenizers.fake_hub import start_hub


@pytest.fixture
def trained(home: Path) -> Path:
    """A folder as train writes it, of a random model on a vocabulary of this user's."""
    words = tuple(f"w{a}{b}" for a in "abcdefghij" for b in "abcdefghij")
    vocabulary = LexicalVocabulary(
        words, torch.randn(100, 16, generator=torch.Generator().manual_seed(0)), "a test", "0"
    )
    vocabulary.save(saved_vocabulary_path("mine"))
    config = saved_config("my_spae", ModelConfig(quantizer="saq", vocabulary="mine"), vocabulary)
    folder = home / "runs/train/my_spae"
    folder.mkdir(parents=True)
    save_model(folder, build_model(config, vocabulary).state_dict(), config)
    return folder


def test_a_folder_and_the_same_model_on_the_hub(home, photos, script, command, trained, monkeypatch):
    hub, server = start_hub()
    hub.use(monkeypatch, home / "hub-cache")
    saved_vocabulary = saved_vocabulary_path("mine")
    files = {file.name: file.read_bytes() for file in trained.iterdir()}
    for suffix in (".safetensors", ".json"):
        files[f"vocabulary{suffix}"] = saved_vocabulary.with_suffix(suffix).read_bytes()
    hub.commit("me/spae", files)
    common = (
        "run",
        "--task",
        "miniimagenet-2way",
        "--setting",
        "i1-s1-r0",
        "--limit",
        2,
        "--data",
        photos,
        "--llm",
        script(),
    )
    records = []
    try:
        for name, tokenizer in (("here", "runs/train/my_spae"), ("hub", "hf:me/spae")):
            code, _, errors = command(*common, "--tokenizer", tokenizer, "--out", name)
            assert code == 0, errors
            records.append([json.loads(line) for line in (home / name / "records.jsonl").read_text().splitlines()])
    finally:
        server.shutdown()
        server.server_close()
    here, there = records
    assert len(here) == 2 and {one["tokenizer"] for one in here} == {"my_spae"}
    assert [one["prompt"] for one in here] == [one["prompt"] for one in there]
    assert {one["tokenizer_fingerprint"] for one in here} == {one["tokenizer_fingerprint"] for one in there}


def test_a_name_that_is_not_there_is_one_line(home, photos, script, command, monkeypatch):
    hub, server = start_hub()
    hub.use(monkeypatch, home / "hub-cache")
    code, _, errors = command(
        "run", "--task", "miniimagenet-2way", "--data", photos, "--llm", script(), "--tokenizer", "hf:me/none"
    )
    server.shutdown()
    server.server_close()
    assert code == 2 and "nor a public model on the hub" in errors and errors.count("\n") == 1
