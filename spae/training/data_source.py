"""A trainer's view of its data: a step's rows with the chance that goes with them, and what evaluation looks at.

B global batch, R rows asked for, P held-out images.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from spae.data.datasets.protocol import TrainingBatch, TrainingData
from spae.errors import InputError
from spae.training.evaluate import held_out_pictograms
from spae.training.open_data import open_training_data
from spae.training.pictogram_data import PictogramData
from spae.training.recipe import Recipe
from spae.training.step_random import step_seed

PROBLEMS = "problems.txt"

Parts = dict[str, tuple[Tensor, Tensor]]
"""Images [P, 3, ...] in [-1, 1] and labels [P], by the name that their figures begin with."""


def open_data(recipe: Recipe, folder: Path) -> TrainingData:
    """What a recipe trains on; corrupt files are listed in the run's folder.

    Raises:
        InputError: the semantic loss reads label text, and nothing tells the names of some classes.
        Others as `open_training_data`.
    """
    data = open_training_data(
        recipe.data,
        size=recipe.size,
        frames=recipe.frames,
        batch=recipe.batch,
        seed=recipe.seed,
        exclude=recipe.exclude,
        strength=recipe.augment,
        problems_file=folder / PROBLEMS,
    )
    if recipe.semantics == "label_text" and data.unnamed:
        data.close()
        raise InputError(
            f"semantics=label_text reads names of classes, {data.unnamed} of {len(data.classes)} in {recipe.data} are "
            f"known by an id or number alone ({data.classes[0]!r}): name a file of names by ?classes=FILE"
        )
    return data


def draw_step(data: TrainingData, seed: int, step: int, rows: slice | None) -> tuple[TrainingBatch, torch.Generator]:
    """The rows of a step, and the generator that all further chance of the step is drawn from.

    Pictograms draw their random changes from it first: so were the committed models trained. Other data have chance
    of their own, a seed a row.
    """
    generator = torch.Generator().manual_seed(step_seed(seed, step))
    if isinstance(data, PictogramData):
        return data.drawn(step, generator, rows), generator
    return data.at(step, rows), generator


def held_out_parts(data: TrainingData, limit: int) -> Parts:
    """What is evaluated, at most `limit` of each part: two kinds of pictograms; of other data, what is held out."""
    if isinstance(data, PictogramData) and not data.frames:
        parts = held_out_pictograms(data.pictograms, data.size)
        return {name: (spread(images, limit), spread(labels, limit)) for name, (images, labels) in parts.items()}
    batch = data.held_out(limit)
    return {"held_out": (batch.images, batch.labels)}


def spread(rows: Tensor, limit: int) -> Tensor:
    """At most `limit` rows, spread evenly over all."""
    if len(rows) <= limit:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, limit).round().long()]
