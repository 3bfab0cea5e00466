"""Questions about images, answered by a frozen language model: Real-Fast-VQA, Table 3 of arXiv 2306.17842.

After Tsimpoukelli et al. (arXiv 2106.13884), whose published questions (`spae.data.archives.vqa`) are taken in their
files' order; of other images with questions, such as the embedded scenes, samples are drawn (`tasks.vqa.vqa_draw`). The
form of a question with two classes and one example of each, five words an image (layers 1 and 2); the model should
go on with ` table`:

    Answer with a single word.
    C: fork spoon knife table plate
    Q: What is this?
    A: fork
    C: lion mane cat tiger fur
    Q: What is this?
    A: lion
    C: table fork dinner food plate
    Q: Where is the fork?
    A:

The paper has one prompt for questions, whatever the style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Reply
from spae.data.annotations.annotated import AnnotatedSet
from spae.data.archives.vqa import VqaArchive
from spae.data.protocol import ImageSet
from tasks.errors import EpisodeError, TaskInputError
from tasks.protocol import Outcome, Sample, Style
from tasks.registry import BUILT_IN
from tasks.sample_manifest import SampleManifest
from tasks.vqa.vqa_draw import draw_questions, parse_shots
from tasks.vqa.vqa_sample import ShownAnswer, VqaSample, make_sample, vqa_request, vqa_score


class VqaTask:
    """Questions with 1, 3 or 5 examples of each of two classes."""

    metric = "accuracy"

    def __init__(self) -> None:
        facts = BUILT_IN["real-fast-vqa"]
        self.name, self.title, self.settings = facts.name, facts.title, facts.settings

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[VqaSample]:
        """The first `limit` questions of each setting; of an archive with fewer, all that every setting has."""
        if isinstance(data, VqaArchive):
            return published_questions(self.name, data, settings, seed, limit)
        if not isinstance(data, AnnotatedSet):
            raise TaskInputError(f"{self.name} needs images with questions, {data.name!r} has none: --data scenes")
        return draw_questions(self.name, data, settings, seed, limit)

    def saved(
        self, path: Path, data: ImageSet, settings: Sequence[str] | None, limit: int | None
    ) -> SampleManifest[VqaSample]:
        """See `tasks.protocol.ReadsSamples`."""
        if not isinstance(data, AnnotatedSet):
            raise TaskInputError(f"{self.name} needs images with questions, {data.name!r} has none: --data scenes")
        return SampleManifest[VqaSample].load(path).taken_up(self.name, data, settings, limit)

    def request(
        self, sample: Sample, texts: Mapping[str, str], style: Style, scoring: str
    ) -> CompletionRequest | LikelihoodRequest:
        """Greedy text, at most 4 tokens, until the first newline; with `ranked` the likelihood of each answer."""
        return vqa_request(self._of(sample), texts, scoring)

    def score(
        self, sample: Sample, request: CompletionRequest | LikelihoodRequest, reply: Reply, scoring: str
    ) -> Outcome:
        """Scores the reply by the rule: see `tasks.scoring`."""
        return vqa_score(self._of(sample), request, reply, scoring)

    def _of(self, sample: Sample) -> VqaSample:
        if not isinstance(sample, VqaSample):
            raise TaskInputError(f"{self.name} needs questions, got {type(sample).__name__} {sample.id}")
        return sample


def published_questions(
    task: str, data: VqaArchive, settings: Sequence[str], seed: int, limit: int
) -> SampleManifest[VqaSample]:
    """The first `limit` questions of an archive, for each setting, in the order of its files: nothing is drawn.

    Raises:
        TaskInputError: a setting is unknown, or limit is below 1.
        EpisodeError: the archive has no questions with so many examples.
    """
    wanted = parse_shots(settings)
    if limit < 1:
        raise TaskInputError(f"limit must be at least 1 question per setting, got {limit}: pass --limit 200 or so")
    missing = [shots for shots in wanted if shots not in data.shots]
    if missing:
        there = ",".join(f"shots={shots}" for shots in data.shots)
        raise EpisodeError(f"{data.name!r} has no questions of {missing[0]} shots: pass --setting {there}")
    count = min(limit, *(len(data.questions(shots)) for shots in wanted))
    samples = [
        make_sample(
            data.fingerprint,
            id=f"vqa-s{shots}-{k:04d}",
            setting=f"shots={shots}",
            index=k,
            kind="",
            support=[
                ShownAnswer(picture=one.image, question=one.question, answer=one.answer) for one in question.support
            ],
            query=question.query,
            question=question.question,
            accepted=(question.answer,),
            classes=(),
        )
        for shots in wanted
        for k, question in enumerate(data.questions(shots)[:count])
    ]
    return SampleManifest[VqaSample].made(
        task=task, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=settings, samples=samples
    )


def real_fast_vqa() -> VqaTask:
    """`real-fast-vqa`, Table 3."""
    return VqaTask()
