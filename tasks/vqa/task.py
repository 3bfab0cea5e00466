"""Questions about images, answered by a frozen language model: Real-Fast-VQA, Table 3 of arXiv 2306.17842.

After Tsimpoukelli et al. (arXiv 2106.13884), whose published questions (`spae.data.archives.vqa`) are used in their
files' order; from other images with questions, such as the embedded scenes, samples are made by `tasks.vqa.sampling`.
The form of a question with two classes and one example of each, five words an image (layers 1 and 2); a right reply is
` table`:

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
from dataclasses import dataclass
from pathlib import Path

from llm_backends.protocol import Reply, Request
from spae.data.annotations.annotated import AnnotatedSet
from spae.data.archives.vqa import VqaArchive
from spae.data.protocol import ImageSet
from tasks.errors import EpisodeError, TaskInputError
from tasks.manifest import SampleManifest
from tasks.one_request import OneRequestTask
from tasks.protocol import Outcome, Sample
from tasks.scoring import score_reply
from tasks.vqa.sample import ShownAnswer, VqaSample, make_sample, vqa_request
from tasks.vqa.sampling import parse_shots, sample_questions


@dataclass(frozen=True)
class VqaTask(OneRequestTask):
    """Questions with 1, 3 or 5 examples of each of two classes."""

    name: str = "real-fast-vqa"

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[VqaSample]:
        """The first `limit` questions of each setting; of an archive with fewer, all that every setting has."""
        if isinstance(data, VqaArchive):
            return published_questions(self.name, data, settings, seed, limit)
        if not isinstance(data, AnnotatedSet):
            raise TaskInputError(f"{self.name} needs images with questions, {data.name!r} has none: --data scenes")
        return sample_questions(self.name, data, settings, seed, limit)

    def saved(
        self, path: Path, data: ImageSet, settings: Sequence[str] | None, limit: int | None
    ) -> SampleManifest[VqaSample]:
        """See `tasks.protocol.ReadsSamples`."""
        manifest = self.load_samples(path)
        manifest.check_source(self.name, data)
        return manifest.narrowed(settings, limit)

    def request(self, sample: Sample, texts: Mapping[str, str]) -> Request:
        """Greedy text, at most 4 tokens, until the first newline; with `ranked` the likelihood of each answer."""
        return vqa_request(self._of(sample), texts, self.scoring)

    def load_samples(self, path: Path) -> SampleManifest[VqaSample]:
        """See `tasks.protocol.ScoresReplies`."""
        return SampleManifest[VqaSample].load(path)

    def score(self, sample: Sample, reply: Reply) -> Outcome:
        """Right where the reply fits any accepted answer by the rule: see `tasks.scoring`."""
        question = self._of(sample)
        return score_reply(self.scoring, reply, question.accepted, question.classes)

    def _of(self, sample: Sample) -> VqaSample:
        if not isinstance(sample, VqaSample):
            raise TaskInputError(f"{self.name} needs questions, got {type(sample).__name__} {sample.id}")
        return sample


def published_questions(
    task: str, data: VqaArchive, settings: Sequence[str], seed: int, limit: int
) -> SampleManifest[VqaSample]:
    """The first `limit` questions of an archive, for each setting, in the order of its files.

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
            question_type="",
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
