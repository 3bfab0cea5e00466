"""Training data of a recipe: opened by its `data.source`, sampled by step, and the held-out images of evaluation.

B global batch, R rows asked for, P held-out images.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from spae.data.datasets.protocol import TrainingBatch, TrainingData
from spae.data.embedded.pictograms import load_pictograms
from spae.data.embedded.training_pictograms import load_training_pictograms
from spae.data.spec import DataSpec
from spae.errors import InputError
from spae.training.data_schemes import EMBEDDED, check_source
from spae.training.data_schemes import SCHEMES as SCHEMES  # a public name
from spae.training.evaluate import held_out_pictograms, spread
from spae.training.pictogram_data import PictogramData
from spae.training.recipe import Recipe
from spae.training.step_random import step_seed

CORRUPT_FILES = "corrupt_files.txt"

Parts = dict[str, tuple[Tensor, Tensor]]
"""Images [P, 3, ...] in [-1, 1] and labels [P], by the prefix of their metrics."""


def open_data(recipe: Recipe, folder: Path) -> TrainingData:
    """The training data of a recipe; corrupt files are listed in the run's folder.

    Raises:
        InputError: the semantic loss reads the text of labels, and some classes have no name.
        Others as `open_training_data`.
    """
    data = open_training_data(
        recipe.data.source,
        size=recipe.model.image_size,
        frames=recipe.model.num_frames,
        batch=recipe.data.batch_size,
        seed=recipe.optimizer.seed,
        exclude=recipe.data.exclude_classes,
        strength=recipe.data.augment,
        corrupt_files_list=folder / CORRUPT_FILES,
    )
    if recipe.semantics.scorer == "label_text" and data.unnamed:
        data.close()
        raise InputError(
            f"semantics.scorer=label_text reads names of classes, {data.unnamed} of {len(data.classes)} in "
            f"{recipe.data.source} have an id or number alone ({data.classes[0]!r}): add ?classes=FILE, a file of names"
        )
    return data


def open_training_data(
    spec: str,
    *,
    size: int,
    frames: int = 0,
    batch: int,
    seed: int,
    exclude: str = "",
    strength: float = 1.0,
    workers: int | None = None,
    corrupt_files_list: Path | None = None,
) -> TrainingData:
    """The batches of a recipe.

    Args:
        spec: a name or `SCHEME:LOCATION?option=value` (see `data_schemes` and `spae.data.spec`).
        size: side of the model's images in pixels.
        frames: frames of a video; 0 for images.
        batch: global batch.
        seed: of the run.
        exclude: list of classes to leave out: its name, or a file of names, one a line.
        strength: of the random changes; 0 leaves the mirror alone.
        workers: decoding threads; None is one a core, at most 16.
        corrupt_files_list: the list of corrupt files is written there.

    Raises:
        UnknownName: unknown scheme or option.
        InputError: the spec does not fit `frames` or `exclude`, or a package is missing.
        DataError: the data cannot be used.
    """
    parsed = check_source(spec, frames, exclude)
    if parsed.scheme in EMBEDDED:
        return _embedded(parsed, size=size, frames=frames, batch=batch, seed=seed, strength=strength)
    from spae.data.datasets.sources import open_samples

    return open_samples(
        parsed,
        size=size,
        frames=frames,
        batch=batch,
        seed=seed,
        exclude=Path(exclude) if exclude else None,
        strength=strength,
        workers=workers,
        corrupt_files_list=corrupt_files_list,
    )


def _embedded(spec: DataSpec, *, size: int, frames: int, batch: int, seed: int, strength: float) -> TrainingData:
    if spec.scheme == "mnist":
        from spae.data.embedded.mnist_training import open_mnist

        return open_mnist(spec.location, size=size, batch=batch, seed=seed)
    pictograms = load_training_pictograms() if spec.scheme == "pictograms-more" else load_pictograms()
    return PictogramData(
        batch=batch,
        size=size,
        frames=frames,
        seed=seed,
        strength=strength,
        pictograms=pictograms,
        name=spec.scheme,
    )


def sample_step(data: TrainingData, seed: int, step: int, rows: slice | None) -> tuple[TrainingBatch, torch.Generator]:
    """The rows of a step, and the generator of all further randomness of the step.

    Pictograms sample their augmentation from it first: the committed models were trained so. Other data have a seed
    for each row.
    """
    generator = torch.Generator().manual_seed(step_seed(seed, step))
    if isinstance(data, PictogramData):
        return data.sample(step, generator, rows), generator
    return data.at(step, rows), generator


def held_out_parts(data: TrainingData, limit: int) -> Parts:
    """The images to evaluate, at most `limit` a part: two kinds of pictograms, or other data's held-out images."""
    if isinstance(data, PictogramData) and not data.frames:
        parts = held_out_pictograms(data.pictograms, data.size)
        return {name: (spread(images, limit), spread(labels, limit)) for name, (images, labels) in parts.items()}
    batch = data.held_out(limit)
    return {"held_out": (batch.images, batch.labels)}
