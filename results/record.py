"""The result of one sample: a `Record`, and beside it a `Call` that says how its reply came about.

A record is a pure function of its inputs. It holds no time, no host and no mention of the cache, so that a live run and
its replay write the same bytes; what differs between the two is in the `Call`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from spae.canonical import Frozen, canonical_json

Status = Literal["scored", "empty", "refused", "failed", "infeasible"]


class MetricFacts(Frozen):
    """What a reader must know of a metric; tables, bold marks and comparisons go by these facts, never by a name."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(min_length=1, description="as tables print it: 'accuracy', 'CIDEr-D'")
    unit: str = Field(description="'percent of 1' (a fraction, printed times 100), 'CIDEr-D points', ...")
    higher_is_better: bool
    protocol: str = Field(default="", description="one line: how the number is made")
    low: float | None = Field(default=None, description="least value possible, None where there is no bound")
    high: float | None = Field(default=None, description="greatest value possible, None where there is no bound")


class CellKey(Frozen):
    """Everything that a record shares with the other records of its cell."""

    model_config = ConfigDict(allow_inf_nan=False)

    task: str = Field(min_length=1, description="name in the task registry: 'miniimagenet-5way'")
    setting: str = Field(min_length=1, description="setting id: 'i1-s3-r0' (induction, inner shots, repeats)")
    tokenizer: str = Field(min_length=1, description="name in the tokenizer registry: 'spae'")
    tokenizer_fingerprint: str = Field(description="sha256 over configuration, weights and vocabulary")
    layers: str = Field(
        pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$",
        description="layers whose words the LLM saw, 1-based: '1-2', '1,3'",
    )
    shuffled: bool = Field(default=False, description="every image was shown with another image's words: a baseline")
    model: str = Field(min_length=1, description="id of the LLM: 'SmolLM2-135M-Instruct'")
    model_revision: str = Field(description="exact revision of the LLM")
    dtype: str = Field(description="arithmetic of the LLM: 'bfloat16'")
    data: str = Field(min_length=1, description="name of the image set, as the user gave it")
    data_fingerprint: str = Field(description="sha256 over ids, classes and image bytes")
    prompt_style: str = Field(min_length=1, description="'gpt' or 'palm'")
    scoring: str = Field(min_length=1, description="'exact', 'prefix', 'contains' or 'ranked'")
    seed: int = Field(description="seed of the samples and of everything random in the run")

    def record_id(self, sample_id: str) -> str:
        """Id of this cell's record of a sample; known before the LLM is asked, so that a resumed run can skip it."""
        # The text of {"cell": ..., "sample_id": ...}, put together: a cell is the same for all of its samples.
        cell = _cell_json(_cell_values(self))
        text = f'{{"cell":{cell},"sample_id":{canonical_json(sample_id)}}}'
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def key(self) -> dict[str, Any]:
        """The cell's own fields, also of a subclass that has more."""
        return dict(zip(CELL_FIELDS, _cell_values(self), strict=True))


CELL_FIELDS = tuple(CellKey.model_fields)
_cell_values = attrgetter(*CELL_FIELDS)


@lru_cache(maxsize=1024)
def _cell_json(values: tuple[str | int, ...]) -> str:
    return canonical_json(dict(zip(CELL_FIELDS, values, strict=True)))


class Step(Frozen):
    """One round of a sample: what was asked at once, and what came of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    prompt_sha256: tuple[str, ...] = Field(description="of each request's prompt")
    samples: int = Field(ge=0, description="replies sampled for each request")
    temperature: float | None = Field(description="of the sampling; None for none")
    retries: int = Field(ge=0, description="requests made again")
    filled: int = Field(ge=0, description="tokens that were filled in because no reply gave them")
    out_of_vocabulary: int = Field(ge=0, description="words of replies that are not in the vocabulary")


class Record(CellKey):
    """One sample, asked and scored."""

    id: str = Field(description="`CellKey.record_id(sample_id)`")
    sample_id: str = Field(min_length=1, description="id of the sample in its manifest")
    sample_fingerprint: str = Field(description="sha256 over what the sample holds: images, classes, order")
    prompt: str = Field(description="full text sent to the LLM, of the last request where there are several")
    choices: tuple[str, ...] = Field(default=(), description="classes of the episode; empty for free-text tasks")
    target: str = Field(description="the right answer")
    references: tuple[str, ...] = Field(
        default=(), description="every right answer, where several are; `target` is the first"
    )
    reply: str | None = Field(
        description="the LLM's reply; of a thinking model, what follows its thought; None for none"
    )
    prediction: str | None = Field(description="what the scoring rule read from the reply; None for nothing")
    status: Status = Field(description="'scored', or why it is not")
    scores: dict[str, float] = Field(description="metric name -> value; empty exactly when status is not 'scored'")
    explanation: str = Field(default="", description="one line: the error of a failed call, a tie, a limit")
    steps: tuple[Step, ...] = Field(default=(), description="of a task that asks in several rounds")
    tokens: tuple[tuple[str, ...], ...] = Field(default=(), description="generated words per layer")
    images: tuple[str, ...] = Field(default=(), description="names of example files in the run's folder")

    @classmethod
    def of(
        cls,
        cell: CellKey,
        *,
        sample_id: str,
        sample_fingerprint: str,
        prompt: str,
        target: str,
        reply: str | None,
        prediction: str | None,
        status: Status,
        scores: dict[str, float],
        choices: tuple[str, ...] = (),
        references: tuple[str, ...] = (),
        explanation: str = "",
        steps: tuple[Step, ...] = (),
        tokens: tuple[tuple[str, ...], ...] = (),
        images: tuple[str, ...] = (),
    ) -> Self:
        """The record of a sample in `cell`, with its id. Fields as in the class."""
        return cls(
            **cell.key(),
            id=cell.record_id(sample_id),
            sample_id=sample_id,
            sample_fingerprint=sample_fingerprint,
            prompt=prompt,
            choices=choices,
            target=target,
            references=references,
            reply=reply,
            prediction=prediction,
            status=status,
            scores=scores,
            explanation=explanation,
            steps=steps,
            tokens=tokens,
            images=images,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status == "scored") != bool(self.scores):
            raise ValueError(f"a record has scores exactly when it is scored, got {self.status!r} with {self.scores}")
        expected = self.record_id(self.sample_id)
        if self.id != expected:
            raise ValueError(f"the id must be the sha256 of cell and sample, {expected}, got {self.id!r}")
        return self

    def line(self) -> str:
        """The record as one canonical JSON line, without its newline; fields with their default value are left out."""
        # Plain values but for the steps: dumping them by pydantic would take four times as long.
        values = {name: value for name, value in vars(self).items() if name not in DEFAULTS or value != DEFAULTS[name]}
        if self.steps:
            values["steps"] = [vars(step) for step in self.steps]
        return canonical_json(values)


DEFAULTS = {name: field.default for name, field in Record.model_fields.items() if not field.is_required()}


class Call(Frozen):
    """How the reply of one record came about; two runs with equal records may differ here."""

    model_config = ConfigDict(allow_inf_nan=False)

    record: str = Field(description="id of the record")
    cached: bool = Field(description="True where the reply came from the response cache")
    seconds: float = Field(ge=0, description="wall time of the reply, its share where a batch was asked at once")
    request: dict[str, Any] | None = Field(
        default=None,
        description="what the record lacks of the request: its backend kind, and every field but the prompt",
    )

    def line(self) -> str:
        """The call as one canonical JSON line, without its newline."""
        return canonical_json(vars(self))  # plain values only: nothing is to be dumped first
