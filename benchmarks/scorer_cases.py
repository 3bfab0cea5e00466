"""Replies made up to tell scoring rules apart: a rule that changes anywhere answers one of them otherwise."""

from __future__ import annotations

import math

from llm_backends.protocol import Choice, Completion, LikelihoodRequest, Likelihoods, Reply
from tasks.errors import TaskError
from tasks.one_request import OneRequestTask
from tasks.protocol import Sample, Style, Task

WORD = "word"
"""What every image is shown as."""


def probe(task: Task, sample: Sample, style: Style, scoring: str) -> dict[str, str]:
    """What a rule makes of each case, on one line: case -> status, value, prediction, detail."""
    bound = task.configured(prompt_style=style, scoring=scoring)
    if not isinstance(bound, OneRequestTask):
        return {}
    request = bound.request(sample, dict.fromkeys(sample.images, WORD))
    replies: dict[str, Reply] = {}
    if isinstance(request, LikelihoodRequest):
        for case, values in _likelihoods(len(request.continuations)).items():
            replies[case] = Likelihoods(values=values)
    else:
        for case, text in _texts(sample.target, sample.choices).items():
            replies[case] = Completion(choices=(Choice(text=text, finish="stop"),))
    outcomes = {}
    for case, reply in replies.items():
        try:
            made = bound.score(sample, reply)
            value = next(iter(made.scores.values()), None)
            parts = [made.status, f"{value}", f"{made.prediction!r}", made.explanation]
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
