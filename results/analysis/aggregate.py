"""Records to cells: one number, its interval and its counts per tokenizer, model and setting.

`summary.json` is the list of these cells and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pydantic import Field

from results.analysis.settings import AVERAGE, FEW_SHOT, natural_order, setting_order, tokenizer_order
from results.analysis.statistics import Interval, bootstrap_mean_of_rows, wilson
from results.errors import RecordError
from results.record import Call, Record
from spae.canonical import Frozen

# What two records of a cell share and its row does not show: a second value of one of these would be another row.
HIDDEN = ("tokenizer_fingerprint", "model_revision", "dtype", "data_fingerprint", "seed")


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
        return cls(task=record.task, tokenizer=record.tokenizer, layers=record.layers,
                   shuffled=record.shuffled, model=record.model, data=record.data, scoring=record.scoring,
                   prompt_style=record.prompt_style)  # fmt: skip

    @property
    def name(self) -> str:
        """The tokenizer for a reader: 'spae', 'spae (shuffled)'."""
        return f"{self.tokenizer} (shuffled)" if self.shuffled else self.tokenizer

    def order(self) -> tuple[object, ...]:
        """Sort key: task and data, then what must be equal for a comparison, then baselines before SPAE."""
        return (natural_order(self.task), self.data, self.model, self.prompt_style, self.scoring,
                tokenizer_order(self.tokenizer), not self.shuffled, natural_order(self.layers))  # fmt: skip


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
    metric: str = Field(description="what `value` is: 'accuracy'")
    value: float | None = Field(description="mean over the scored records, a fraction of 1; None if none is scored")
    ci_low: float | None = Field(description="lower end of the 95 % interval of `value`")
    ci_high: float | None = Field(description="upper end of the 95 % interval of `value`")

    @property
    def row(self) -> Row:
        """The row of the table that the cell stands in."""
        return Row(**{name: getattr(self, name) for name in Row.model_fields})


def by_row(records: Iterable[Record]) -> dict[Row, dict[str, list[Record]]]:
    """Records by row and setting, rows in table order, settings in the paper's, samples in natural order.

    The order of the records does not matter: a resumed or a distributed run gives the same.

    Raises:
        RecordError: records that look alike come from different weights, data, models or seeds.
    """
    rows: dict[Row, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    hidden: dict[tuple[Row, str], Record] = {}
    for record in records:
        row = Row.of(record)
        first = hidden.setdefault((row, record.setting), record)
        for name in HIDDEN:
            if getattr(first, name) != getattr(record, name):
                raise RecordError(
                    f"records of {row.tokenizer} in {record.setting} differ in {name} "
                    f"({getattr(first, name)!r}, {getattr(record, name)!r}): keep such runs in two folders"
                )
        rows[row][record.setting].append(record)
    return {
        row: {
            setting: sorted(rows[row][setting], key=lambda record: natural_order(record.sample_id))
            for setting in sorted(rows[row], key=setting_order)
        }
        for row in sorted(rows, key=lambda row: row.order())
    }


def aggregate(records: Iterable[Record], calls: Iterable[Call] = (), metric: str | None = None) -> list[Cell]:
    """The cells of a run, with an `average` after the seven few-shot settings of a row where all seven have a value.

    Intervals: Wilson's for a proportion; the bootstrap for other means. An average is the mean of the seven values,
    and its interval the bootstrap over episodes: the i-th episodes of the seven settings are drawn together, since
    they come from one seed and may share classes and images (drawn apart, the interval would be too narrow).

    Args:
        records: of one run.
        calls: of the same run; say what came from the cache.
        metric: what the cells call their values; None takes what the records say.

    Raises:
        RecordError: see `by_row`.
    """
    cached = {call.record for call in calls if call.cached}
    cells: list[Cell] = []
    for row, settings in by_row(records).items():
        made = [_cell(row, setting, group, cached, metric) for setting, group in settings.items()]
        cells.extend(made)
        cells.extend(_average(row, {cell.setting: cell for cell in made}, settings))
    return cells


def summary_json(cells: Sequence[Cell]) -> str:
    """The text of `summary.json`."""
    return json.dumps([cell.model_dump(mode="json") for cell in cells], indent=2, allow_nan=False) + "\n"


def _cell(row: Row, setting: str, records: Sequence[Record], cached: set[str], metric: str | None) -> Cell:
    status = Counter(record.status for record in records)
    metric = metric or next((name for record in records for name in record.scores), "accuracy")
    values = [record.scores[metric] for record in records if record.scores]
    interval = _interval(values)
    return Cell(
        **row.model_dump(),
        setting=setting,
        n=len(records),
        scored=status["scored"],
        failed=status["failed"],
        infeasible=status["infeasible"],
        empty=status["empty"],
        refused=status["refused"],
        cached=sum(record.id in cached for record in records),
        metric=metric,
        value=sum(values) / len(values) if values else None,
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
    )


def _interval(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    if set(values) <= {0.0, 1.0}:
        return wilson(int(sum(values)), len(values))
    return bootstrap_mean_of_rows([values])


def _average(row: Row, cells: dict[str, Cell], settings: dict[str, list[Record]]) -> list[Cell]:
    """The average of the row, as a list of one; of none where one of the seven settings is missing or has no value."""
    values = [cells[setting].value for setting in FEW_SHOT if setting in cells]
    known = [value for value in values if value is not None]
    if len(known) < len(FEW_SHOT):
        return []
    interval = bootstrap_mean_of_rows(aligned([settings[setting] for setting in FEW_SHOT]))
    parts = [cells[setting] for setting in FEW_SHOT]
    return [
        Cell(
            **row.model_dump(),
            setting=AVERAGE,
            n=sum(cell.n for cell in parts),
            scored=sum(cell.scored for cell in parts),
            failed=sum(cell.failed for cell in parts),
            infeasible=sum(cell.infeasible for cell in parts),
            empty=sum(cell.empty for cell in parts),
            refused=sum(cell.refused for cell in parts),
            cached=sum(cell.cached for cell in parts),
            metric=parts[0].metric,
            value=sum(known) / len(known),
            ci_low=interval.low,
            ci_high=interval.high,
        )
    ]


def aligned(groups: Sequence[Sequence[Record]]) -> list[list[float | None]]:
    """Values of each group as rows of one length, the i-th sample of each in column i, None where there is none."""
    longest = max(len(group) for group in groups)
    return [
        [next(iter(record.scores.values()), None) for record in group] + [None] * (longest - len(group))
        for group in groups
    ]
