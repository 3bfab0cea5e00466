"""`python -m spae`: help, and errors of one line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from spae.cli import app
from spae.training import trainer


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_help_names_the_options_and_an_example():
    done = run("train", "--help")
    assert done.exit_code == 0
    examples = ("python -m spae train --recipe picto_spae", "accelerate launch --num_processes 8 -m spae train")
    for part in ("--recipe", "--out", "--set", "--resume", "--wandb", *examples):
        assert part in done.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from spae.cli import app;"
        "assert CliRunner().invoke(app, ['train', '--help']).exit_code == 0;"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'transformers', 'accelerate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "picto_spea"], "unknown recipe 'picto_spea': did you mean 'picto_spae'?"),
        (["--recipe", "picto_spae", "--set", "stepz=5"], "--set takes key=value"),
        (["--recipe", "picto_spae", "--set", "steps=0"], "steps"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    done = run("train", "--out", str(tmp_path / "run"), *arguments)
    assert done.exit_code == 2 and message in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.output
    assert not (tmp_path / "run").exists()


def test_recipe_settings_and_folder_reach_the_trainer(tmp_path, monkeypatch):
    seen = []

    def stand_in(recipe, folder, console, wandb):
        seen.append((recipe.name, recipe.steps, folder))
        return type("Run", (), {"run": lambda self, resume: seen.append(resume) or {"held_out_style/mse": 0.12345}})()

    monkeypatch.setattr(trainer, "Trainer", stand_in)
    done = run("train", "--recipe", "picto_vqgan", "--out", str(tmp_path), "--set", "steps=7", "--resume")
    assert done.exit_code == 0, done.output
    assert seen == [("picto_vqgan", 7, tmp_path), True]
    assert "held_out_style/mse: 0.1235" in done.output or "held_out_style/mse: 0.1234" in done.output
    assert str(tmp_path / "model.safetensors") in done.output
