"""The question types of a task's samples, and its text-only baseline: for the report, from the manifest alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from results.analysis.question_groups import QuestionGroup
from tasks.protocol import Samples
from tasks.vqa.sample import VqaSample, question_type, text_only_accuracy

MOST_TYPES = 8
"""Columns of a table; published questions begin in many ways, and the rarer ones are grouped."""
OTHER = "other"


def question_groups(task: str, samples: Samples) -> Iterator[QuestionGroup]:
    """The groups of each setting; none if the samples are no questions.

    Args:
        task: its name.
        samples: its manifest.
    """
    asked = {
        setting: [one for one in samples.of(setting) if isinstance(one, VqaSample)] for setting in samples.settings
    }
    counts = Counter(question_type(one) for questions in asked.values() for one in questions)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    shown = set(ranked if len(ranked) <= MOST_TYPES else ranked[: MOST_TYPES - 1])
    for setting, questions in asked.items():
        groups: dict[str, list[VqaSample]] = defaultdict(list)
        for one in questions:
            name = question_type(one)
            groups[name if name in shown else OTHER].append(one)
        for name, members in sorted(groups.items()):
            yield QuestionGroup(
                task=task,
                data=samples.data,
                setting=setting,
                question_type=name,
                samples=tuple(one.id for one in members),
                text_only=text_only_accuracy(members),
            )
