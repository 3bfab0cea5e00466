"""What the report shows of a run beside its numbers: example episodes, and how the tokenizers redraw images."""

from __future__ import annotations

import numpy as np

from benchmarks.image_words import png
from benchmarks.plan import Plan, TaskRun, TokenizerView
from benchmarks.question_groups import question_groups
from results.analysis.question_groups import QuestionGroup
from results.record import Record
from results.report.example import (
    DataNote,
    Example,
    Examples,
    ReconstructedImage,
    Reconstruction,
    ShownImage,
    WordLayer,
)
from spae.data.annotations.annotated import query_images
from spae.data.protocol import ImageSet
from spae.tokenizers.protocol import Tokenizer
from spae.tokens import ImageTokens
from tasks.protocol import Sample
from tasks.vqa.vqa_sample import VqaSample

# Episodes shown for each setting that is shown, images redrawn, and images the error is measured on.
EPISODES = 2
REDRAWN = 6
MEASURED = 128


def make_examples(plan: Plan, records: list[Record]) -> Examples:
    """Examples of the first episodes of each job, from records that are there already."""
    by_sample: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in records:
        if record.shuffled:
            continue
        by_sample.setdefault((record.task, record.tokenizer, record.layers, record.sample_id), []).append(record)
    episodes, reconstructions, notes = [], [], {}
    questions: list[QuestionGroup] = []
    for job in plan.jobs:
        notes[job.data.name] = DataNote(
            name=job.data.name,
            title=job.data.title,
            embedded=job.data.embedded,
            stands_for=getattr(job.data, "stands_for", "mini-ImageNet"),
        )
        questions.extend(question_groups(job.task.name, job.samples))
        for view in (view for view in plan.views if view.shuffle_seed is None):
            for sample in _shown(job):
                for record in by_sample.get((job.task.name, view.tokenizer.name, view.label, sample.id), []):
                    episodes.append(_episode(job, view, sample, record))
    for data in {job.data.name: job.data for job in plan.jobs}.values():
        for tokenizer in {view.tokenizer.name: view.tokenizer for view in plan.views}.values():
            reconstructions.append(reconstruct(tokenizer, data))
    return Examples(
        data=tuple(notes.values()),
        samples=tuple(episodes),
        reconstructions=tuple(reconstructions),
        questions=tuple(questions),
    )


def _shown(job: TaskRun) -> list[Sample]:
    """The first episodes of the setting with the fewest images that has a task line, or of the first one."""
    settings = job.samples.settings
    chosen = "i1-s1-r0" if "i1-s1-r0" in settings else settings[0]
    return list(job.samples.of(chosen)[:EPISODES])


def _episode(job: TaskRun, view: TokenizerView, sample: Sample, record: Record) -> Example:
    # The task names each image's class; all that is generic is that the query stands last.
    labels = sample.labels if isinstance(sample, VqaSample) else dict(getattr(sample, "support", ()))
    shown = []
    for place, image in enumerate(sample.images, start=1):
        query = place == len(sample.images)
        shown.append(
            ShownImage(
                role="query" if query else "support",
                label=labels.get(image, sample.answer if query else ""),
                png=png(job.data.image(image)),
                pyramid=_pyramid(view.tokenizer.encode([job.data.image(image)])[0]),
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
    )


def _pyramid(tokens: ImageTokens) -> tuple[WordLayer, ...]:
    return tuple(
        WordLayer(rows=rows, columns=columns, words=words)
        for words, (rows, columns) in zip(tokens.words, tokens.grids, strict=True)
    )


def reconstruct(tokenizer: Tokenizer, data: ImageSet, measured: int = MEASURED) -> Reconstruction:
    """How well a tokenizer redraws the query images of a set, from the first l layers for each l.

    Args:
        measured: at most so many images, evenly spaced over the set's classes.
    """
    labels = query_images(data)
    names = list(labels)
    step = max(1, len(names) // measured)
    names = names[::step][:measured]
    originals = [tokenizer.prepare(data.image(name)) for name in names]
    tokens = tokenizer.encode(originals)
    truth = np.stack(originals).astype(np.float64) / 127.5 - 1
    drawn = [tokenizer.decode(tokens, range(1, layer + 1)) for layer in range(1, tokenizer.depth + 1)]
    errors = [float(np.mean((np.stack(images) / 127.5 - 1 - truth) ** 2)) for images in drawn]
    shown = range(0, len(names), max(1, len(names) // REDRAWN))
    return Reconstruction(
        tokenizer=tokenizer.name,
        data=data.name,
        grids=tokens[0].grids,
        count=len(names),
        mse=tuple(errors),
        # One image alone is its own mean; any positive number then says that there is nothing to compare with.
        mean_image_mse=max(float(np.mean((truth - truth.mean(0)) ** 2)), 1e-12),
        images=tuple(
            ReconstructedImage(
                label=labels[names[i]], original=png(originals[i]), by_layer=tuple(png(layer[i]) for layer in drawn)
            )
            for i in list(shown)[:REDRAWN]
        ),
    )
