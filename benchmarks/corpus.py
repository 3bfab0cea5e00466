"""At the end of a run: the metrics that tasks work out of all replies of a cell together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.plan import Plan
from results.analysis.aggregate import Cell
from results.analysis.corpus import CorpusMetrics, Missing, SampleValues, corpora, corpus_cell, digest, sample_values
from results.record import Record
from tasks.protocol import Answered, CorpusScored


def score_corpora(plan: Plan, records: Sequence[Record], say: Callable[[str], None]) -> CorpusMetrics | None:
    """The further metrics of a run; None where no task of it has any.

    Args:
        plan: whose tasks.
        records: of the run.
        say: told, in a line, what is begun: some of it takes a while.
    """
    tasks = {job.task.name: job.task for job in plan.jobs if isinstance(job.task, CorpusScored)}
    if not tasks:
        return None
    cells: list[Cell] = []
    missing: list[Missing] = []
    samples: list[SampleValues] = []
    for name, task in tasks.items():
        found = corpora(records, name)
        if not found:
            continue
        say(f"{name}: metrics of the whole, {len(found)} times {len(found[0].predictions)} replies")
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
