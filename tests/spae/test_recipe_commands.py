"""`python -m spae recipes` and `vocabulary`."""

from __future__ import annotations

import json
import subprocess
import sys

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
    ],
)
def test_sources_that_do_not_fit(arguments, message):
    done = run("vocabulary", "mine", *arguments)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1
