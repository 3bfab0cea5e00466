"""Records to cells: one number, its interval and its counts per metric, tokenizer, model and setting.

`summary.json` is the list of these cells and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from results.analysis.settings import AVERAGE, FEW_SHOT, natural_order, setting_order
from results.analysis.statistics import Interval, bootstrap_mean_of_rows, wilson
from results.errors import RecordError
from results.record import Call, MetricFacts, Record, Status
from results.run_facts import RunFacts
from spae.canonical import Frozen

# What two records of a cell share and its row does not show: a second value of one of these would be another row.
HIDDEN = ("tokenizer_fingerprint", "model_revision", "dtype", "data_fingerprint", "seed")
COUNTED_AS_WRONG: tuple[Status, ...] = ("empty", "refused", "failed")
"""What the strict value counts as the worst score, as the paper would. A prompt that does not fit is not among them."""
NO_FACTS = RunFacts()
SHUFFLED = " (shuffled)"
"""After a tokenizer's name: the control in which images swap their words."""


class Row(Frozen):
    """What the settings of one row of a table share."""

    task: str = Field(description="name in the task registry")
    tokenizer: str = Field(description="name in the tokenizer registry")
    layers: str = Field(description="layers whose words the LLM saw: '1-2'")
    shuffled: bool = Field(default=False, description="every image was shown with another image's words")
    model: str = Field(description="id of the LLM")
    data: str = Field(description="name of the image set")
    scoring: str = Field(description="the scoring rule")
    prompt_style: str = Field(description="the prompt style")

    @classmethod
    def of(cls, record: Record) -> Row:
        """The row that `record` belongs to."""
        return cls(task=record.task, tokenizer=record.tokenizer, layers=record.layers, shuffled=record.shuffled,
                   model=record.model, data=record.data, scoring=record.scoring,
                   prompt_style=record.prompt_style)  # fmt: skip

    @property
    def name(self) -> str:
        """The tokenizer for a reader: 'spae', 'spae (shuffled)'."""
        return f"{self.tokenizer}{SHUFFLED}" if self.shuffled else self.tokenizer

    @property
    def contest(self) -> tuple[str, ...]:
        """Rows that are equal in this may be compared: one task, image set, model, prompt and scoring."""
        return (self.task, self.data, self.model, self.prompt_style, self.scoring)

    def order(self, facts: RunFacts = NO_FACTS) -> tuple[object, ...]:
        """Sort key: task and data, the rest of `contest`, then tokenizers and layers, each before its control."""
        return (natural_order(self.task), *self.contest[1:], facts.place(self.tokenizer), natural_order(self.layers),
                self.shuffled)  # fmt: skip


class Cell(Row):
    """One number of a table. `n` = scored + failed + infeasible + empty + refused."""

    setting: str = Field(description="setting id, or 'average'")
    n: int = Field(description="records; over all seven settings where the setting is 'average'")
    scored: int = Field(description="records with a score: the denominator of `value`")
    failed: int = Field(description="records whose call failed")
    infeasible: int = Field(description="records whose prompt does not fit the model")
    empty: int = Field(description="records whose reply was empty")
    refused: int = Field(description="records whose reply was a refusal")
    cached: int = Field(description="records whose reply came from the response cache")
    metric: str = Field(description="name of the metric: 'accuracy'")
    value: float | None = Field(description="mean over the scored records; None if none is scored")
    ci_low: float | None = Field(description="lower end of the 95 % interval of `value`")
    ci_high: float | None = Field(description="upper end of the 95 % interval of `value`")
    strict: float | None = Field(
        default=None,
        description="mean where empty, refused and failed replies count as the worst score; None if there are none, or "
        "the metric has no worst score",
    )
    strict_n: int | None = Field(default=None, description="the denominator of `strict`")

    @property
    def row(self) -> Row:
        """The row of the table that the cell stands in."""
        return Row(**{name: getattr(self, name) for name in Row.model_fields})


def by_row(records: Iterable[Record], facts: RunFacts = NO_FACTS) -> dict[Row, dict[str, list[Record]]]:
    """Records by row and setting, rows in table order, settings in the paper's, samples in natural order.

    The order of the records does not matter: a resumed or a distributed run gives the same.

    Raises:
        RecordError: records that look alike come from different weights, data, models or seeds.
    """
    cells: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        cells[
            record.task, record.tokenizer, record.layers, record.shuffled, record.model, record.data, record.scoring,
            record.prompt_style, record.setting,
        ].append(record)  # fmt: skip
    rows: dict[Row, dict[str, list[Record]]] = defaultdict(dict)
    for group in cells.values():
        row, first = Row.of(group[0]), group[0]
        for name in HIDDEN:
            if len(values := {getattr(record, name) for record in group}) > 1:
                found = ", ".join(map(repr, sorted(values)[:2]))
                raise RecordError(
                    f"records of {row.tokenizer} in {first.setting} differ in {name} ({found}): keep such runs in two "
                    "folders"
                )
        rows[row][first.setting] = sorted(group, key=lambda record: natural_order(record.sample_id))
    return {
        row: {setting: rows[row][setting] for setting in sorted(rows[row], key=setting_order)}
        for row in sorted(rows, key=lambda row: row.order(facts))
    }


def metrics_of(records: Iterable[Record], task: str, facts: RunFacts) -> list[MetricFacts]:
    """The metrics in records of one task, the primary first; that one alone where nothing is scored."""
    names = {name for record in records for name in record.scores} or {facts.primary(task) or "score"}
    return [facts.metric(task, name) for name in facts.order(task, names)]


def aggregate(records: Iterable[Record], calls: Iterable[Call] = (), facts: RunFacts = NO_FACTS) -> list[Cell]:
    """The cells of a run, with an `average` after the seven few-shot settings of a row where all seven have a value.

    Intervals: Wilson's for a proportion; the bootstrap for other means. An average is the mean of the seven values,
    and its interval the bootstrap over episodes: the i-th episodes of the seven settings are resampled together, since
    they come from one seed and may share classes and images (resampled apart, the interval would be too narrow).

    Args:
        records: of one run.
        calls: of the same run; they tell what came from the cache.
        facts: of the same run.

    Raises:
        RecordError: see `by_row`.
    """
    cached = {call.record for call in calls if call.cached}
    rows = by_row(records, facts)
    columns = sample_columns(rows)
    seen: dict[str, list[Record]] = {}
    for row, settings in rows.items():
        seen.setdefault(row.task, []).extend(record for group in settings.values() for record in group)
    metrics = {task: metrics_of(group, task, facts) for task, group in seen.items()}
    cells: list[Cell] = []
    for row, settings in rows.items():
        for metric in metrics[row.task]:
            made = {setting: _cell(row, setting, group, cached, metric) for setting, group in settings.items()}
            cells.extend(made.values())
            cells.extend(_average(row, made, settings, columns))
    return cells


def sample_columns(rows: Mapping[Row, Mapping[str, Sequence[Record]]]) -> dict[tuple[str, str, str], dict[str, int]]:
    """By (task, data, setting): which episode a sample is, its place among all samples of that setting in the run.

    Known from the whole run, so that episodes stay aligned where one tokenizer lacks some of them.
    """
    names: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row, settings in rows.items():
        for setting, group in settings.items():
            names[row.task, row.data, setting].update(record.sample_id for record in group)
    return {place: {name: i for i, name in enumerate(sorted(of, key=natural_order))} for place, of in names.items()}


def aligned(groups: Sequence[Mapping[str, float]], columns: Sequence[Mapping[str, int]]) -> list[list[float | None]]:
    """Values by sample as rows of one length with a column for each episode, None where an episode has no value."""
    width = max(len(one) for one in columns)
    rows: list[list[float | None]] = []
    for values, places in zip(groups, columns, strict=True):
        row: list[float | None] = [None] * width
        for name, value in values.items():
            row[places[name]] = value
        rows.append(row)
    return rows


def check_cell(cell: Cell, facts: RunFacts, where: str) -> None:
    """Raises RecordError for a mean or an end of its interval that the metric cannot have."""
    for value in (cell.value, cell.ci_low, cell.ci_high, cell.strict):
        if value is not None:
            facts.check(cell.task, {cell.metric: value}, where)


def summary_json(cells: Sequence[Cell]) -> str:
    """The text of `summary.json`."""
    return json.dumps([cell.model_dump(mode="json") for cell in cells], indent=2, allow_nan=False) + "\n"


def _cell(row: Row, setting: str, records: Sequence[Record], cached: set[str], metric: MetricFacts) -> Cell:
    status = Counter(record.status for record in records)
    values = [record.scores[metric.name] for record in records if metric.name in record.scores]
    interval = _interval(values)
    wrong = sum(status[name] for name in COUNTED_AS_WRONG)
    worst = metric.low if metric.higher_is_better else metric.high
    strict_n = len(values) + wrong if wrong and worst is not None else None
    return Cell(
        **vars(row),
        setting=setting,
        n=len(records),
        scored=len(values),
        failed=status["failed"],
        infeasible=status["infeasible"],
        empty=status["empty"],
        refused=status["refused"],
        cached=sum(record.id in cached for record in records),
        metric=metric.name,
        value=sum(values) / len(values) if values else None,
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        strict=None if strict_n is None or worst is None else (sum(values) + wrong * worst) / strict_n,
        strict_n=strict_n,
    )


def _interval(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    if set(values) <= {0.0, 1.0}:
        return wilson(int(sum(values)), len(values))
    return bootstrap_mean_of_rows([values])


def _average(
    row: Row,
    cells: Mapping[str, Cell],
    settings: Mapping[str, Sequence[Record]],
    columns: Mapping[tuple[str, str, str], Mapping[str, int]],
) -> list[Cell]:
    """The average of the row, as a list of one; of none where one of the seven settings is missing or has no value."""
    parts = [cells[setting] for setting in FEW_SHOT if setting in cells]
    values = [part.value for part in parts if part.value is not None]
    if len(values) < len(FEW_SHOT):
        return []
    metric = parts[0].metric
    groups = [
        {record.sample_id: record.scores[metric] for record in settings[setting] if metric in record.scores}
        for setting in FEW_SHOT
    ]
    interval = bootstrap_mean_of_rows(aligned(groups, [columns[row.task, row.data, setting] for setting in FEW_SHOT]))
    differs = any(part.strict is not None for part in parts)
    strict = [part.value if part.strict is None else part.strict for part in parts]
    counts = {
        name: sum(getattr(part, name) for part in parts)
        for name in ("n", "scored", "failed", "infeasible", "empty", "refused", "cached")
    }
    return [
        Cell(
            **vars(row),
            setting=AVERAGE,
            **counts,
            metric=metric,
            value=sum(values) / len(values),
            ci_low=interval.low,
            ci_high=interval.high,
            strict=sum(value for value in strict if value is not None) / len(parts) if differs else None,
            strict_n=sum(part.strict_n or part.scored for part in parts) if differs else None,
        )
    ]
