"""`python -m spae`: train a tokenizer, and use it. The one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from spae import __version__
from spae.errors import InputError, SpaeError, TrainingError
from spae.evaluate_command import evaluate
from spae.plugins import PluginError, failed_in
from spae.recipe_commands import recipes, vocabulary
from spae.terminal import SafeGroup, drop_output
from spae.word_commands import decode, tokenize


class OneLineErrors(SafeGroup):
    """An error that is deliberate, of the disk or of a plug-in is one line and exit code 2; bugs keep their traces."""

    def invoke(self, ctx: Any) -> Any:  # click's Context, or the one that typer brings
        try:
            return super().invoke(ctx)
        except (SpaeError, PluginError) as error:
            line = " ".join(str(error).split())
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of a pipe has gone, which click ends quietly
            place = f"{error.filename}: " if error.filename else ""
            line = f"{place}{error.strerror or error}: check the path, its permissions and the space left"
        except Exception as error:
            failure = failed_in(error)
            if failure is None:
                raise
            line = failure
        typer.echo(f"error: {line}", err=True)
        drop_output()
        raise typer.Exit(2)


app = typer.Typer(
    cls=OneLineErrors, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"spae-bench {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """SPAE: images as pyramids of words."""


app.command()(tokenize)
app.command()(decode)


@app.command()
def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, for example picto_spae.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/train/RECIPE by default.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe, GROUP.FIELD=VALUE; repeatable.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="At a size that trains in minutes on a CPU, on embedded data.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint in the folder, also a finished run.")
    ] = False,
    wandb: Annotated[bool, typer.Option(help="Log to Weights & Biases, too (extra: wandb).")] = False,
) -> None:
    """Train a tokenizer; `python -m spae recipes` lists what there is.

    Examples:

    python -m spae train --recipe picto_spae

    python -m spae train --recipe image --smoke --set optimizer.steps=50 --set data.batch_size=8

    python -m spae train --recipe picto_spae --resume

    python -m spae train --recipe picto_spae --set optimizer.steps=5000 --resume

    torchrun --nproc_per_node 8 -m spae train --recipe image --set data.source=folder:/data/imagenet
    """
    from spae.training.recipes import get_recipe
    from spae.training.recipes.smoke import smoke as shrink

    base = get_recipe(recipe)
    chosen = (shrink(base) if smoke else base).with_settings(set_ or [])
    folder = out or Path("runs/train") / chosen.name
    _check_folder(folder, resume)
    from spae.training.recipes.ready import check_ready

    check_ready(chosen)
    from spae.console import SafeConsole
    from spae.training.interruption import Interrupted
    from spae.training.trainer import Trainer

    try:
        scores = Trainer(chosen, folder, SafeConsole(), wandb).run(resume)
    except Interrupted as stop:
        if os.environ.get("RANK", "0") == "0":
            kept = any(folder.glob("step-*.safetensors"))
            again = _command(recipe, out, set_ or [], smoke, wandb, kept)
            typer.echo(f"{stop}; {'to resume' if kept else 'to begin again'}: {again}", err=True)
        # As a shell reports it, so that a scheduler sees a signal and no failure of the program.
        raise typer.Exit(128 + stop.signal) from stop
    for name, value in scores.items():
        typer.echo(f"{name}: {value:.4f}")
    if scores:  # of several processes, the first has them
        typer.echo(f"written: {folder / 'model.safetensors'}")


def _check_folder(folder: Path, resume: bool) -> None:
    """Fails before anything heavy is imported. Raises InputError, TrainingError."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out must be a folder, {folder} is a file: name another")
    if resume and not any(folder.glob("step-*.safetensors")):
        raise TrainingError(f"{folder} holds no checkpoint to resume from: run without --resume")


def _command(recipe: str, out: Path | None, settings: list[str], smoke: bool, wandb: bool, resume: bool) -> str:
    """The command line that goes on where this one stopped."""
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    start = ["torchrun", "--nproc_per_node", processes] if processes else ["python"]
    line = [*start, "-m", "spae", "train", "--recipe", recipe]
    line += [] if out is None else ["--out", str(out)]
    line += [part for setting in settings for part in ("--set", setting)]
    line += [flag for flag, given in (("--smoke", smoke), ("--wandb", wandb), ("--resume", resume)) if given]
    return shlex.join(line)


app.command()(evaluate)
app.command()(recipes)
app.command()(vocabulary)
