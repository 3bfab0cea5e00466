"""`python -m spae`: train a tokenizer, and use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spae.errors import SpaeError
from spae.recipe_commands import recipes, vocabulary
from spae.terminal import SafeGroup
from spae.word_commands import decode, tokenize

app = typer.Typer(
    cls=SafeGroup, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
app.command()(tokenize)
app.command()(decode)
app.command()(recipes)
app.command()(vocabulary)


@app.callback()
def main() -> None:
    """SPAE: images as pyramids of words."""


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
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the newest checkpoint in the folder.")] = False,
    wandb: Annotated[bool, typer.Option(help="Log to Weights & Biases, too (extra: wandb).")] = False,
) -> None:
    """Train a tokenizer; `python -m spae recipes` lists what there is.

    Examples:

    python -m spae train --recipe picto_spae

    python -m spae train --recipe image --smoke --set optimizer.steps=50 --set data.batch_size=8

    python -m spae train --recipe picto_spae --resume

    torchrun --nproc_per_node 8 -m spae train --recipe image --set data.source=folder:/data/imagenet
    """
    from spae.console import SafeConsole
    from spae.training.recipes import get_recipe
    from spae.training.recipes.ready import check_ready
    from spae.training.recipes.smoke import smoke as shrink
    from spae.training.trainer import Trainer

    try:
        base = get_recipe(recipe)
        chosen = (shrink(base) if smoke else base).with_settings(set_ or [])
        folder = out or Path("runs/train") / chosen.name
        check_ready(chosen)
        scores = Trainer(chosen, folder, SafeConsole(), wandb).run(resume)
    except SpaeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for name, value in scores.items():
        typer.echo(f"{name}: {value:.4f}")
    if scores:  # of several processes, the first has them
        typer.echo(f"written: {folder / 'model.safetensors'}")


@app.command()
def evaluate(
    tokenizer: Annotated[str, typer.Argument(help="A name, such as spae, or a folder that train wrote.")],
) -> None:
    """Print the reconstruction error and word similarity of a trained model on pictograms it never saw.

    Example: python -m spae evaluate spae
    """
    from spae.tokenizers.build import load_model
    from spae.tokenizers.model_folder import committed_folder, load_config
    from spae.training.evaluate import evaluate_pictograms
    from spae.vocabulary import open_vocabulary

    try:
        folder = committed_folder(f"picto_{tokenizer.replace('-', '_')}") or Path(tokenizer)
        model, config = load_model(folder), load_config(folder)
        found = evaluate_pictograms(model, config.image_size, open_vocabulary(config.vocabulary).words)
    except SpaeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for name, value in found.items():
        typer.echo(f"{name}: {value:.4f}")
