"""A task of another package: ten steps of two independent requests, each step's prompts made of the replies before.

A sample is solved right only if every step saw the replies of the step before it: the score compares with `chain`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from llm_backends.protocol import Completion, CompletionRequest, Failure
from spae.data.protocol import ImageSet
from spae.metrics.protocol import MetricFacts
from tasks.manifest import SampleManifest, sample_digest
from tasks.protocol import Codec, Outcome, Sample, Solution, Step
from tasks.registry import TaskEntry

STEPS = 10
PARTS = 2
ENTRY = TaskEntry(
    name="ten-steps",
    target="tests.benchmarks.ten_steps:TenSteps",
    title="Ten steps",
    paper_table="",
    settings=("only",),
    metric="chain",
    default_data="pictograms",
    scorings=("chain",),
    styles=("gpt",),
)
NOTHING = TaskEntry(
    name="nothing-asked",
    target="tests.benchmarks.ten_steps:NothingAsked",
    title="Asks nothing",
    paper_table="",
    settings=("only",),
    metric="words",
    default_data="pictograms",
    scorings=("words",),
    styles=("gpt",),
)


def answer(prompt: str) -> str:
    """The reply of the model that these tasks are written for."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def prompts(words: str, step: int, replies: Sequence[str]) -> list[str]:
    return [f"{words} step {step} part {part} after {' '.join(replies)}" for part in range(PARTS)]


def chain(words: str) -> tuple[str, ...]:
    """What the last step's replies must be."""
    replies: list[str] = []
    for step in range(STEPS):
        replies = [answer(prompt) for prompt in prompts(words, step, replies)]
    return tuple(replies)


def manifest(task: str, data: ImageSet, seed: int, limit: int) -> SampleManifest[Sample]:
    images = [image for one in data.classes for image in one.query][:limit]
    samples = []
    for k, image in enumerate(images):
        content = {"id": f"{task}-{k}", "setting": "only", "pictures": [image], "answer": "chain"}
        fingerprint = sample_digest(content, data.fingerprint)
        samples.append(Sample.model_validate({**content, "fingerprint": fingerprint}))
    return SampleManifest[Sample].made(
        task=task, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=("only",), samples=samples
    )


class TenSteps:
    name, title, settings = "ten-steps", "Ten steps", ("only",)
    metrics = (MetricFacts(name="chain", unit="percent of 1", higher_is_better=True, protocol="", low=0.0, high=1.0),)

    def configured(self, *, prompt_style: str, scoring: str) -> TenSteps:
        return self

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[Sample]:
        return manifest(self.name, data, seed, limit)

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        words = f"{sample.id} {codec.text(sample.images[0])}"
        replies: list[str] = []
        steps = []
        for step in range(STEPS):
            asked = prompts(words, step, replies)
            answers = yield tuple(CompletionRequest(prompt=prompt, max_new_tokens=5) for prompt in asked)
            if any(isinstance(one, Failure) for one in answers):
                return Outcome(status="failed", explanation=f"step {step}")
            replies = [one.text for one in answers if isinstance(one, Completion)]
            hashes = tuple(hashlib.sha256(prompt.encode()).hexdigest() for prompt in asked)
            steps.append(Step(prompt_sha256=hashes, samples=PARTS))
        right = tuple(replies) == chain(words)
        return Outcome(status="scored", scores={"chain": float(right)}, tokens=(tuple(replies),), steps=tuple(steps))


class NothingAsked:
    name, title, settings = "nothing-asked", "Asks nothing", ("only",)
    metrics = (MetricFacts(name="words", unit="words", higher_is_better=True, protocol="", low=0.0, high=None),)

    def configured(self, *, prompt_style: str, scoring: str) -> NothingAsked:
        return self

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[Sample]:
        return manifest(self.name, data, seed, limit)

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        yield from ()
        return Outcome(status="scored", scores={"words": float(len(codec.text(sample.images[0]).split()))})
