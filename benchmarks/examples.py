"""What a report shows of a run beside its numbers: example samples, and how the tokenizers reconstruct images.

Made by the run, from the same codec as the prompts; the report reads them from the run's folder.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from benchmarks.plan import Plan, TaskRun, TokenizerView
from benchmarks.question_groups import question_groups
from results.record import Record
from results.report.example import (
    DataNote,
    Example,
    Examples,
    Png,
    ReconstructedImage,
    Reconstruction,
    ShownImage,
    WordLayer,
    png_text,
)
from spae.data.annotations.annotated import query_images
from spae.data.protocol import ImageSet
from spae.data.registry import SETS
from spae.tokenizers.codec import Codec
from spae.tokenizers.protocol import Tokenizer
from spae.tokenizers.store import image_sha256
from spae.tokens import ImageTokens
from tasks.protocol import Sample

# Samples shown per setting, images shown reconstructed, and images that the reconstruction error is measured on.
SAMPLES = 2
RECONSTRUCTED = 6
MEASURED = 128


def make_examples(plan: Plan, records: Sequence[Record]) -> Examples:
    """Examples of the first samples of each task, as far as they have records."""
    by_sample: dict[tuple[str, str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if not record.shuffled:
            by_sample[record.task, record.tokenizer, record.layers, record.sample_id].append(record)
    # One view a tokenizer, of all its layers.
    whole = {
        view.tokenizer.name: TokenizerView(view.tokenizer, tuple(range(1, view.tokenizer.depth + 1)), "")
        for view in plan.views
    }
    samples = []
    for run in plan.task_runs:
        shown = _shown(run)
        for view in plan.views:
            if not view.shuffled:
                codec = plan.codec(run.data, whole[view.tokenizer.name])
                codec.prepare([image for sample in shown for image in sample.images])
                for sample in shown:
                    for record in by_sample[run.task.name, view.tokenizer.name, view.label, sample.id]:
                        samples.append(_example(run, codec, sample, record))
    data = {run.data.name: run.data for run in plan.task_runs}
    return Examples(
        data=tuple(_note(one) for one in data.values()),
        samples=tuple(samples),
        reconstructions=tuple(reconstruct(plan, one, view) for one in data.values() for view in whole.values()),
        questions=tuple(group for run in plan.task_runs for group in question_groups(run.task.name, run.samples)),
    )


def _note(data: ImageSet) -> DataNote:
    stands_for = SETS[data.name].stands_for if data.name in SETS else ""
    return DataNote(name=data.name, title=data.title, embedded=data.embedded, stands_for=stands_for)


def _shown(run: TaskRun) -> list[Sample]:
    """The first samples of the setting with the fewest images that has task induction, or of the first setting."""
    settings = run.samples.settings
    chosen = "i1-s1-r0" if "i1-s1-r0" in settings else settings[0]
    return list(run.samples.of(chosen)[:SAMPLES])


def _example(run: TaskRun, codec: Codec, sample: Sample, record: Record) -> Example:
    labels = sample.labels
    shown = []
    for image, tokens in zip(sample.images, codec.encode(sample.images), strict=True):
        query = image == sample.images[-1]
        shown.append(
            ShownImage(
                role="query" if query else "support",
                label=labels.get(image, sample.target if query else ""),
                png=png(run.data.image(image)),
                pyramid=_pyramid(tokens),
            )
        )
    return Example(
        task=record.task,
        setting=record.setting,
        sample_id=record.sample_id,
        tokenizer=record.tokenizer,
        layers=record.layers,
        shuffled=record.shuffled,
        model=record.model,
        scoring=record.scoring,
        images=tuple(shown),
        prompt=record.prompt,
        reply=record.reply,
        prediction=record.prediction,
        target=record.target,
        references=record.references,
        status=record.status,
        scores=record.scores,
        explanation=record.explanation,
        generated=record.images,
    )


def _pyramid(tokens: ImageTokens) -> tuple[WordLayer, ...]:
    return tuple(
        WordLayer(rows=rows, columns=columns, words=words)
        for words, (rows, columns) in zip(tokens.words, tokens.grids, strict=True)
    )


def reconstruct(plan: Plan, data: ImageSet, view: TokenizerView, measured: int = MEASURED) -> Reconstruction:
    """How well a tokenizer reconstructs the query images of a set, from layers 1 to l for each l.

    Args:
        plan: whose codec and token store are used.
        data: the images.
        view: the tokenizer with all its layers.
        measured: at most so many images, evenly spaced over the set's classes.
    """
    tokenizer = view.tokenizer
    labels = query_images(data)
    names = list(labels)
    step = max(1, len(names) // measured)
    names = names[::step][:measured]
    originals = _prepared(plan, data, tokenizer, names)
    codec = plan.codec(data, view)
    tokens = codec.encode(names)
    truth = np.stack(originals).astype(np.float64) / 127.5 - 1
    by_layer = [codec.decode(tokens, range(1, layer + 1)) for layer in view.layers]
    errors = [float(np.mean((np.stack(images) / 127.5 - 1 - truth) ** 2)) for images in by_layer]
    shown = range(0, len(names), max(1, len(names) // RECONSTRUCTED))
    return Reconstruction(
        tokenizer=tokenizer.name,
        data=data.name,
        grids=tokens[0].grids,
        count=len(names),
        mse=tuple(errors),
        # A single image is its own mean; any positive number then says that there is nothing to compare with.
        mean_image_mse=max(float(np.mean((truth - truth.mean(0)) ** 2)), 1e-12),
        images=tuple(
            ReconstructedImage(
                label=labels[names[i]], original=png(originals[i]), by_layer=tuple(png(layer[i]) for layer in by_layer)
            )
            for i in list(shown)[:RECONSTRUCTED]
        ),
    )


def _prepared(plan: Plan, data: ImageSet, tokenizer: Tokenizer, names: Sequence[str]) -> list[np.ndarray]:
    """Images as the tokenizer sees them, through the token store: resizing one loads what encoding does."""
    pixels = {name: data.image(name) for name in names}
    keys = {name: f"prepared/{image_sha256(image)}" for name, image in pixels.items()}
    found = plan.store.get_pixels(tokenizer.fingerprint, list(keys.values()))
    made = {keys[name]: tokenizer.prepare(pixels[name]) for name in names if keys[name] not in found}
    plan.store.put_pixels(tokenizer.fingerprint, made)
    found |= made
    return [found[keys[name]] for name in names]


def png(pixels: np.ndarray) -> Png:
    """[H, W, 3] uint8 as the text of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return png_text(stream.getvalue())
