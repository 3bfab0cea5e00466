"""Tasks that ask one request a sample: few-shot classification, captions, questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from llm_backends.protocol import Failure, Reply, Request
from spae.metrics.accuracy import ACCURACY
from spae.metrics.protocol import MetricFacts
from tasks.errors import TaskInputError
from tasks.protocol import Codec, Outcome, Sample, Samples, Solution, Style
from tasks.registry import BUILT_IN


def ask_once(request: Request, score: Callable[[Reply], Outcome]) -> Solution:
    """The whole solution of a sample that takes one request; without a reply, the reason is its outcome."""
    (reply,) = yield (request,)
    if isinstance(reply, Failure):
        return Outcome(status="infeasible" if reply.reason == "too_long" else "failed", explanation=reply.message)
    return score(reply)


@dataclass(frozen=True)
class OneRequestTask(ABC):
    """A built-in task of one request a sample, with what its registry entry states.

    Attributes:
        name: in the registry.
        prompt_style: "gpt" or "palm"; most tasks have one prompt for both.
        scoring: the scoring rule; it decides what is asked, and "" is the entry's first.
    """

    name: str
    prompt_style: Style = "gpt"
    scoring: str = ""

    def __post_init__(self) -> None:
        facts = BUILT_IN[self.name]
        if not self.scoring:
            object.__setattr__(self, "scoring", facts.scorings[0])
        if self.scoring not in facts.scorings:
            raise TaskInputError(
                f"{self.name} has the scorings {', '.join(facts.scorings)}, got {self.scoring!r}: pass "
                f"--scoring {facts.scorings[0]}"
            )
        if self.prompt_style not in facts.styles:
            raise TaskInputError(
                f"prompt style must be one of {', '.join(facts.styles)}, got {self.prompt_style!r}: pass "
                f"--prompt-style {facts.styles[0]}"
            )

    @property
    def title(self) -> str:
        """One line for reports."""
        return BUILT_IN[self.name].title

    @property
    def settings(self) -> tuple[str, ...]:
        """Ids of all settings, in the paper's order."""
        return BUILT_IN[self.name].settings

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """Accuracy; tasks with other metrics state theirs."""
        return (ACCURACY,)

    def configured(self, *, prompt_style: Style, scoring: str) -> Self:
        """See `tasks.protocol.Task`."""
        return replace(self, prompt_style=prompt_style, scoring=scoring)

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        """See `tasks.protocol.Task`."""
        texts = {image: codec.text(image) for image in sample.images}
        return ask_once(self.request(sample, texts), partial(self.score, sample))

    @abstractmethod
    def request(self, sample: Sample, texts: Mapping[str, str]) -> Request:
        """What to ask the model.

        Args:
            sample: one of this task's.
            texts: the SPAE string of each of `sample.images`, by image id.

        Raises:
            TaskInputError: the sample is of another task; a text is missing, empty or has a line break.
        """

    @abstractmethod
    def load_samples(self, path: Path) -> Samples:
        """See `tasks.protocol.ScoresReplies`."""

    @abstractmethod
    def score(self, sample: Sample, reply: Reply) -> Outcome:
        """Scores the reply to `request`: `scored`, `empty` or `failed`.

        Raises:
            TaskInputError: the reply is not of the kind that the scoring rule reads.
        """
