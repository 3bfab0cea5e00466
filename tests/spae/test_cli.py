"""`python -m spae`: help, errors of one line, and how it is launched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spae.cli import app
from spae.training import trainer


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_help_names_the_options_and_an_example():
    done = run("train", "--help")
    assert done.exit_code == 0
    examples = ("python -m spae train --recipe picto_spae", "torchrun --nproc_per_node 8 -m spae train")
    for part in ("--recipe", "--out", "--set", "--smoke", "--resume", "--wandb", *examples):
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
        (["--recipe", "picto_spae", "--set", "optimizer.stepz=5"], "did you mean 'optimizer.steps'"),
        (["--recipe", "picto_spae", "--set", "optimizer.steps=0"], "optimizer.steps"),
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
        seen.append((recipe.name, recipe.optimizer.steps, folder))
        return type("Run", (), {"run": lambda self, resume: seen.append(resume) or {"held_out_style/mse": 0.12345}})()

    monkeypatch.setattr(trainer, "Trainer", stand_in)
    done = run("train", "--recipe", "picto_vqgan", "--out", str(tmp_path), "--set", "optimizer.steps=7", "--resume")
    assert done.exit_code == 0, done.output
    assert seen == [("picto_vqgan", 7, tmp_path), True]
    assert "held_out_style/mse: 0.1235" in done.output or "held_out_style/mse: 0.1234" in done.output
    assert str(tmp_path / "model.safetensors") in done.output
    seen.clear()
    done = run("train", "--recipe", "image", "--smoke", "--set", "optimizer.steps=7")
    assert done.exit_code == 0, done.output
    assert seen == [("image_smoke", 7, Path("runs/train/image_smoke")), False]


def launched(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment
    )


def test_launcher_that_starts_one_process_is_refused_naming_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    done = run("train", "--recipe", "picto_vqgan", "--out", str(tmp_path / "run"))
    assert done.exit_code == 2 and "use torchrun --nproc_per_node 2 -m spae train" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_accelerate_launch_on_cpus_is_refused(tmp_path):
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "-m",
        "spae",
        "train",
    ]
    done = launched([*command, "--recipe", "picto_vqgan", "--out", str(tmp_path / "run")])
    assert done.returncode != 0 and "use torchrun --nproc_per_node 2" in done.stderr


@pytest.mark.slow
def test_torchrun_trains_in_two_processes(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "spae"]
    settings = [
        "data.source=mnist", "optimizer.steps=2", "data.batch_size=4", "data.decode_batch_size=4",
        "logging.evaluate_images=4", "logging.samples_every=99",
    ]  # fmt: skip
    command = [*torchrun, "train", "--recipe", "picto_vqgan", "--out", str(tmp_path / "run")]
    done = launched(
        [*command, *(part for setting in settings for part in ("--set", setting))], ACCELERATE_USE_CPU="true"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training in 2 processes") == 1 and done.stdout.count("written:") == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 2], "the last step's losses, and its evaluation"
