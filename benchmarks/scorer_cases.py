"""Invented replies that tell scoring rules apart: a rule that changes anywhere scores one of them differently."""

from __future__ import annotations

import math

from benchmarks.config import RunConfig
from llm_backends.protocol import Choice, Completion, LikelihoodRequest, Likelihoods, Reply
from results.regression.baseline import ScorerOutcomes
from tasks.errors import TaskError
from tasks.protocol import Sample, Style, Task
from tasks.registry import entry, open_data, open_task

WORD = "word"
"""The text of every image."""


def scorer_outcomes(config: RunConfig) -> list[ScorerOutcomes]:
    """What the present scoring rules of a run make of the cases, on the first sample of each task.

    Raises:
        SpaeError, TaskError: data or a task cannot be opened.
    """
    found = []
    for name in config.tasks:
        task, facts = open_task(name), entry(name)
        setting = (config.settings or task.settings)[0]
        data = open_data(facts, config.data or facts.default_data)
        (sample,) = task.samples(data, (setting,), config.seed, 1).of(setting)
        for scoring in config.scorings:
            outcomes = score_cases(task, sample, config.prompt_style, scoring)
            found.append(ScorerOutcomes(task=name, scoring=scoring, outcomes=outcomes))
    return found


def score_cases(task: Task, sample: Sample, style: Style, scoring: str) -> dict[str, str]:
    """What a rule makes of each case, on one line: case -> status, scores, prediction, explanation."""
    request = task.request(sample, dict.fromkeys(sample.images, WORD), style, scoring)
    replies: dict[str, Reply] = {}
    if isinstance(request, LikelihoodRequest):
        for case, values in _likelihoods(len(request.continuations)).items():
            replies[case] = Likelihoods(values=values)
    else:
        for case, text in _texts(sample.answer, tuple(getattr(sample, "classes", ()))).items():
            replies[case] = Completion(choices=(Choice(text=text, finish="stop"),))
    outcomes = {}
    for case, reply in replies.items():
        try:
            made = task.score(sample, request, reply, scoring)
            parts = [made.status, f"{made.value}", f"{made.prediction!r}", made.detail or ""]
        except TaskError as error:
            parts = [f"error: {error}"]
        outcomes[case] = " ".join(parts).strip()
    return outcomes


def _texts(answer: str, classes: tuple[str, ...]) -> dict[str, str]:
    other = next((name for name in classes if name != answer), "something else")
    return {
        "the answer": answer,
        "after a space, before a line break": f" {answer}\n",
        "after line breaks": f"\r\n\n{answer}",
        "in capitals": answer.upper(),
        "with an article": f"a {answer}",
        "with a full stop": f"{answer}.",
        "in quotation marks": f'"{answer}"',
        "then more words": f"{answer} and more",
        "then more letters": f"{answer}x",
        "after more words": f"more {answer}",
        "after more letters": f"x{answer}",
        "on the first of two lines": f"{answer}\nmore",
        "on the second of two lines": f"more\n{answer}",
        "cut short": answer[:-1],
        "another class": other,
        "another class on the second line": f"{answer}\n{other}",
        "the answer and another class": f"{answer} {other}",
        "another class and the answer": f"{other} {answer}",
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
