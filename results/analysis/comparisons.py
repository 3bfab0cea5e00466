"""Paired tests on the very same samples: SPAE against each other tokenizer, each tokenizer against shuffled images.

`comparisons.json` is the list of these and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pydantic import Field

from results.analysis.aggregate import Row, by_row
from results.analysis.corpus import SampleValues
from results.analysis.settings import AVERAGE, FEW_SHOT, in_words, is_spae
from results.analysis.statistics import bootstrap_mean_of_rows, holm, mcnemar_exact, paired_bootstrap, sign_flip
from results.errors import RecordError
from results.record import Record
from spae.canonical import Frozen


class Comparison(Frozen):
    """Two tokenizers in one setting, over the samples that both have a score for."""

    task: str
    setting: str = Field(description="setting id, or 'average' of the seven")
    model: str
    data: str
    scoring: str
    metric: str = Field(default="", description="of a task's further metrics; empty: the score of the records")
    prompt_style: str
    tokenizer: str = Field(description="the first of the two: SPAE where there is one")
    layers: str
    other: str = Field(description="the tokenizer it is compared with")
    other_layers: str
    other_shuffled: bool = Field(default=False, description="the other's images were shuffled")
    n: int = Field(description="samples with a score from both")
    only_first: int | None = Field(description="samples that only the first got right; None where that has no meaning")
    only_second: int | None = Field(description="samples that only the other got right")
    difference: float = Field(description="mean of the first minus mean of the other, over these samples")
    ci_low: float = Field(description="lower end of the paired bootstrap's 95 % interval of `difference`")
    ci_high: float = Field(description="upper end of it")
    p: float | None = Field(
        description="two-sided p: McNemar's exact test; where values are not 0 and 1, a paired permutation test; None "
        "for an average"
    )
    p_holm: float | None = Field(description="p adjusted (Holm) for the settings and metrics of this pair of rows")

    @property
    def other_name(self) -> str:
        """The other tokenizer for a reader: 'vqgan', 'spae (shuffled)'."""
        return f"{self.other} (shuffled)" if self.other_shuffled else self.other


def compare(records: Iterable[Record], further: Sequence[SampleValues] = ()) -> list[Comparison]:
    """Every SPAE row against every other row of the same task, data, model, prompt and scoring.

    Where there is no SPAE, or nothing else, the last row is compared with the ones before it. A row of shuffled
    images is compared with the row of the same tokenizer and layers, and with no other.

    Args:
        records: of a run.
        further: metrics beside the records' own that are means over samples; they are tested after it.

    Raises:
        RecordError: two tokenizers were given different samples under one id.
    """
    rows = by_row(records)
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault((row.task, row.data, row.model, row.prompt_style, row.scoring), []).append(row)
    found: list[Comparison] = []
    beside: dict[Row, list[SampleValues]] = {}
    for one in further:
        beside.setdefault(one.row, []).append(one)
    for group in alike.values():
        seeing = [row for row in group if not row.shuffled]
        firsts = [row for row in seeing if is_spae(row.tokenizer)]
        others = [row for row in seeing if row not in firsts]
        if not firsts or not others:
            firsts, others = seeing[-1:], seeing[:-1]
        pairs = [(first, other) for first in firsts for other in others]
        blind = {(row.tokenizer, row.layers): row for row in group if row.shuffled}
        pairs += [(row, blind[key]) for row in seeing if (key := (row.tokenizer, row.layers)) in blind]
        for first, other in pairs:
            tests = _pair(first, rows[first], other, rows[other])
            found.extend(_adjusted([*tests, *_further(first, beside.get(first, []), other, beside.get(other, []))]))
    return found


def comparison_name(one: Comparison) -> str:
    """What of a pair of rows was compared: the setting, and the metric where it is a further one."""
    return f"{in_words(one.setting)}, {one.metric}" if one.metric else in_words(one.setting)


def comparisons_json(comparisons: Sequence[Comparison]) -> str:
    """The text of `comparisons.json`."""
    return json.dumps([one.model_dump(mode="json") for one in comparisons], indent=2, allow_nan=False) + "\n"


def _pair(
    first: Row, of_first: dict[str, list[Record]], other: Row, of_other: dict[str, list[Record]]
) -> list[Comparison]:
    shared = {setting: _shared(of_first[setting], of_other[setting]) for setting in of_first if setting in of_other}
    shared = {setting: pairs for setting, pairs in shared.items() if pairs}
    made = [_one(first, other, setting, pairs) for setting, pairs in shared.items()]
    if set(FEW_SHOT) <= set(shared):
        made.append(_average(first, other, [shared[setting] for setting in FEW_SHOT]))
    return made


def _further(
    first: Row, of_first: Sequence[SampleValues], other: Row, of_other: Sequence[SampleValues]
) -> list[Comparison]:
    """The same of each further metric that both have, over the samples that both have a value for."""
    others = {(one.setting, one.metric): one.values for one in of_other}
    found = []
    for one in of_first:
        twin = others.get((one.setting, one.metric), {})
        pairs = [(value, twin[sample]) for sample, value in one.values.items() if sample in twin]
        if pairs:
            found.append(_one(first, other, one.setting, pairs).model_copy(update={"metric": one.metric}))
    return found


def _adjusted(tests: Sequence[Comparison]) -> list[Comparison]:
    """With `p_holm`, over all tests of one pair of rows that have a p."""
    adjusted = iter(holm([one.p for one in tests if one.p is not None]))
    return [one if one.p is None else one.model_copy(update={"p_holm": next(adjusted)}) for one in tests]


def _shared(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[float, float]]:
    """Values of both for each sample that both scored, in the first's order."""
    by_sample = {record.sample_id: record for record in second}
    pairs = []
    for record in first:
        twin = by_sample.get(record.sample_id)
        if twin is None:
            continue
        if twin.sample_fingerprint != record.sample_fingerprint:
            raise RecordError(
                f"sample {record.sample_id!r} is not the same for {record.tokenizer} and {twin.tokenizer} "
                "(its fingerprints differ): run both from one manifest"
            )
        if record.scores and twin.scores:
            pairs.append((next(iter(record.scores.values())), next(iter(twin.scores.values()))))
    return pairs


def _one(first: Row, other: Row, setting: str, pairs: Sequence[tuple[float, float]]) -> Comparison:
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    binary = {*a, *b} <= {0.0, 1.0}
    interval = paired_bootstrap(a, b)
    only_first = sum(x > y for x, y in pairs) if binary else None
    only_second = sum(x < y for x, y in pairs) if binary else None
    if only_first is None or only_second is None:
        p = sign_flip([x - y for x, y in pairs])
    else:
        p = mcnemar_exact(only_first, only_second)
    return _comparison(first, other, setting, len(pairs), only_first, only_second,
                       sum(a) / len(a) - sum(b) / len(b), interval, p)  # fmt: skip


def _average(first: Row, other: Row, settings: Sequence[Sequence[tuple[float, float]]]) -> Comparison:
    """The mean of the seven differences; no McNemar, since the settings may share episodes."""
    rows = [[a - b for a, b in pairs] for pairs in settings]
    longest = max(len(row) for row in rows)
    interval = bootstrap_mean_of_rows([[*row, *[None] * (longest - len(row))] for row in rows])
    mean = sum(sum(row) / len(row) for row in rows) / len(rows)
    return _comparison(first, other, AVERAGE, sum(len(row) for row in rows), None, None, mean, interval, None)


def _comparison(first: Row, other: Row, setting: str, n: int, only_first: int | None, only_second: int | None,
                difference: float, interval: tuple[float, float], p: float | None) -> Comparison:  # fmt: skip
    return Comparison(
        task=first.task,
        setting=setting,
        model=first.model,
        data=first.data,
        scoring=first.scoring,
        prompt_style=first.prompt_style,
        tokenizer=first.tokenizer,
        layers=first.layers,
        other=other.tokenizer,
        other_layers=other.layers,
        other_shuffled=other.shuffled,
        n=n,
        only_first=only_first,
        only_second=only_second,
        difference=difference,
        ci_low=interval[0],
        ci_high=interval[1],
        p=p,
        p_holm=None,
    )
