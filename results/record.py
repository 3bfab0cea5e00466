"""What one question to an LLM leaves behind: a `Record`, and beside it a `Call`.

A record is a pure function of its inputs. It holds no time, no host and no word on whether the reply came from a
cache, so that a live run and its replay write the same bytes; what differs between the two is in the `Call`.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Made once: `json.dumps` would make one for every record, three times over.
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode

Status = Literal["scored", "empty", "refused", "failed", "infeasible"]
ACCURACY = "accuracy"
"""The metric of most tasks; records of it leave their metric out."""


def canonical_json(value: Any) -> str:
    """One line of ASCII JSON, keys sorted, no spaces: equal values give equal bytes.

    ASCII because a record holds text of a model: a terminal that prints the file sees no control character.

    Raises:
        ValueError: a NaN or an infinity, which JSON cannot say.
    """
    return _encode(value)


def sha256_of(value: Any) -> str:
    """Hex sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


class Frozen(BaseModel):
    """A value: validated once, never changed, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CellKey(Frozen):
    """Everything that a record shares with the other records of its cell."""

    task: str = Field(min_length=1, description="name in the task registry: 'miniimagenet-5way'")
    setting: str = Field(min_length=1, description="setting id: 'i1-s3-r0' (induction, inner shots, repeats)")
    tokenizer: str = Field(min_length=1, description="name in the tokenizer registry: 'spae'")
    tokenizer_fingerprint: str = Field(description="sha256 over configuration, weights and vocabulary")
    layers: str = Field(
        pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$",
        description="layers whose words the LLM saw, 1-based: '1-2', '1,3'",
    )
    llm: str = Field(min_length=1, description="model id: 'SmolLM2-135M-Instruct'")
    llm_revision: str = Field(description="exact revision of the model")
    dtype: str = Field(description="arithmetic of the model: 'bfloat16'")
    data: str = Field(min_length=1, description="name of the image set, as the user gave it")
    data_fingerprint: str = Field(description="sha256 over ids, classes and image bytes")
    prompt_style: str = Field(min_length=1, description="'gpt' or 'palm'")
    scoring: str = Field(min_length=1, description="'exact', 'prefix', 'contains' or 'ranked'")
    seed: int = Field(description="seed of the episodes and of every draw of the run")

    def record_id(self, sample: str) -> str:
        """Id of this cell's record of `sample`; known before the LLM is asked, so a resumed run can skip it."""
        # The text of {"cell": ..., "sample": ...}, put together: a cell is the same for all of its samples.
        cell = _cell_json(_cell_values(self))
        return hashlib.sha256(f'{{"cell":{cell},"sample":{_encode(sample)}}}'.encode("ascii")).hexdigest()

    def key(self) -> dict[str, Any]:
        """The cell's own fields, also of a subclass that has more."""
        return dict(zip(CELL_FIELDS, _cell_values(self), strict=True))


CELL_FIELDS = tuple(CellKey.model_fields)
_cell_values = attrgetter(*CELL_FIELDS)


@lru_cache(maxsize=1024)
def _cell_json(values: tuple[str | int, ...]) -> str:
    return _encode(dict(zip(CELL_FIELDS, values, strict=True)))


class Record(CellKey):
    """One sample, asked and scored."""

    id: str = Field(description="`CellKey.record_id(sample)`")
    sample: str = Field(min_length=1, description="id of the sample in its manifest")
    sample_fingerprint: str = Field(description="sha256 over what the sample holds: images, classes, order")
    prompt: str = Field(description="full text sent to the LLM")
    choices: tuple[str, ...] = Field(default=(), description="classes of the episode; empty for free-text tasks")
    answer: str = Field(description="what is right")
    reply: str | None = Field(description="what the LLM gave, as it gave it; None where it gave nothing")
    prediction: str | None = Field(description="what the scorer read from the reply; None where it read nothing")
    status: Status = Field(description="'scored', or why it is not; what is not scored is never counted as wrong")
    value: float | None = Field(description="score, 0 or 1 for accuracy; None unless status is 'scored'")
    detail: str = Field(default="", description="one line: the error of a failed call, log-likelihoods, a limit")
    metric: str = Field(default=ACCURACY, min_length=1, description="what `value` is: 'ROUGE-L'")
    references: tuple[str, ...] = Field(
        default=(), description="every text that is right, where several are; `answer` is the first"
    )

    @classmethod
    def of(
        cls,
        cell: CellKey,
        *,
        sample: str,
        sample_fingerprint: str,
        prompt: str,
        answer: str,
        reply: str | None,
        prediction: str | None,
        status: Status,
        value: float | None,
        choices: tuple[str, ...] = (),
        detail: str = "",
        metric: str = ACCURACY,
        references: tuple[str, ...] = (),
    ) -> Self:
        """The record of `sample` in `cell`; its id is worked out here. Fields as in the class."""
        return cls(
            **cell.key(),
            id=cell.record_id(sample),
            sample=sample,
            sample_fingerprint=sample_fingerprint,
            prompt=prompt,
            choices=choices,
            answer=answer,
            reply=reply,
            prediction=prediction,
            status=status,
            value=value,
            detail=detail,
            metric=metric,
            references=references,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status == "scored") != (self.value is not None):
            raise ValueError(f"a record has a value exactly when it is scored, got {self.status!r} with {self.value}")
        expected = self.record_id(self.sample)
        if self.id != expected:
            raise ValueError(f"the id must be the sha256 of cell and sample, {expected}, got {self.id!r}")
        return self

    def line(self) -> str:
        """The record as one canonical JSON line, without its newline; the last two fields only where they say more."""
        values = vars(self)  # plain values only: nothing is to be dumped first
        if self.metric == ACCURACY and not self.references:
            values = {name: value for name, value in values.items() if name not in ("metric", "references")}
        return _encode(values)


class Call(Frozen):
    """How the reply of one record came about; two runs with equal records may differ here."""

    record: str = Field(description="id of the record")
    cached: bool = Field(description="True where the reply came from the response cache")
    seconds: float = Field(ge=0, description="wall time of the reply, its share where a batch was asked at once")
    asked: dict[str, Any] | None = Field(
        default=None,
        description="what the record does not say of the request: its backend kind, and every field but the prompt",
    )

    def line(self) -> str:
        """The call as one canonical JSON line, without its newline."""
        return _encode(vars(self))  # plain values only: nothing is to be dumped first
