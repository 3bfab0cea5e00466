"""A baseline: what a run gave, small enough to review, so that a later state of the code can be held to it.

baseline.json   the run's configuration, and the facts its numbers rest on: model, manifests, tokenizers, scoring rules
metrics.json    the run's cells, as in summary.json
records.jsonl   one question a line: hashes of what was asked and answered, and what the scorer made of it
replies.jsonl   the model's replies, one a line, with the requests they answer

Equal runs give equal bytes; `results.regression.drift` says where two differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from results.analysis.aggregate import Cell
from results.errors import RecordError, ResultsError, first_fault
from results.jsonl import load_lines, path_inside, write_text
from spae.canonical import Frozen, canonical_json

FACTS = "baseline.json"
METRICS = "metrics.json"
QUESTIONS = "records.jsonl"
REPLIES = "replies.jsonl"
FILES = (FACTS, METRICS, QUESTIONS, REPLIES)
FORMAT: Literal[1] = 1


class BaselineError(ResultsError):
    """A folder is no baseline, or is one that this program does not read."""


class ManifestFact(Frozen):
    """The samples of one task."""

    task: str
    data: str = Field(description="name of the image set")
    data_sha256: str
    seed: int
    settings: tuple[str, ...]
    samples: int
    sha256: str = Field(description="over the manifest")


class TokenizerFact(Frozen):
    """One tokenizer."""

    name: str
    sha256: str = Field(description="its fingerprint: configuration, weights and vocabulary")


class ScorerFact(Frozen):
    """What a scoring rule makes of a few replies made up to tell rules apart."""

    task: str
    scoring: str
    outcomes: dict[str, str] = Field(description="case -> status, value and prediction, as one line")


class BaselineFacts(Frozen):
    """baseline.json."""

    format: Literal[1] = FORMAT
    config: dict[str, Any] = Field(description="the run's configuration")
    llm: dict[str, str] = Field(description="the model's identity: kind, model, revision, dtype")
    context_length: int | None = Field(description="in tokens; longer prompts are infeasible")
    manifests: tuple[ManifestFact, ...]
    tokenizers: tuple[TokenizerFact, ...]
    scorers: tuple[ScorerFact, ...]


class QuestionLine(Frozen):
    """One question, and what became of it: a line of records.jsonl."""

    task: str
    setting: str
    sample: str
    tokenizer: str
    layers: str
    scoring: str
    request: str = Field(description="the key of its reply: a hash over model and request, the prompt's every byte")
    prompt: str = Field(description="sha256 of the prompt")
    reply: str | None = Field(description="sha256 of the reply; None where there is none")
    status: str
    value: float | None
    prediction: str | None
    detail: str

    @property
    def place(self) -> tuple[str, ...]:
        """What it is the only one of."""
        return (self.task, self.setting, self.sample, self.tokenizer, self.layers, self.scoring)

    @property
    def asked(self) -> tuple[str, str]:
        """What the model was asked."""
        return (self.request, self.prompt)

    @property
    def outcome(self) -> tuple[object, ...]:
        """What the scorer made of the reply."""
        return (self.status, self.value, self.prediction, self.detail)


@dataclass(frozen=True)
class Baseline:
    """All of a baseline but its replies."""

    facts: BaselineFacts
    cells: tuple[Cell, ...]
    questions: tuple[QuestionLine, ...]


def write_baseline(folder: Path, baseline: Baseline) -> None:
    """Writes every file but replies.jsonl, each atomically; equal baselines give equal bytes."""
    facts = json.dumps(baseline.facts.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False)
    write_text(folder, METRICS, _cells_text(baseline.cells))
    lines = sorted(baseline.questions, key=lambda line: line.place)
    write_text(folder, QUESTIONS, "".join(canonical_json(line.model_dump(mode="json")) + "\n" for line in lines))
    write_text(folder, FACTS, facts + "\n")


def read_baseline(folder: Path) -> Baseline:
    """Reads what `write_baseline` wrote; that replies.jsonl is there, too, but not what is in it.

    Raises:
        BaselineError: no baseline there, one of another format, or a file that is broken.
    """
    if not (folder / FACTS).is_file():
        raise BaselineError(f"a baseline's folder has a {FACTS}, {folder} has none: make one with `baseline RUN`")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BaselineError(f"a baseline has {', '.join(FILES)}, {folder} lacks {', '.join(missing)}: restore it")
    try:
        held = json.loads(path_inside(folder, FACTS).read_bytes())
        version = held.get("format") if isinstance(held, dict) else None
        if version != FORMAT:
            raise BaselineError(
                f"this program reads baselines of format {FORMAT}, {folder / FACTS} has {version!r}: make it anew "
                "with `baseline RUN`"
            )
        facts = BaselineFacts.model_validate(held)
        cells = [Cell.model_validate({**cell, "cached": 0}) for cell in _list(folder / METRICS)]
        questions, torn = load_lines(folder / QUESTIONS, QuestionLine)
    except ValidationError as error:
        raise BaselineError(f"{folder} holds no whole baseline ({first_fault(error)}): restore it") from error
    except (OSError, ValueError, TypeError, RecordError) as error:
        raise BaselineError(f"{folder} holds no whole baseline ({error}): restore it") from error
    if torn or len({line.place for line in questions}) != len(questions):
        fault = "is cut short" if torn else "holds a question twice"
        raise BaselineError(f"{folder / QUESTIONS} {fault}: restore it")
    return Baseline(facts, tuple(cells), tuple(questions))


def is_baseline(folder: Path) -> bool:
    """Whether the folder holds a baseline of whatever format."""
    return (folder / FACTS).is_file()


def _list(path: Path) -> list[dict[str, Any]]:
    held = json.loads(path.read_bytes())
    if not isinstance(held, list) or not all(isinstance(one, dict) for one in held):
        raise ValueError(f"{path.name} is no list of cells")
    return held


def _cells_text(cells: Sequence[Cell]) -> str:
    """One cell a line: a changed number is a changed line in a review."""
    return "[\n" + ",\n".join(_cell_lines(cells)) + "\n]\n"


def _cell_lines(cells: Iterable[Cell]) -> Iterable[str]:
    # Where a reply came from says nothing of the result.
    return (json.dumps(cell.model_dump(mode="json", exclude={"cached"}), allow_nan=False) for cell in cells)
