"""What the samples of a task ask for, and what one gets right unseeing: for the report, from the manifest alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from results.analysis.question_groups import QuestionGroup
from tasks.protocol import Samples
from tasks.vqa.vqa_sample import VqaSample, blind_share, kind_of

MOST_KINDS = 8
"""Columns of a table; published questions begin in many ways, and the rarer ones stand together."""
OTHER = "other"


def question_groups(task: str, samples: Samples) -> Iterator[QuestionGroup]:
    """The groups of each setting; none where the samples are no questions.

    Args:
        task: its name.
        samples: its manifest.
    """
    asked = {
        setting: [one for one in samples.of(setting) if isinstance(one, VqaSample)] for setting in samples.settings
    }
    counts = Counter(kind_of(one) for questions in asked.values() for one in questions)
    ranked = sorted(counts, key=lambda kind: (-counts[kind], kind))
    shown = set(ranked if len(ranked) <= MOST_KINDS else ranked[: MOST_KINDS - 1])
    for setting, questions in asked.items():
        groups: dict[str, list[VqaSample]] = {}
        for one in questions:
            kind = kind_of(one)
            groups.setdefault(kind if kind in shown else OTHER, []).append(one)
        for kind, members in sorted(groups.items()):
            yield QuestionGroup(
                task=task,
                data=samples.data,
                setting=setting,
                question_type=kind,
                samples=tuple(one.id for one in members),
                text_only=blind_share(members),
            )
