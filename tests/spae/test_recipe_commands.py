"""`python -m spae recipes` and `vocabulary`."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
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
        (["--sentencepiece", "a.model"], "a vocabulary has one source"),
        (["--matrix", "m.npy", "--masked-lm", "b"], "a vocabulary has one source"),
        (["--masked-lm", "b", "--tensor", "e"], "a vocabulary has one source"),
        (["--causal-lm", "gone.gguf"], "there is no file gone.gguf"),
    ],
)
def test_sources_that_do_not_fit(arguments, message):
    done = run("vocabulary", "mine", *arguments)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_vocabulary_of_a_sentencepiece_model_and_a_matrix(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs pip install 'spae-bench[vocabularies]'")
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the lion sleeps near the river"] * 20), model_writer=written, vocab_size=40,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "words.model").write_bytes(written.getvalue())
    pieces = len(sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "words.model")))
    matrix = torch.arange(pieces * 3, dtype=torch.float32).reshape(pieces, 3)
    save_file({"e": matrix, "other": matrix + 1}, tmp_path / "m.safetensors")
    files = ("--sentencepiece", str(tmp_path / "words.model"), "--matrix", str(tmp_path / "m.safetensors"))
    assert "holds e, other" in run("vocabulary", "mine", *files).stderr
    done = run("vocabulary", "mine", *files, "--tensor", "e")
    assert done.exit_code == 0, done.stderr
    made = open_vocabulary("mine")
    assert made.source == "words.model with the embeddings of m.safetensors"
    assert made.embeddings.equal(matrix[list(made.tokens)])
    gone = run("vocabulary", "mine", "--sentencepiece", str(tmp_path / "gone.model"), *files[2:])
    assert gone.exit_code == 2 and "there is no sentencepiece model" in gone.stderr


@pytest.mark.parametrize(
    "model", ["/nope/folder", "./nope", "../nope/x", "~/nope-at-home", "a/b/c", "nope/", "C:\\nope"]
)
@pytest.mark.parametrize("option", ["--causal-lm", "--masked-lm"])
def test_a_missing_local_folder_is_named_as_such(monkeypatch, option, model):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the hub was asked"))
    done = run("vocabulary", "mine", option, model)
    assert done.exit_code == 2 and done.stderr.startswith(f"error: there is no folder {model}: name one")


def test_a_name_that_could_be_either_is_said_to_be_neither(monkeypatch):
    def unreachable(*_, **__):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    done = run("vocabulary", "mine", "--causal-lm", "models/gone")
    assert done.exit_code == 2 and done.stderr.startswith("error: there is no folder models/gone here, and of the hub:")


@pytest.mark.parametrize("change", ["none", "no tokenizer", "code of its own", "an index of a missing file"])
def test_a_local_folder_asks_the_hub_and_the_user_nothing(tmp_path, monkeypatch, tiny_roberta, change):  # noqa: F811
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked"))
    folder = tmp_path / "lm"
    shutil.copytree(tiny_roberta, folder)
    if change == "no tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    if change == "code of its own":
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["owner/name--code.X", None]}})
        )
    if change == "an index of a missing file":
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": dict.fromkeys(tensors, "gone.safetensors")})
        )
    done = run("vocabulary", "mine", "--masked-lm", str(folder))
    assert (done.exit_code, done.stderr.count("\n")) == ((0, 0) if change in ("none", "code of its own") else (2, 1)), (
        done.stderr
    )
