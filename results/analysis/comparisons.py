"""Paired tests on the very same samples: the reference tokenizer against each other, each against shuffled images.

`comparisons.json` is the list of these and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from results.analysis.aggregate import NO_FACTS, SHUFFLED, Row, aligned, by_row, metrics_of, sample_columns
from results.analysis.best import LEAST
from results.analysis.corpus import SampleValues
from results.analysis.settings import AVERAGE, FEW_SHOT
from results.analysis.statistics import bootstrap_mean_of_rows, holm, mcnemar_exact, paired_bootstrap, sign_flip
from results.errors import RecordError
from results.record import MetricFacts, Record
from results.run_facts import RunFacts
from spae.canonical import Frozen

Values = dict[str, float]
"""A metric's value by sample."""


class Comparison(Frozen):
    """Two tokenizers in one setting by one metric, over the samples that both have a value for."""

    task: str
    setting: str = Field(description="setting id, or 'average' of the seven")
    model: str
    data: str
    scoring: str
    metric: str
    prompt_style: str
    tokenizer: str = Field(description="the first of the two: the run's reference where it is one of them")
    layers: str
    other: str = Field(description="the tokenizer it is compared with")
    other_layers: str
    other_shuffled: bool = Field(default=False, description="the other's images were shuffled")
    n: int = Field(description="samples with a value from both: all figures are of these")
    either: int = Field(description="samples with a value from one of them at least")
    only_first: int | None = Field(description="samples that only the first got right; None where that has no meaning")
    only_second: int | None = Field(description="samples that only the other got right")
    difference: float = Field(description="mean of the first minus mean of the other, over these samples")
    ci_low: float = Field(description="lower end of the paired bootstrap's 95 % interval of `difference`")
    ci_high: float = Field(description="upper end of it")
    higher_is_better: bool = Field(default=True, description="a difference above 0 favours the first")
    p: float | None = Field(
        description="two-sided p: McNemar's exact test; where values are not 0 and 1, a paired permutation test; None "
        "for an average"
    )
    p_holm: float | None = Field(description="p adjusted (Holm) for the settings and metrics of this pair of rows")

    @property
    def other_name(self) -> str:
        """The other tokenizer for a reader: 'vqgan', 'spae (shuffled)'."""
        return f"{self.other}{SHUFFLED}" if self.other_shuffled else self.other

    @property
    def better(self) -> str:
        """The tokenizer whose mean is better where the interval leaves out 0 and n is `LEAST` or more, else ''."""
        if self.n < LEAST or self.ci_low <= 0 <= self.ci_high:
            return ""
        return self.tokenizer if (self.difference > 0) == self.higher_is_better else self.other_name


def compare(
    records: Iterable[Record], further: Sequence[SampleValues] = (), facts: RunFacts = NO_FACTS
) -> list[Comparison]:
    """Every row of the reference tokenizer against every row of another, of one task, data, model, prompt and scoring.

    Where all rows are of one tokenizer (a sweep over layers), the last is compared with the ones before it. A row of
    shuffled images is compared with the row of the same tokenizer and layers, and with no other.

    Args:
        records: of a run.
        further: metrics beside the records' own that are means over samples; they are tested after those.
        facts: of the run; without them the last tokenizer by name is the reference.

    Raises:
        RecordError: two tokenizers were given different samples under one id.
    """
    rows = by_row(records, facts)
    columns = sample_columns(rows)
    contests: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        contests.setdefault(row.contest, []).append(row)
    found: list[Comparison] = []
    for group in contests.values():
        metrics = metrics_of((r for row in group for of in rows[row].values() for r in of), group[0].task, facts)
        for first, other in _pairs(group):
            _same_samples(rows[first], rows[other])
            tests: list[Comparison] = []
            for metric in metrics:
                pair = _Pair(first, other, metric)
                tests += pair.tests(_values(rows[first], metric), _values(rows[other], metric), columns)
            found.extend(_adjusted([*tests, *_further(first, other, further, facts)]))
    return found


def comparisons_json(comparisons: Sequence[Comparison]) -> str:
    """The text of `comparisons.json`."""
    return json.dumps([one.model_dump(mode="json") for one in comparisons], indent=2, allow_nan=False) + "\n"


def _pairs(group: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Which rows of a contest are tested against each other; the reference tokenizer's rows stand last in it."""
    plain = [row for row in group if not row.shuffled]
    firsts = [row for row in plain if row.tokenizer == plain[-1].tokenizer]
    others = [row for row in plain if row not in firsts]
    if not others:
        firsts, others = plain[-1:], plain[:-1]
    shuffled = {(row.tokenizer, row.layers): row for row in group if row.shuffled}
    pairs = [(first, other) for first in firsts for other in others]
    return pairs + [(row, shuffled[key]) for row in plain if (key := (row.tokenizer, row.layers)) in shuffled]


def _values(settings: Mapping[str, Sequence[Record]], metric: MetricFacts) -> dict[str, Values]:
    return {
        setting: {record.sample_id: record.scores[metric.name] for record in group if metric.name in record.scores}
        for setting, group in settings.items()
    }


def _same_samples(first: Mapping[str, Sequence[Record]], other: Mapping[str, Sequence[Record]]) -> None:
    """Raises RecordError: one id names two samples."""
    for setting in first:
        known = {record.sample_id: record for record in other.get(setting, ())}
        for record in first[setting]:
            same = known.get(record.sample_id, record)
            if same.sample_fingerprint != record.sample_fingerprint:
                raise RecordError(
                    f"sample {record.sample_id!r} is not the same for {record.tokenizer} and {same.tokenizer} "
                    "(its fingerprints differ): run both from one manifest"
                )


def _further(first: Row, other: Row, further: Sequence[SampleValues], facts: RunFacts) -> list[Comparison]:
    """The same of each further metric that both have, over the samples that both have a value for."""
    others = {(one.setting, one.metric): one.values for one in further if one.row == other}
    found = []
    for one in further:
        if one.row == first and (one.setting, one.metric) in others:
            pair = _Pair(first, other, facts.metric(first.task, one.metric))
            found += pair.tests({one.setting: one.values}, {one.setting: others[one.setting, one.metric]}, {})
    return found


def _adjusted(tests: Sequence[Comparison]) -> list[Comparison]:
    """With `p_holm`, over all tests of one pair of rows that have a p."""
    adjusted = iter(holm([one.p for one in tests if one.p is not None]))
    return [one if one.p is None else one.model_copy(update={"p_holm": next(adjusted)}) for one in tests]


class _Pair:
    """Tests of two rows by one metric."""

    def __init__(self, first: Row, other: Row, metric: MetricFacts) -> None:
        self._shared: dict[str, Any] = {
            "task": first.task, "model": first.model, "data": first.data, "scoring": first.scoring,
            "metric": metric.name, "prompt_style": first.prompt_style, "tokenizer": first.tokenizer,
            "layers": first.layers, "other": other.tokenizer, "other_layers": other.layers,
            "other_shuffled": other.shuffled, "higher_is_better": metric.higher_is_better,
        }  # fmt: skip
        self._place = (first.task, first.data)
        self._sign = 1 if metric.higher_is_better else -1

    def tests(
        self,
        first: Mapping[str, Values],
        other: Mapping[str, Values],
        columns: Mapping[tuple[str, str, str], Mapping[str, int]],
    ) -> list[Comparison]:
        """One for each setting that both have, then one for their average where these are the seven."""
        shared = {
            setting: {name: (value, other[setting][name]) for name, value in values.items() if name in other[setting]}
            for setting, values in first.items()
            if setting in other
        }
        either = {setting: len({*first[setting], *other[setting]}) for setting in shared}
        shared = {setting: pairs for setting, pairs in shared.items() if pairs}
        made = [self._one(setting, list(pairs.values()), either[setting]) for setting, pairs in shared.items()]
        if set(FEW_SHOT) <= set(shared):
            groups = [{name: a - b for name, (a, b) in shared[setting].items()} for setting in FEW_SHOT]
            interval = bootstrap_mean_of_rows(
                aligned(groups, [columns[(*self._place, setting)] for setting in FEW_SHOT])
            )
            # No McNemar test of an average: its settings may share episodes.
            made.append(self._made(
                AVERAGE, sum(map(len, groups)), sum(either[setting] for setting in FEW_SHOT), None, None,
                sum(sum(group.values()) / len(group) for group in groups) / len(groups), interval, None,
            ))  # fmt: skip
        return made

    def _one(self, setting: str, pairs: Sequence[tuple[float, float]], either: int) -> Comparison:
        a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        only_first = only_second = None
        if {*a, *b} <= {0.0, 1.0}:
            only_first = sum(self._sign * (x - y) > 0 for x, y in pairs)
            only_second = sum(self._sign * (x - y) < 0 for x, y in pairs)
            p = mcnemar_exact(only_first, only_second)
        else:
            p = sign_flip([x - y for x, y in pairs])
        difference = sum(a) / len(a) - sum(b) / len(b)
        return self._made(setting, len(pairs), either, only_first, only_second, difference, paired_bootstrap(a, b), p)

    def _made(self, setting: str, n: int, either: int, only_first: int | None, only_second: int | None,
              difference: float, interval: tuple[float, float], p: float | None) -> Comparison:  # fmt: skip
        return Comparison(
            **self._shared,
            setting=setting,
            n=n,
            either=either,
            only_first=only_first,
            only_second=only_second,
            difference=difference,
            ci_low=interval[0],
            ci_high=interval[1],
            p=p,
            p_holm=None,
        )
