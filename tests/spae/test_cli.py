"""`python -m spae`: help, errors of one line, and how it is launched."""

from __future__ import annotations

import errno
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchmarks.cli
import spae
from spae.cli import app
from spae.distributed import check_launcher
from spae.errors import InputError
from spae.training import trainer
from spae.training.interruption import Interrupted


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
    (tmp_path / "step-000001.safetensors").touch()
    done = run("train", "--recipe", "picto_vqgan", "--out", str(tmp_path), "--set", "optimizer.steps=7", "--resume")
    assert done.exit_code == 0, done.output
    assert seen == [("picto_vqgan", 7, tmp_path), True]
    assert "held_out_style/mse: 0.1235" in done.output or "held_out_style/mse: 0.1234" in done.output
    assert str(tmp_path / "model.safetensors") in done.output
    seen.clear()
    done = run("train", "--recipe", "image", "--smoke", "--set", "optimizer.steps=7")
    assert done.exit_code == 0, done.output
    assert seen == [("image_smoke", 7, Path("runs/train/image_smoke")), False]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param(("--resume",), "holds no checkpoint to resume from", id="nothing to resume"),
        pytest.param((), "--out must be a folder", id="a file"),
    ],
)
def test_folder_is_checked_before_any_work(tmp_path, more, said):
    out = tmp_path / "run"
    if not more:
        out.touch()
    done = run("train", "--recipe", "picto_vqgan", "--out", str(out), *more)
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_launcher_that_starts_one_process_is_refused_naming_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    done = run("train", "--recipe", "picto_vqgan", "--out", str(tmp_path / "run"))
    assert done.exit_code == 2 and "use torchrun --nproc_per_node 2 -m spae train" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


def test_environment_of_accelerate_launch_on_cpus_is_refused():
    """By accelerate's own command line and the environment that it makes; `small_run` has torchrun's."""
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    arguments = launch_command_parser().parse_args(["--cpu", "--num_processes", "2", "-m", "spae", "train"])
    arguments.mixed_precision, arguments.num_machines, arguments.dynamo_backend = "no", 1, "no"
    _, environment = prepare_simple_launcher_cmd_env(arguments)
    with pytest.raises(InputError, match="use torchrun --nproc_per_node 2"):
        check_launcher(environment)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("kept", [True, False])
def test_stopped_training_prints_the_command_that_goes_on(tmp_path, monkeypatch, number, code, kept):
    def stopped(self, resume):
        if kept:
            (tmp_path / "step-000003.safetensors").write_bytes(b"")
        raise Interrupted(number, "what is kept")

    monkeypatch.setattr(trainer, "Trainer", lambda *_: type("Run", (), {"run": stopped})())
    given = ["train", "--recipe", "picto_vqgan", "--out", str(tmp_path), "--set", "model.codebook_size=20"]
    done = run(*given)
    how = "to resume" if kept else "to begin again"
    line = f"stopped by {number.name}: what is kept; {how}: python -m spae {shlex.join(given)}"
    assert done.exit_code == code and done.stderr == line + (" --resume" if kept else "") + "\n"


def test_disk_failures_are_one_line(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "some/file")

    monkeypatch.setattr(trainer, "Trainer", full)
    done = run("train", "--recipe", "picto_vqgan", "--out", str(tmp_path))
    assert done.exit_code == 2 and "some/file: No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [[], ["train"], ["tokenize"], ["decode"], ["evaluate"], ["recipes"], ["vocabulary"]]
)
def test_short_help_everywhere(command):
    done = run(*command, "-h")
    assert done.exit_code == 0 and "Usage:" in done.output


def test_both_command_lines_print_their_version():
    for command_line in (app, benchmarks.cli.app):
        done = CliRunner().invoke(command_line, ["--version"])
        assert done.exit_code == 0 and done.output == f"spae-bench {spae.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenize", "HERE/phots"], "did you mean HERE/photos?"),
        (["tokenize", "HERE/photos", "--layers", "x"], "--layers takes layers from 1"),
        (["tokenize", "HERE/photos/a.png", "--layers", "7"], "there is no layer 7, only 1-4"),
        (["tokenize", "HERE/photos/a.png", "--tokenizer", "spea"], "did you mean 'spae'?"),
        (["evaluate", "spea"], "did you mean 'spae'?"),
        (["evaluate", "HERE/phots"], "did you mean HERE/photos?"),
        (["evaluate", "spae", "--data", "HERE/phots"], "did you mean HERE/photos?"),
        (["evaluate", "spae", "--data", "pictogram"], "did you mean 'pictograms'?"),
        (["recipes", "imag"], "did you mean 'image'?"),
        (["recipes", "image", "--set", "lr=1"], "did you mean 'optimizer.learning_rate'?"),
        (["train", "--recipe", "imag"], "did you mean 'image'?"),
        (["train", "--recipe", "image", "--set", "lr=1"], "did you mean 'optimizer.learning_rate'?"),
        (["train", "--recipe", "image", "--set", "data.source=foldr:/x"], "did you mean 'folder'?"),
        (["train", "--recipe", "image", "--set", "model.network=imag"], "did you mean 'image'?"),
        (["train", "--recipe", "image", "--set", "model.image_size=64"], "makes a grid of (8, 8)"),
        (["train", "--recipe", "image", "--set", "appearance.perceptual=resnet5"], "did you mean 'resnet50'?"),
    ],
)  # fmt: skip
def test_what_is_typed_is_checked_before_torch_is_loaded(tmp_path, without_torch, arguments, message):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    done = run(*(one.replace("HERE", str(tmp_path)) for one in arguments))
    assert done.exit_code == 2 and message.replace("HERE", str(tmp_path)) in done.stderr, done.output
    assert done.stderr.count("\n") == 1


@pytest.fixture
def without_torch(monkeypatch):
    """Importing torch fails, as do our modules that need it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [one for one in sys.modules if one.startswith("spae.") and hasattr(sys.modules[one], "torch")]:
        monkeypatch.delitem(sys.modules, name)
