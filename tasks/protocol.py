"""The one protocol of a task, and the values that cross it: samples, requests, replies and outcomes.

A task solves one sample with a generator. It yields the requests it needs next (a tuple: they travel together), is sent
their replies in the same order, and returns the outcome:

    def solve(self, sample, codec):
        (reply,) = yield (CompletionRequest(prompt=..., max_new_tokens=7),)
        return Outcome(status="scored", scores={"accuracy": 1.0}, prediction=reply.text)

A family of tasks (few-shot classification, captioning, question answering, generation) derives its own sample from
`Sample`; all that the runner knows of a sample is below.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from llm_backends.protocol import Failure, Reply, Request
from spae.canonical import Frozen
from spae.data.protocol import ImageSet
from spae.metrics.protocol import MetricFacts
from spae.tokens import ImageTokens

Style = Literal["gpt", "palm"]
Status = Literal["scored", "empty", "refused", "failed", "infeasible"]


WIRE = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)
"""A manifest keeps some fields under the names they were first published with: its hashes are taken over those."""


class Sample(Frozen):
    """One question put to a language model."""

    model_config = WIRE

    id: str = Field(min_length=1, description="unique within a manifest; letters, digits and hyphens")
    setting: str = Field(description="id of the setting it belongs to: 'i1-s1-r0'")
    images: tuple[str, ...] = Field(
        alias="pictures",
        min_length=1,
        description="every image the prompt needs, once each, in prompt order, the query last",
    )
    target: str = Field(alias="answer", description="the right answer, as text")
    fingerprint: str = Field(
        description="sha256 over this sample and the data's fingerprint: equal for equal samples of equal data"
    )

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers that the prompt names to choose from; () for an open answer."""
        return ()

    @property
    def right_texts(self) -> tuple[str, ...]:
        """Every right text, if there are several and metrics compare with all of them; else ()."""
        return ()

    @property
    def labels(self) -> Mapping[str, str]:
        """What a report writes under an image, by image id; without an entry, `target` under the query."""
        return {}


class Step(Frozen):
    """One round of requests of a task that asks in several: what it asked for and what it had to repair."""

    prompt_sha256: tuple[str, ...] = Field(default=(), description="of each prompt, in the order asked")
    samples: int = Field(default=1, ge=0, description="replies asked for")
    temperature: float | None = Field(default=None, description="None where nothing was sampled")
    retries: int = Field(default=0, ge=0, description="requests repeated because their reply could not be used")
    filled: int = Field(default=0, ge=0, description="tokens that no reply gave and that were filled in")
    out_of_vocabulary: int = Field(default=0, ge=0, description="words of the reply that are not in the vocabulary")


class Outcome(Frozen):
    """The result of one sample. Only `scored` has scores; the other states are counted, never a 0."""

    status: Status = Field(
        description="scored; empty: a reply of nothing but white space; refused: the model declined; "
        "failed: no usable reply; infeasible: the prompt does not fit the model's context"
    )
    scores: dict[str, float] = Field(default={}, description="metric name -> value on this sample: {'accuracy': 1.0}")
    prediction: str | None = Field(
        default=None, description="what the scoring rule read as the answer; ranked: the winning class"
    )
    reply: str | None = Field(default=None, description="the reply's text, without thought; ranked: the winning class")
    explanation: str = Field(default="", description="one line for a reader: a tie, an error")
    tokens: tuple[tuple[str, ...], ...] = Field(default=(), description="generated words, per layer")
    steps: tuple[Step, ...] = Field(default=(), description="rounds of requests, of tasks that have more than one")
    images: tuple[str, ...] = Field(default=(), description="names of example files in the run's folder")

    @model_validator(mode="after")
    def _has_scores_when_scored(self) -> Self:
        if (self.status == "scored") != bool(self.scores):
            raise ValueError(f"an outcome has scores exactly when it is scored, got {self.status!r} with {self.scores}")
        return self


Solution = Generator[tuple[Request, ...], tuple[Reply | Failure, ...], Outcome]
"""A sample being solved: yields requests, is sent one reply or failure for each, returns the outcome."""


@runtime_checkable
class Codec(Protocol):
    """A tokenizer restricted to the layers that a prompt shows, on the images of one data set.

    D layers; layer numbers are 1-based, layer 1 is the coarsest.
    """

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers shown, ascending."""
        ...

    @property
    def vocabulary(self) -> Sequence[str]:
        """Every word that an image may be shown with, by token id."""
        ...

    def text(self, image_id: str) -> str:
        """The SPAE string of an image: the words of `layers`, layer by layer."""
        ...

    def encode(self, image_ids: Sequence[str]) -> list[ImageTokens]:
        """The tokens of images, in order, at least up to the deepest layer shown."""
        ...

    def decode(self, tokens: Sequence[ImageTokens]) -> list[np.ndarray]:
        """Images [H, W, 3] uint8 RGB from the tokens of `layers`."""
        ...

    def prepare(self, image_ids: Sequence[str]) -> None:
        """Encodes in batches what the next samples will ask for one by one."""
        ...


class Samples(Protocol):
    """The samples of one task on one data set: the same for every tokenizer and language model."""

    @property
    def task(self) -> str:
        """Name of the task."""
        ...

    @property
    def data(self) -> str:
        """Name of the data, as the user gave it."""
        ...

    @property
    def data_fingerprint(self) -> str:
        """sha256 of the data the samples were taken from."""
        ...

    @property
    def seed(self) -> int:
        """The seed they were sampled with."""
        ...

    @property
    def settings(self) -> tuple[str, ...]:
        """Ids of its settings, in the order asked for."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 over all of it."""
        ...

    def of(self, setting: str) -> Sequence[Sample]:
        """The samples of one setting, in order. Raises TaskInputError for a setting it does not hold."""
        ...

    def save(self, path: Path) -> None:
        """Writes it as JSON, atomically."""
        ...


@runtime_checkable
class ReadsSamples(Protocol):
    """A `Task` that can read samples which an earlier run wrote (`--manifest FILE`)."""

    def saved(self, path: Path, data: ImageSet, settings: Sequence[str] | None, limit: int | None) -> Samples:
        """What `Samples.save` wrote.

        Args:
            path: the file.
            data: the images of the samples.
            settings: only these; None for all in the file.
            limit: only the first so many of each setting; None for all.

        Raises:
            ManifestError: the file is broken or altered, or its images are not those of `data`.
            TaskInputError: it lacks a setting, or has fewer samples.
        """
        ...


@runtime_checkable
class ScoresReplies(Protocol):
    """A `Task` whose outcome of a sample is a function of one reply, so that a record can be scored again."""

    def load_samples(self, path: Path) -> Samples:
        """What `Samples.save` wrote, without the data it was sampled from. Raises ManifestError."""
        ...

    def score(self, sample: Sample, reply: Reply) -> Outcome:
        """The outcome of a sample, by the scoring rule that the task is configured with.

        Raises:
            TaskInputError: the sample or the reply is of another kind.
        """
        ...


@runtime_checkable
class Task(Protocol):
    """A vocabulary task: samples, prompts and scores. It knows no tokenizer and no model, and keeps no state."""

    @property
    def name(self) -> str:
        """The name in the registry."""
        ...

    @property
    def title(self) -> str:
        """One line for reports."""
        ...

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """Facts of every metric it reports, the primary one first."""
        ...

    @property
    def settings(self) -> tuple[str, ...]:
        """Ids of all its settings, in the paper's order."""
        ...

    def configured(self, *, prompt_style: Style, scoring: str) -> Self:
        """The same task with the prompts of that style and the scoring rule of a cell.

        Raises:
            TaskInputError: it has no such style or rule.
        """
        ...

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> Samples:
        """The first `limit` samples of each setting; a smaller limit gives the first of a larger one.

        Raises:
            TaskInputError: a setting is unknown, or limit is below 1.
            EpisodeError: the data cannot give them.
        """
        ...

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        """Solves one sample, by the prompt style and scoring rule it is configured with.

        Raises:
            TaskInputError: the sample is of another task, a text is empty or has a line break, or a reply does not
                belong to its request.
        """
        ...


@dataclass(frozen=True)
class Answered:
    """One scored sample, as metrics of a whole corpus see it.

    Attributes:
        prediction: what the scoring rule read as the answer.
        references: every text that is right.
    """

    prediction: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class CorpusScore:
    """One metric of one corpus.

    Attributes:
        metric: its name, as in `Task.metrics`: "CIDEr-D".
        value: in the metric's unit; None when it is unavailable.
        per_sample: for a mean over samples, the values it is the mean of, in their order; else None.
        unavailable: why there is no value, and what would provide it; "" when there is one.
    """

    metric: str
    value: float | None
    per_sample: tuple[float, ...] | None = None
    unavailable: str = ""


@runtime_checkable
class CorpusScored(Protocol):
    """A `Task` that also has metrics of all replies of a cell together."""

    def corpus_scores(self, groups: Sequence[Sequence[Answered]]) -> Sequence[Sequence[CorpusScore]]:
        """For each group (one tokenizer, model and setting) its metrics, the same ones in the same order for all.

        Groups come together because what some metrics need (a Java machine) is slow to start. None is empty.
        """
        ...
