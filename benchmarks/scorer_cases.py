"""Invented replies that tell scoring rules apart: a rule that changes anywhere scores one of them differently."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.plan import Plan
from llm_backends.protocol import Choice, Completion, LikelihoodRequest, Likelihoods, Reply
from results.regression.baseline import ScorerOutcomes
from spae.tokens import ImageTokens
from tasks.errors import TaskError
from tasks.protocol import Sample, Task


@dataclass(frozen=True)
class OneWord:
    """A codec that shows every image as the same word: scoring does not depend on the images."""

    layers: tuple[int, ...] = (1,)
    vocabulary: tuple[str, ...] = ("word",)

    def text(self, image_id: str) -> str:
        """The word."""
        return self.vocabulary[0]

    def encode(self, image_ids: Sequence[str]) -> list[ImageTokens]:
        """One token per image."""
        return [ImageTokens(((0,),), (self.vocabulary,), ((1, 1),)) for _ in image_ids]

    def decode(self, tokens: Sequence[ImageTokens]) -> list[np.ndarray]:
        """Black images [8, 8, 3]."""
        return [np.zeros((8, 8, 3), np.uint8) for _ in tokens]

    def prepare(self, image_ids: Sequence[str]) -> None:
        """Nothing: there is nothing to encode."""


def scorer_outcomes(plan: Plan) -> list[ScorerOutcomes]:
    """What the present scoring rules of a plan make of the cases, on the first sample of each task."""
    found = []
    for run in plan.task_runs:
        sample = run.samples.of(run.samples.settings[0])[0]
        for scoring in plan.config.scorings:
            task = run.task.configured(prompt_style=plan.config.prompt_style, scoring=scoring)
            found.append(ScorerOutcomes(task=task.name, scoring=scoring, outcomes=score_cases(task, sample)))
    return found


def score_cases(task: Task, sample: Sample) -> dict[str, str]:
    """What a rule makes of each case, on one line: case -> status, scores, prediction, explanation.

    Empty for a task that needs more than one request: an invented reply to its first tells nothing of its score.

    Args:
        task: configured with the rule.
        sample: one of the task's.
    """
    requests = next(task.solve(sample, OneWord()), ())
    if len(requests) != 1:
        return {}
    (request,) = requests
    replies: dict[str, Reply] = {}
    if isinstance(request, LikelihoodRequest):
        for case, values in _likelihoods(len(request.continuations)).items():
            replies[case] = Likelihoods(values=values)
    else:
        for case, text in _texts(sample.target, sample.choices).items():
            replies[case] = Completion(choices=(Choice(text=text, finish="stop"),))
    outcomes = {case: _outcome(task, sample, reply) for case, reply in replies.items()}
    return {case: outcome for case, outcome in outcomes.items() if outcome is not None}


def _outcome(task: Task, sample: Sample, reply: Reply) -> str | None:
    """The outcome of a sample whose one request gets this reply; None if the task then asks more."""
    solution = task.solve(sample, OneWord())
    next(solution)
    try:
        solution.send((reply,))
    except StopIteration as end:
        made = end.value
        scores = ", ".join(f"{name} {value:g}" for name, value in made.scores.items())
        return " ".join(part for part in (made.status, scores, f"{made.prediction!r}", made.explanation) if part)
    except TaskError as error:
        return f"error: {error}"
    return None


def _texts(target: str, choices: tuple[str, ...]) -> dict[str, str]:
    other = next((name for name in choices if name != target), "something else")
    return {
        "the answer": target,
        "after a space, before a line break": f" {target}\n",
        "after line breaks": f"\r\n\n{target}",
        "in capitals": target.upper(),
        "with an article": f"a {target}",
        "with a full stop": f"{target}.",
        "in quotation marks": f'"{target}"',
        "then more words": f"{target} and more",
        "then more letters": f"{target}x",
        "after more words": f"more {target}",
        "after more letters": f"x{target}",
        "on the first of two lines": f"{target}\nmore",
        "on the second of two lines": f"more\n{target}",
        "cut short": target[:-1],
        "another class": other,
        "another class on the second line": f"{target}\n{other}",
        "the answer and another class": f"{target} {other}",
        "another class and the answer": f"{other} {target}",
        "nothing": "",
        "white space": " \n\t ",
    }


def _likelihoods(count: int) -> dict[str, tuple[float, ...]]:
    """`count` values for each case."""
    rising = tuple(-10.0 + i for i in range(count))
    cases = {f"number {i + 1} likeliest": tuple(-1.0 if j == i else -2.0 for j in range(count)) for i in range(count)}
    return cases | {
        "ever likelier": rising,
        "all alike": (-1.0,) * count,
        "the last two alike": (*(-2.0,) * (count - 2), -1.0, -1.0)[-count:],
        "one impossible": (-math.inf, *(-1.0,) * (count - 1)),
        "all impossible": (-math.inf,) * count,
        "one that is no number": (math.nan, *(-1.0,) * (count - 1)),
        "one missing": rising[:-1],
    }
