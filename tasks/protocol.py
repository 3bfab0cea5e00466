"""The one protocol of a task, and the values that cross it: samples, a prompt for each, and a score for the reply.

A family of tasks (few-shot classification, captioning, question answering, generation) derives its own sample from
`Sample`; all that the runner knows of a sample is below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pydantic import ConfigDict, Field

from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Reply
from spae.canonical import Frozen
from spae.data.protocol import ImageSet

Style = Literal["gpt", "palm"]
Status = Literal["scored", "empty", "refused", "failed", "infeasible"]


WIRE = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)
"""A manifest writes some fields under the names it was first published with: its hashes are taken over those."""


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
    answer: str = Field(description="the right answer, as text")
    fingerprint: str = Field(
        description="sha256 over this sample and the data's fingerprint: equal where the question is"
    )


class Outcome(Frozen):
    """What became of one sample. Only `scored` has a value: the other states are counted, never a 0."""

    status: Status = Field(
        description="scored; empty: a reply of nothing but white space; refused: the model declined; "
        "failed: no usable reply; infeasible: the prompt does not fit the model's context"
    )
    value: float | None = Field(default=None, description="the metric on this sample; accuracy: 1.0 or 0.0")
    prediction: str | None = Field(
        default=None, description="what the rule read as the answer; ranked: the winning class"
    )
    reply: str | None = Field(default=None, description="the reply's raw text; ranked: the winning class")
    detail: str | None = Field(default=None, description="what a reader should know: a tie, an error")


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
        """sha256 of the data the samples were drawn from."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the draw."""
        ...

    @property
    def settings(self) -> tuple[str, ...]:
        """Ids of the settings drawn, in the order asked for."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 over all of it."""
        ...

    def of(self, setting: str) -> Sequence[Sample]:
        """The samples of one setting, in order. Raises TaskInputError where it was not drawn."""
        ...

    def save(self, path: Path) -> None:
        """Writes it as JSON, atomically."""
        ...


@runtime_checkable
class ReadsSamples(Protocol):
    """A `Task` that can take up samples which an earlier run wrote (`--episodes FILE`)."""

    def saved(self, path: Path, data: ImageSet, settings: Sequence[str] | None, limit: int | None) -> Samples:
        """What `Samples.save` wrote.

        Args:
            path: the file.
            data: the images that are to be asked about.
            settings: only these; None takes all there are.
            limit: only the first so many of each setting; None takes all.

        Raises:
            ManifestError: the file is broken or altered, or its images are not those of `data`.
            TaskInputError: it lacks a setting, or has fewer samples.
        """
        ...


@runtime_checkable
class Task(Protocol):
    """A vocabulary task: samples, prompts and scores. It knows no tokenizer and no model."""

    @property
    def name(self) -> str:
        """The name in the registry."""
        ...

    @property
    def title(self) -> str:
        """One line for reports."""
        ...

    @property
    def metric(self) -> str:
        """What `Outcome.value` averages to: 'accuracy'."""
        ...

    @property
    def settings(self) -> tuple[str, ...]:
        """Ids of all its settings, in the paper's order."""
        ...

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> Samples:
        """The first `limit` samples of each setting; a smaller limit gives the first of a larger one.

        Raises:
            TaskInputError: a setting is unknown, or limit is below 1.
            EpisodeError: the data cannot give them.
        """
        ...

    def request(
        self, sample: Sample, texts: Mapping[str, str], style: Style, scoring: str
    ) -> CompletionRequest | LikelihoodRequest:
        """What to ask the model.

        Args:
            sample: one of this task's.
            texts: the SPAE string of each of `sample.images`, by image id.
            style: the prompt's style.
            scoring: the rule that will score the reply; it decides what is asked.

        Raises:
            TaskInputError: the style or rule is unknown, a text is missing, empty or has a line break.
        """
        ...

    def score(
        self, sample: Sample, request: CompletionRequest | LikelihoodRequest, reply: Reply, scoring: str
    ) -> Outcome:
        """Scores the reply to `request`: `scored`, `empty` or `failed`.

        Raises:
            TaskInputError: the rule is unknown, or request, reply and rule do not belong together.
        """
        ...


@dataclass(frozen=True)
class Answered:
    """One scored sample, as metrics of a whole corpus see it.

    Attributes:
        prediction: what the rule read as the answer.
        references: every text that is right.
    """

    prediction: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class CorpusScore:
    """One metric of one corpus.

    Attributes:
        metric: its name, as tables print it: "CIDEr-D".
        value: a fraction of 1 (CIDEr-D: of 10); None where it is unavailable.
        per_sample: where `value` is a mean over samples, what it is the mean of, in their order; else None.
        unavailable: why there is no value, and what would bring it; "" where there is one.
    """

    metric: str
    value: float | None
    per_sample: tuple[float, ...] | None = None
    unavailable: str = ""


@runtime_checkable
class CorpusScored(Protocol):
    """A `Task` with metrics of all of its replies together; a task without has no such method."""

    def corpus_scores(self, groups: Sequence[Sequence[Answered]]) -> Sequence[Sequence[CorpusScore]]:
        """For each group (one tokenizer, model and setting) its metrics, the same ones in the same order for all.

        Groups come together because what some metrics need (a Java machine) is slow to start. None is empty.
        """
        ...
