"""`python -m spae recipes` and `vocabulary`."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from spae.cli import app
from spae.training.recipes import RECIPES
from spae.vocabulary import open_vocabulary
from tests.spae.tokenizers.conftest import tiny_roberta  # noqa: F401 (a fixture)


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_the_table_has_every_recipe_and_needs_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from spae.cli import app;"
        "done = CliRunner().invoke(app, ['recipes'], env={'COLUMNS': '200'}); assert done.exit_code == 0;"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'accelerate') if m in sys.modules]); print(done.output)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, _, table = done.stdout.partition("\n")
    assert first == "[]" and all(name in table for name in RECIPES) and "450,000 steps of 256" in table


def test_one_recipe_and_json():
    done = run("recipes", "image-8")
    assert done.exit_code == 0 and "source: appendix B.1 (Image SPAE-8)" in done.output and "FID 3.89" in done.output
    for line in ('model.pyramid="image-8" ', "optimizer.learning_rate=0.0001 ", "peak learning rate of Adam"):
        assert line in done.output
    described = json.loads(run("recipes", "image-8", "--json").output)
    assert ("data.batch_size", 256) in [(one["field"], one["value"]) for one in described["fields"]]
    listed = json.loads(run("recipes", "--json").output)
    assert [one["name"] for one in listed] == list(RECIPES)
    wrong = run("recipes", "imag")
    assert wrong.exit_code == 2 and wrong.stderr.startswith("error: unknown recipe 'imag': did you mean 'image'")


def test_the_configuration_of_a_training_is_printed_before_it():
    described = json.loads(run("recipes", "image", "--smoke", "--set", "optimizer.steps=50", "--json").output)
    fields = {one["field"]: one["value"] for one in described["fields"]}
    assert (fields["name"], fields["optimizer.steps"], fields["data.source"]) == ("image_smoke", 50, "pictograms")
    wrong = run("recipes", "--smoke")
    assert wrong.exit_code == 2 and "give its NAME" in wrong.stderr


def test_recipe_without_its_data_fails_before_any_work(tmp_path):
    done = run("train", "--recipe", "ablation_vq", "--out", str(tmp_path / "run"))
    assert done.exit_code == 2 and done.stderr.startswith("error: recipe ablation_vq lacks its data")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


def test_vocabulary_of_a_masked_language_model_is_saved_by_name(tmp_path, monkeypatch, tiny_roberta):  # noqa: F811
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    done = run("vocabulary", "mine", "--masked-lm", str(tiny_roberta), "--most-frequent", "3")
    assert done.exit_code == 0 and done.output.startswith("3 words, written: ")
    assert open_vocabulary("mine").source == "tiny-roberta input embeddings"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a vocabulary has one source"),
        (["--causal-lm", "a", "--masked-lm", "b"], "a vocabulary has one source"),
        (["--encoding", "cl100k_base"], "a vocabulary has one source"),
        (["--masked-lm", "b", "--base-url", "http://x"], "a vocabulary has one source"),
        (["--causal-lm", "gone.gguf"], "there is no file gone.gguf"),
        (["--causal-lm", "./gone"], "there is no folder gone"),
        (["--masked-lm", "/gone/models/mine"], "there is no folder /gone/models/mine"),
        (["--sentencepiece", "a.model"], "a vocabulary has one source"),
        (["--sentencepiece", "a.model", "--matrix", "a.npy", "--causal-lm", "b"], "a vocabulary has one source"),
        (["--causal-lm", "b", "--tensor", "e"], "a vocabulary has one source"),
        (["--sentencepiece", "gone.model", "--matrix", "a.npy"], "there is no file gone.model"),
    ],
)
def test_sources_that_do_not_fit(arguments, message):
    done = run("vocabulary", "mine", *arguments)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_vocabulary_of_a_sentencepiece_model(tmp_path, monkeypatch):
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs pip install 'spae-bench[vocabularies]'")
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the lion sleeps near the river"] * 20), model_writer=written, vocab_size=40,
        model_type="bpe", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "words.model").write_bytes(written.getvalue())
    np.save(tmp_path / "m.npy", np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32))
    files = ["--sentencepiece", str(tmp_path / "words.model"), "--matrix", str(tmp_path / "m.npy")]
    done = run("vocabulary", "mine", *files)
    assert done.exit_code == 0, done.output
    assert "lion" in open_vocabulary("mine").words


def test_local_folder_asks_no_hub(tmp_path, monkeypatch, tiny_roberta):  # noqa: F811
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))

    def refuse(*arguments, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    done = run("vocabulary", "mine", "--masked-lm", str(tiny_roberta))
    assert done.exit_code == 0, done.output
