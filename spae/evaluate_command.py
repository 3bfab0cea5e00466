"""`python -m spae evaluate`: the metrics of a trained model on images, as a table or as JSON."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from spae.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from spae.tokenizers.pretrained import PretrainedTokenizer

PICTOGRAMS = "pictograms"
FAMILIES: dict[str, tuple[str, str]] = {
    "mse": ("squared error", "mean over pixels on [-1, 1], reconstructed from the first layers; lower is better"),
    "perceptual": ("perceptual distance", "of reconstructions from all layers; lower is better"),
    "word_similarity": ("similarity of the words", "mean of s (Eq. 6, 0 to 1) to the image's label; higher is better"),
    "similar_word_rate": ("similar words", "part of the words with s of at least 0.9; higher is better"),
    "word_accuracy": ("accurate words", "part of the words nearest to their image's class; higher is better"),
}
"""Families of metrics: what each is, and how to read it."""


def evaluate(
    tokenizer: Annotated[
        str, typer.Argument(help="A name, such as spae, a folder that train wrote, or hf:OWNER/NAME.")
    ],
    data: Annotated[
        str,
        typer.Option(help="Images to evaluate: pictograms, or what --data of `python -m benchmarks run` takes."),
    ] = PICTOGRAMS,
    limit: Annotated[int, typer.Option(help="At most so many images of --data, spread evenly.", min=1)] = 1000,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the reconstruction error by layers, and how well the words fit what the images show.

    By default on pictograms that no tokenizer has seen: all of the held-out style, and all held-out concepts. Images
    right in a folder, without class folders, have no labels for the words: only the error is measured.

    Examples:

      python -m spae evaluate spae

      python -m spae evaluate runs/train/picto_spae --data photos/ --json
    """
    from spae.tokenizers.pretrained import PretrainedTokenizer
    from spae.tokenizers.registry import open_tokenizer

    opened = open_tokenizer(tokenizer)
    if not isinstance(opened, PretrainedTokenizer):
        raise InputError(f"{tokenizer} is another package's tokenizer: evaluate measures models that spae trained")
    if data != PICTOGRAMS:
        from spae.data.opening import check_data_path

        check_data_path(data)
    from spae.console import SafeConsole
    from spae.training.progress import showing_work

    said = SafeConsole(stderr=True)
    with showing_work(said):
        images, metrics = _evaluated(opened, data, limit)
    if json:
        found = {"tokenizer": opened.name, "data": data, "images": images, "metrics": metrics}
        typer.echo(json_format.dumps(found, indent=2))
        return
    console = SafeConsole()
    console.print(_table(opened.name, images, metrics))
    for family, (_, reading) in FAMILIES.items():
        if any(name.split("/")[1] == family for name in metrics):
            console.print(f"{FAMILIES[family][0]}: {reading}", markup=False, highlight=False)


def _evaluated(opened: PretrainedTokenizer, data: str, limit: int) -> tuple[dict[str, int], dict[str, float]]:
    """Images by part, and "PART/METRIC": value."""
    from spae.tokenizers.build import load_model
    from spae.training.evaluate import Evaluator, held_out_pictograms, label_scores, user_images
    from spae.training.word_scores import LabelScores
    from spae.vocabulary import LexicalVocabulary

    vocabulary: LexicalVocabulary = opened.lexical_vocabulary
    scores: LabelScores | None
    if data == PICTOGRAMS:
        from spae.data.embedded.pictograms import load_pictograms

        pictograms = load_pictograms()
        parts = held_out_pictograms(pictograms, opened.image_size)
        scores = LabelScores(label_scores(pictograms, vocabulary.words), ())
    else:
        part, scores = user_images(
            data, opened.prepare, vocabulary.words, limit, lambda line: typer.echo(line, err=True)
        )
        parts = {"images": part}
    metrics = Evaluator(parts, scores)(load_model(opened.folder, vocabulary))
    return {name: len(images) for name, (images, _) in parts.items()}, metrics


def _table(name: str, images: Mapping[str, int], metrics: Mapping[str, float]) -> Table:
    """A row a metric, a column a part of the images."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=name, title_justify="left")
    table.add_column("metric")
    for part, count in images.items():
        table.add_column(f"{part.replace('_', ' ')}\n{count:,} images", justify="right")
    rows: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        part, _, metric = key.partition("/")
        rows.setdefault(metric, {})[part] = value
    for metric, values in rows.items():
        table.add_row(_label(metric), *(f"{values[part]:.4f}" if part in values else "" for part in images))
    return table


def _label(metric: str) -> str:
    """ "mse/layers_1-3" as "squared error of the pixels, on [-1, 1], layers 1-3"."""
    family, _, which = metric.partition("/")
    return f"{FAMILIES.get(family, (family, ''))[0]}, {which.replace('_', ' ')}"
