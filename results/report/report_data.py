"""Everything a report says, worked out once from a run's folder; the HTML and Markdown reports only write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from results.analysis.aggregate import Cell, Row, aggregate
from results.analysis.comparisons import Comparison, compare
from results.analysis.corpus import CorpusBook, load_corpus
from results.analysis.metric_tables import metric_tables
from results.analysis.question_groups import QuestionTable, question_tables, text_only_note
from results.analysis.settings import AVERAGE, natural_order, setting_order, tokenizer_order
from results.analysis.tables import ResultTable, result_tables
from results.errors import ReportError
from results.record import Record
from results.report.example import Example, Examples, Reconstruction, ShownImage, load_examples
from results.store import RunStore
from spae.canonical import canonical_json

ACCURACY = "accuracy"
REASONS_SHOWN = 12


@dataclass(frozen=True)
class Count:
    """What became of the questions of one row."""

    row: Row
    n: int
    scored: int
    infeasible: int
    refused: int
    empty: int
    failed: int
    cached: int


@dataclass(frozen=True)
class Reason:
    """Why records of one row went without a score."""

    row: Row
    status: str
    detail: str
    count: int


@dataclass(frozen=True)
class LayerError:
    """The error of images redrawn from layers 1 to `layer`."""

    layer: int
    grid: tuple[int, int]
    tokens: int
    mse: float
    share: float


@dataclass(frozen=True)
class Episode:
    """One sample as each tokenizer showed it."""

    task: str
    setting: str
    sample: str
    answer: str
    examples: tuple[Example, ...]

    @property
    def query(self) -> ShownImage | None:
        """The image that was asked about."""
        return next((p for e in self.examples for p in e.images if p.role == "query"), None)


class ReportData:
    """A run, read and counted.

    Args:
        folder: the run's folder.

    Raises:
        RecordError: the folder is not a run's, or is broken.
        ReportError: the run has no record yet.
    """

    def __init__(self, folder: Path) -> None:
        self.store = RunStore.open(folder)
        self.records: list[Record] = self.store.records
        if not self.records:
            raise ReportError(f"a report needs records, {folder} has none: let the run make some first")
        self.examples: Examples = load_examples(folder)
        self.cells: list[Cell] = aggregate(self.records, self.store.calls)
        self.corpus: CorpusBook | None = load_corpus(folder, self.records)
        self.comparisons: list[Comparison] = compare(self.records, self.corpus.samples if self.corpus else ())

    @property
    def all_cells(self) -> list[Cell]:
        """The cells of the records, then those of further metrics (that of the records is not repeated)."""
        own = {(cell.row, cell.setting, cell.metric) for cell in self.cells}
        further = self.corpus.cells if self.corpus else ()
        return [*self.cells, *(cell for cell in further if (cell.row, cell.setting, cell.metric) not in own)]

    @cached_property
    def tables(self) -> list[ResultTable]:
        """The result tables, with tokens per image where the examples tell; of metrics, where a task has several."""
        counts = self.examples.token_counts({(cell.tokenizer, cell.layers) for cell in self.cells})
        further = metric_tables(self.cells, self.corpus, counts) if self.corpus else []
        shown = {(table.task, table.data) for table in further}
        tables = result_tables([cell for cell in self.cells if (cell.task, cell.data) not in shown], counts) + further
        return [table.model_copy(update={"footnotes": (*table.footnotes, *self._text_only(table))}) for table in tables]

    def _text_only(self, table: ResultTable) -> list[str]:
        """What is right without seeing, where the task asks questions and the table is of their accuracy."""
        groups = [group for group in self.examples.questions if (group.task, group.data) == (table.task, table.data)]
        return [text_only_note(groups)] if groups and ACCURACY in (table.metric, *table.settings) else []

    @cached_property
    def question_tables(self) -> list[QuestionTable]:
        """Accuracy by what is asked for, where the samples say."""
        return question_tables(self.records, self.examples.questions)

    def chance(self, table: ResultTable) -> dict[str, float]:
        """By setting, the per cent that a guess among the named classes gets; none for free-text samples."""
        guesses: dict[str, list[float]] = {}
        for record in self.records:
            if (record.task, record.data) == (table.task, table.data) and record.choices:
                guesses.setdefault(record.setting, []).append(100 / len(record.choices))
        means = {setting: sum(values) / len(values) for setting, values in guesses.items()}
        if means and table.settings[0] == ACCURACY:  # a table of metrics is of one setting
            return {ACCURACY: sum(means.values()) / len(means)}
        if means and AVERAGE in table.settings:
            means[AVERAGE] = sum(means.values()) / len(means)
        return means

    def data_label(self, data: str) -> str:
        """What the image set is; for embedded data, that it stands in for another."""
        note = self.examples.note(data)
        if note is None:
            return data
        if not note.embedded:
            return f"{note.name}: {note.title}"
        return f"{note.name} (embedded, NOT {note.stands_for}): {note.title}"

    @property
    def embedded(self) -> bool:
        """True where an image set of the run stands in for a published one."""
        return any(note.embedded for note in self.examples.data if note.name in {r.data for r in self.records})

    @property
    def stands_for(self) -> str:
        """The published sets that the embedded ones of this run are not: 'mini-ImageNet'."""
        used = {record.data for record in self.records}
        return _several(note.stands_for for note in self.examples.data if note.embedded and note.name in used)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What ran, as label and text."""
        first = sorted(self.records, key=_row_order)
        per_cell = sorted({cell.n for cell in self.cells if cell.setting != AVERAGE})
        episodes = str(per_cell[0]) if len(per_cell) == 1 else f"{per_cell[0]} to {per_cell[-1]}"
        return [
            ("Task", _several(record.task for record in first)),
            ("Data", "; ".join(self.data_label(data) for data in sorted({record.data for record in first}))),
            ("Language model", _several(f"{record.model}, {record.dtype}, frozen" for record in first)),
            ("Tokenizers", _several(f"{Row.of(r).name} (layers {r.layers})" for r in first)),
            (
                "Prompt, scoring",
                _several(f"{record.prompt_style} prompt, {record.scoring} scoring" for record in first),
            ),
            ("Episodes", f"{episodes} in each cell, seed {_several(str(record.seed) for record in first)}"),
        ]

    @property
    def hashes(self) -> list[tuple[str, str]]:
        """What names the run and its inputs exactly, as label and hash."""
        pairs = {("run configuration", self.store.config_hash): None}
        for record in sorted(self.records, key=_row_order):
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

    @property
    def counts(self) -> list[Count]:
        """Per row, what became of its questions over all settings."""
        rows: dict[Row, Counter[str]] = {}
        names = ("n", "scored", "infeasible", "refused", "empty", "failed", "cached")
        for cell in self.cells:
            if cell.setting != AVERAGE:
                rows.setdefault(cell.row, Counter()).update({name: getattr(cell, name) for name in names})
        return [Count(row=row, **{name: total[name] for name in names}) for row, total in rows.items()]

    @property
    def reasons(self) -> list[Reason]:
        """Why records went without a score, the commonest first."""
        found = Counter((Row.of(r), r.status, r.explanation) for r in self.records if r.status != "scored")
        reasons = [Reason(row, status, detail, count) for (row, status, detail), count in found.items()]
        return sorted(reasons, key=lambda r: (-r.count, r.row.order(), r.status, r.detail))[:REASONS_SHOWN]

    @property
    def call_line(self) -> str:
        """How many replies came from the cache, and how long the others took."""
        calls = self.store.calls
        cached = sum(call.cached for call in calls)
        seconds = sum(call.seconds for call in calls if not call.cached)
        if not calls:
            return "No call of the language model is on record."
        asked = len(calls) - cached
        line = f"{len(calls):,} replies: {cached:,} from the response cache, {asked:,} asked of the model"
        line = f"{line} in {seconds:,.1f} s." if asked else f"{line}."
        shared = self.shared_prompts
        return f"{line} Several tokenizers share {shared:,} of them: their prompts were equal." if shared else line

    @property
    def shared_prompts(self) -> int:
        """How many prompts two or more tokenizers came to, word for word: each was asked once for all of them."""
        asked = {call.record: canonical_json(call.request) for call in self.store.calls if call.request is not None}
        tokenizers: dict[tuple[str, ...], set[str]] = {}
        for record in self.records:
            if record.id in asked and record.status in ("scored", "empty", "refused"):  # the others share no reply
                key = (record.model, record.model_revision, record.dtype, asked[record.id], record.prompt)
                tokenizers.setdefault(key, set()).add(record.tokenizer_fingerprint)
        return sum(len(found) > 1 for found in tokenizers.values())

    @property
    def episodes(self) -> list[Episode]:
        """Example episodes, each with its examples in the order of the table's rows."""
        groups: dict[tuple[str, str, str], list[Example]] = {}
        for example in self.examples.samples:
            groups.setdefault((example.task, example.setting, example.sample_id), []).append(example)
        keys = sorted(groups, key=lambda key: (key[0], setting_order(key[1]), natural_order(key[2])))
        return [
            Episode(*key, answer=groups[key][0].target, examples=tuple(sorted(groups[key], key=_example_order)))
            for key in keys
        ]

    @property
    def reconstructions(self) -> list[Reconstruction]:
        """Redrawn images, SPAE last as in the tables."""
        return sorted(self.examples.reconstructions, key=lambda r: tokenizer_order(r.tokenizer))


def layer_errors(reconstruction: Reconstruction) -> list[LayerError]:
    """Per layer its error and what share that is of the mean image's."""
    rows, tokens = [], 0
    for layer, (grid, mse) in enumerate(zip(reconstruction.grids, reconstruction.mse, strict=True), start=1):
        tokens += grid[0] * grid[1]
        rows.append(LayerError(layer, grid, tokens, mse, mse / reconstruction.mean_image_mse))
    return rows


def _row_order(record: Record) -> tuple[object, ...]:
    return Row.of(record).order()


def _example_order(example: Example) -> tuple[object, ...]:
    return (tokenizer_order(example.tokenizer), natural_order(example.layers), example.model, example.scoring)


def _several(texts: Iterable[str]) -> str:
    """The different ones of `texts`, in order of appearance."""
    return "; ".join(dict.fromkeys(texts))
