"""The content of a report, computed once from a run's folder; the HTML and Markdown reports only format it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from results.analysis.aggregate import Cell, Row, aggregate
from results.analysis.best import BestMarks
from results.analysis.comparisons import Comparison, compare
from results.analysis.corpus import CorpusMetrics, load_corpus
from results.analysis.metric_tables import metric_tables
from results.analysis.question_groups import QuestionTable, question_tables, text_only_note
from results.analysis.settings import AVERAGE, in_words, natural_order, setting_order
from results.analysis.sweep import Sweep, sweeps
from results.analysis.tables import ResultTable, result_tables
from results.display import PERCENT, colour_numbers, hundredfold, number, scale, signed
from results.errors import ReportError
from results.record import Record
from results.report.accounting import Count, Reason, adjustments, call_line, reasons, row_counts, slow_paths
from results.report.example import Example, Examples, Reconstruction, ShownImage, load_examples, load_png
from results.run_facts import RunFacts
from results.store import EXAMPLES, RunStore


@dataclass(frozen=True)
class LayerError:
    """The error of images reconstructed from layers 1 to `layer`."""

    layer: int
    grid: tuple[int, int]
    tokens: int
    mse: float
    share: float


@dataclass(frozen=True)
class ShownSample:
    """One sample as each tokenizer showed it."""

    task: str
    setting: str
    sample_id: str
    target: str
    examples: tuple[Example, ...]

    @property
    def query(self) -> ShownImage | None:
        """The image that was asked about."""
        return next((p for e in self.examples for p in e.images if p.role == "query"), None)


class ReportData:
    """A run's folder, read once; or what is already read of it, whose records then count instead of the file's.

    Attributes:
        slow_paths: reason -> requests that took a slower path than the usual one.
        adjustments: what was done -> answers of a server for which it was done.

    Raises:
        RecordError: the folder is not a run's, or is broken.
        ReportError: the run has no record yet.
    """

    def __init__(self, run: Path | RunStore) -> None:
        self.store = run if isinstance(run, RunStore) else RunStore.open(run)
        folder = self.store.folder
        self.records: list[Record] = self.store.records
        if not self.records:
            raise ReportError(f"a report needs records, {folder} has none: let the run make some first")
        self.facts: RunFacts = self.store.facts
        self.examples: Examples = load_examples(folder)
        for example in self.examples.samples:
            self.facts.check(example.task, example.scores, f"{folder / EXAMPLES}, {example.sample_id}")
        self.cells: list[Cell] = aggregate(self.records, self.store.calls, self.facts)
        self.corpus: CorpusMetrics | None = load_corpus(folder, self.records, self.facts)
        self.comparisons: list[Comparison] = compare(
            self.records, self.corpus.samples if self.corpus else (), self.facts
        )
        further = {(one.row, one.setting, one.metric): one.values for one in self.corpus.samples} if self.corpus else {}
        self._marks = BestMarks(self.records, self.facts, further)
        self.slow_paths = slow_paths(folder)
        self.adjustments = adjustments(folder)
        self._first = sorted(self.records, key=lambda record: Row.of(record).order(self.facts))
        self._tokens = self.examples.token_counts({(cell.tokenizer, cell.layers) for cell in self.cells})

    @property
    def all_cells(self) -> list[Cell]:
        """The cells of the records, then those of metrics of whole corpora that the records do not have."""
        own = {(cell.row, cell.setting, cell.metric) for cell in self.cells}
        further = self.corpus.cells if self.corpus else ()
        return [*self.cells, *(cell for cell in further if (cell.row, cell.setting, cell.metric) not in own)]

    @cached_property
    def tables(self) -> list[ResultTable]:
        """The result tables: settings as columns; metrics as columns for a task with several."""
        several = metric_tables(self.cells, self.corpus, self._tokens, self.facts, self._marks)
        shown = {(table.task, table.data) for table in several}
        single = [cell for cell in self.cells if (cell.task, cell.data) not in shown]
        tables = result_tables(single, self._tokens, self.facts, self._marks) + several
        return [table.model_copy(update={"footnotes": (*table.footnotes, *self._text_only(table))}) for table in tables]

    def _text_only(self, table: ResultTable) -> list[str]:
        """The text-only baseline, where the task asks questions."""
        groups = [group for group in self.examples.questions if (group.task, group.data) == (table.task, table.data)]
        return [text_only_note(groups)] if groups else []

    @cached_property
    def colours(self) -> dict[str, int]:
        """The number of each tokenizer's colour, for figures and page."""
        return colour_numbers(record.tokenizer for record in self.records)

    @cached_property
    def sweeps(self) -> list[Sweep]:
        """The tokenizers that ran with several numbers of layers."""
        return sweeps(self.cells, self._tokens, self.facts, self._marks)

    @cached_property
    def question_tables(self) -> list[QuestionTable]:
        """Scores by question type, where the samples are questions."""
        return question_tables(self.records, self.examples.questions, self.facts)

    def chance(self, table: ResultTable) -> dict[str, float]:
        """By setting, the per cent that a guess among the named classes gets; none for free-text samples.

        A table of several metrics has one setting, and chance is of its task's primary metric.
        """
        guesses: dict[str, list[float]] = {}
        for record in self.records:
            if (record.task, record.data) == (table.task, table.data) and record.choices:
                guesses.setdefault(record.setting, []).append(100 / len(record.choices))
        means = {setting: sum(values) / len(values) for setting, values in guesses.items()}
        if table.axis is None:
            primary = self.facts.primary(table.task)
            return {primary: sum(means.values()) / len(means)} if means and primary in table.settings else {}
        if table.axis.unit != PERCENT or table.axis.name != (self.facts.primary(table.task) or table.axis.name):
            return {}
        if means and AVERAGE in table.settings:
            means[AVERAGE] = sum(means.values()) / len(means)
        return means

    def data_label(self, data: str) -> str:
        """The image set for a reader; of embedded data, which set it stands in for."""
        note = self.examples.note(data)
        if note is None:
            return data
        if not note.embedded:
            return f"{note.name}: {note.title}"
        return f"{note.name} (embedded, NOT {note.stands_for}): {note.title}"

    @property
    def embedded(self) -> bool:
        """True where an image set of the run stands in for a published one."""
        return bool(self.stands_for)

    @property
    def stands_for(self) -> str:
        """The published sets that embedded ones of this run stand in for: 'mini-ImageNet'."""
        used = {record.data for record in self.records}
        return _several(note.stands_for for note in self.examples.data if note.embedded and note.name in used)

    @property
    def overview(self) -> list[tuple[str, str]]:
        """What ran, as label and text."""
        first = self._first
        per_cell = sorted({cell.n for cell in self.cells if cell.setting != AVERAGE})
        episodes = str(per_cell[0]) if len(per_cell) == 1 else f"{per_cell[0]} to {per_cell[-1]}"
        return [
            ("Task", _several(record.task for record in first)),
            ("Data", "; ".join(self.data_label(data) for data in sorted({record.data for record in first}))),
            ("Language model", _several(f"{record.model}, {record.dtype}, frozen" for record in first)),
            ("Tokenizers", _several(f"{Row.of(record).name} (layers {record.layers})" for record in first)),
            (
                "Prompt, scoring",
                _several(f"{record.prompt_style} prompt, {record.scoring} scoring" for record in first),
            ),
            ("Episodes", f"{episodes} in each cell, seed {_several(str(record.seed) for record in first)}"),
        ]

    @property
    def notes(self) -> list[str]:
        """What a reader must know about this run or its files."""
        undescribed = sorted({(c.task, c.metric) for c in self.all_cells if not self.facts.describes(c.task, c.metric)})
        return [
            *self.store.notes,
            *(f"{task}: run.json describes no metric {metric!r}; it is shown as a plain number, more taken as better."
              for task, metric in undescribed),
            *(f"Slow path: {count:,} requests: {reason}" for reason, count in self.slow_paths.items()),
            *(f"Not as asked for: {count:,} answers: {what}" for what, count in self.adjustments.items()),
        ]  # fmt: skip

    @property
    def hashes(self) -> list[tuple[str, str]]:
        """What names the run and its inputs exactly, as label and hash."""
        pairs = {("run configuration", self.store.config_hash): None}
        for record in self._first:
            pairs[f"tokenizer {Row.of(record).name}", record.tokenizer_fingerprint] = None
            pairs[f"language model {record.model}", record.model_revision] = None
            pairs[f"data {record.data}", record.data_fingerprint] = None
        return list(pairs)

    @property
    def pairs(self) -> list[tuple[str, list[Comparison]]]:
        """The comparisons by pair of rows, each pair under a line that names it."""
        pairs: dict[str, list[Comparison]] = {}
        for one in self.comparisons:
            what = f"{one.task} on {one.data}, {one.model}, {one.scoring}, {one.prompt_style}"
            name = f"{one.tokenizer} {one.layers} against {one.other_name} {one.other_layers} ({what})"
            pairs.setdefault(name, []).append(one)
        return list(pairs.items())

    def comparison_name(self, one: Comparison) -> str:
        """What of a pair of rows was compared: the setting, and the metric where it is not the task's primary one."""
        primary = self._primary(one.task, (cell.metric for cell in self.cells if cell.task == one.task))
        return in_words(one.setting) if one.metric == primary else f"{in_words(one.setting)}, {one.metric}"

    def difference(self, one: Comparison) -> tuple[str, str, str]:
        """A comparison's difference, lower and upper end, as shown: in points of a percentage, else in the unit."""
        metric = self.facts.metric(one.task, one.metric)
        low, middle, high = (
            signed(scale(metric) * value, hundredfold(metric)) for value in (one.ci_low, one.difference, one.ci_high)
        )
        return middle, low, high

    @property
    def counts(self) -> list[Count]:
        """Per row, what became of its samples over all settings."""
        return row_counts(self.cells)

    @property
    def reasons(self) -> list[Reason]:
        """Why records went without a score, the commonest reason first."""
        return reasons(self.records)

    @property
    def call_line(self) -> str:
        """How many replies came from the cache, and how long the others took."""
        return call_line(self.records, self.store.calls)

    @property
    def samples(self) -> list[ShownSample]:
        """Example samples, each with its examples in the order of the table's rows."""
        groups: dict[tuple[str, str, str], list[Example]] = {}
        for example in self.examples.samples:
            groups.setdefault((example.task, example.setting, example.sample_id), []).append(example)
        keys = sorted(groups, key=lambda key: (key[0], setting_order(key[1]), natural_order(key[2])))
        ordered = {key: tuple(sorted(groups[key], key=self._example_order)) for key in keys}
        return [ShownSample(*key, target=group[0].target, examples=group) for key, group in ordered.items()]

    def _example_order(self, one: Example) -> tuple[object, ...]:
        return (self.facts.place(one.tokenizer), natural_order(one.layers), one.model, one.scoring, one.shuffled)

    def generated(self, example: Example) -> list[str]:
        """The images that the task generated, as base64 PNG. Raises RecordError: a file is missing, or no PNG."""
        return [load_png(self.store.folder, name) for name in example.generated]

    def verdict(self, example: Example) -> str:
        """'right' or 'wrong', where the primary score is the best or the worst there is and one answer is right."""
        metric = self.facts.metric(example.task, self._primary(example.task, example.scores))
        value = example.scores.get(metric.name)
        if example.references or value is None or metric.low is None or metric.high is None:
            return ""
        best, worst = (metric.high, metric.low) if metric.higher_is_better else (metric.low, metric.high)
        return "right" if value == best else "wrong" if value == worst else ""

    def _primary(self, task: str, names: Iterable[str]) -> str:
        """The task's primary metric; the first by name where run.json does not describe it."""
        return self.facts.primary(task) or min(names, default="")

    def score_text(self, example: Example) -> str:
        """The scores of an example for a reader: 'PSNR 12.3, SSIM 0.41'."""
        names = self.facts.order(example.task, example.scores)
        metrics = [self.facts.metric(example.task, name) for name in names]
        values = [number(scale(one) * example.scores[one.name], hundredfold(one)) for one in metrics]
        return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))

    @property
    def reconstructions(self) -> list[Reconstruction]:
        """Reconstructed images, in the order of the tables."""
        return sorted(self.examples.reconstructions, key=lambda one: self.facts.place(one.tokenizer))


def layer_errors(reconstruction: Reconstruction) -> list[LayerError]:
    """Per layer its error and what share that is of the mean image's."""
    rows, tokens = [], 0
    for layer, (grid, mse) in enumerate(zip(reconstruction.grids, reconstruction.mse, strict=True), start=1):
        tokens += grid[0] * grid[1]
        rows.append(LayerError(layer, grid, tokens, mse, mse / reconstruction.mean_image_mse))
    return rows


def _several(texts: Iterable[str]) -> str:
    """The different ones of `texts`, in order of appearance."""
    return "; ".join(dict.fromkeys(texts))
