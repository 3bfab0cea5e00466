"""Facts of a run that its records do not repeat: the metrics of each task, and the order of the tokenizers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, ValidationError

from results.errors import RecordError, first_fault
from results.record import MetricFacts
from spae.canonical import Frozen

ROUNDING = 1e-6
"""What a sum of floating point numbers may lie outside of a metric's range."""


class RunFacts(Frozen):
    """Read from the configuration in run.json.

    Attributes:
        metrics: of each task, its primary metric first.
        tokenizers: in the run's order. The first is the reference that the others are tested against.
    """

    metrics: dict[str, tuple[MetricFacts, ...]] = Field(default_factory=dict)
    tokenizers: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RunFacts:
        """The facts in a run's configuration; what it does not state is unknown.

        Raises:
            RecordError: a statement is malformed.
        """
        try:
            return cls(metrics=config.get("metrics", {}), tokenizers=tuple(config.get("tokenizers", ())))
        except ValidationError as error:
            raise RecordError(f"run.json must describe its metrics ({first_fault(error)}): run again") from error

    def metric(self, task: str, name: str) -> MetricFacts:
        """The facts of a metric; of one that run.json does not describe, a plain number of which more is better."""
        known = (one for one in self.metrics.get(task, ()) if one.name == name)
        return next(known, MetricFacts(name=name, unit="", higher_is_better=True))

    def describes(self, task: str, name: str) -> bool:
        """Whether run.json describes the metric."""
        return any(one.name == name for one in self.metrics.get(task, ()))

    def check(self, task: str, scores: Mapping[str, float], where: str) -> None:
        """Raises RecordError for a score that its metric cannot have: a file was edited, or a task is wrong."""
        for name, value in scores.items():
            metric = self.metric(task, name)
            low = -math.inf if metric.low is None else metric.low
            high = math.inf if metric.high is None else metric.high
            if not math.isfinite(value) or not low - ROUNDING <= value <= high + ROUNDING:
                raise RecordError(
                    f"{where}: {name} of {task} lies in {low:g} to {high:g}, got {value:g}: restore the file, or run "
                    "again into another --out"
                )

    def order(self, task: str, names: Iterable[str]) -> list[str]:
        """Names of metrics in the task's order, unknown ones last, by name."""
        known = [one.name for one in self.metrics.get(task, ())]
        return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))

    def primary(self, task: str) -> str | None:
        """The name of a task's primary metric, where run.json describes one."""
        described = self.metrics.get(task, ())
        return described[0].name if described else None

    @property
    def reference(self) -> str | None:
        """The tokenizer that the others are tested against."""
        return self.tokenizers[0] if self.tokenizers else None

    def place(self, tokenizer: str) -> tuple[bool, int, str]:
        """Sort key of tokenizers: the run's order but the reference last, as the paper's tables have their own row."""
        known = self.tokenizers.index(tokenizer) if tokenizer in self.tokenizers else len(self.tokenizers)
        return (tokenizer == self.reference, known, tokenizer)
