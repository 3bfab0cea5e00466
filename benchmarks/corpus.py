"""At the end of a run: the metrics of all replies of a cell together, such as BLEU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.plan import Plan
from results.analysis.aggregate import Cell
from results.analysis.corpus import CorpusMetrics, Missing, SampleValues, corpora, corpus_cell, digest, sample_values
from results.record import Record
from tasks.protocol import Answered, CorpusScored


def score_corpora(plan: Plan, records: Sequence[Record], say: Callable[[str], None]) -> CorpusMetrics | None:
    """The corpus metrics of a run; None if no task of it has any.

    Args:
        plan: of the run.
        records: of the run.
        say: prints a line before each task's metrics: some take a while.
    """
    tasks = {run.task.name: run.task for run in plan.task_runs if isinstance(run.task, CorpusScored)}
    return score_tasks(tasks, records, say) if tasks else None


def score_tasks(
    tasks: Mapping[str, CorpusScored], records: Sequence[Record], say: Callable[[str], None]
) -> CorpusMetrics:
    """The corpus metrics of these tasks, by name; other arguments as of `score_corpora`."""
    cells: list[Cell] = []
    missing: list[Missing] = []
    samples: list[SampleValues] = []
    for name, task in tasks.items():
        found = corpora(records, name)
        if not found:
            continue
        say(f"{name}: corpus metrics, {len(found)} times {len(found[0].predictions)} replies")
        groups = [
            [Answered(text, right) for text, right in zip(corpus.predictions, corpus.references, strict=True)]
            for corpus in found
        ]
        for corpus, scores in zip(found, task.corpus_scores(groups), strict=True):
            cells.extend(corpus_cell(corpus, score.metric, score.value, score.per_sample) for score in scores)
            samples.extend(
                sample_values(corpus, score.metric, score.per_sample)
                for score in scores
                if score.per_sample and score.metric not in corpus.metrics
            )
            missing.extend(
                Missing(task=name, metric=score.metric, reason=score.unavailable)
                for score in scores
                if score.value is None
            )
    return CorpusMetrics(
        records=digest(records), cells=tuple(cells), missing=tuple(dict.fromkeys(missing)), samples=tuple(samples)
    )
