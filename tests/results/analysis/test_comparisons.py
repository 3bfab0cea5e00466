"""Paired tests against hand-counted ones."""

import json

import pytest

from results.analysis.aggregate import Row
from results.analysis.comparisons import Comparison, compare, comparisons_json
from results.analysis.corpus import SampleValues
from results.analysis.settings import FEW_SHOT
from results.analysis.statistics import mcnemar_exact
from results.errors import RecordError
from results.record import MetricFacts
from results.run_facts import RunFacts

SPAE = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, None, 1.0]
VQGAN = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, None]


def test_only_samples_that_both_scored_are_compared(key, values, facts):
    [one] = compare(values(key(), SPAE) + values(key(tokenizer="vqgan", layers="1"), VQGAN), facts=facts)
    assert (one.tokenizer, one.other, one.n, one.only_first, one.only_second) == ("spae", "vqgan", 6, 4, 1)
    assert one.difference == pytest.approx(3 / 6) and one.p == one.p_holm == mcnemar_exact(4, 1)
    assert one.ci_low <= one.difference <= one.ci_high


def test_pairs_go_by_sample_not_by_position(key, values, facts):
    spae, vqgan = values(key(), SPAE), values(key(tokenizer="vqgan", layers="1"), VQGAN)
    assert compare(spae[::-1] + vqgan, facts=facts) == compare(vqgan + spae, facts=facts)


def test_further_metrics_are_tested_beside_the_score_and_share_its_correction(key, values, facts):
    rows = {"spae": values(key(), SPAE), "vqgan": values(key(tokenizer="vqgan", layers="1"), VQGAN)}
    further = []
    for tokenizer, by_sample in (("spae", {"a": 0.9, "b": 0.4, "c": 0.7}), ("vqgan", {"b": 0.1, "c": 0.5, "d": 3.0})):
        row = Row.of(rows[tokenizer][0])
        further.append(SampleValues(row=row, setting="i1-s1-r0", metric="CIDEr-D", values=by_sample))
    # A metric that only one of the two has is not compared.
    further.append(SampleValues(row=Row.of(rows["spae"][0]), setting="i1-s1-r0", metric="WUPS", values={"a": 1.0}))
    own, cider = compare([*rows["spae"], *rows["vqgan"]], further, facts)
    assert (own.metric, cider.metric, cider.n, cider.only_first) == ("accuracy", "CIDEr-D", 2, None)
    assert cider.difference == pytest.approx((0.3 + 0.2) / 2)
    low, high = sorted([own, cider], key=lambda one: one.p)
    assert low.p_holm == pytest.approx(min(1.0, 2 * low.p)) and high.p_holm == pytest.approx(max(high.p, low.p_holm))


def test_other_scoring_or_model_is_not_compared(key, values, facts):
    assert compare(values(key(), SPAE) + values(key(tokenizer="vqgan", scoring="exact"), VQGAN), facts=facts) == []
    assert compare(values(key(), SPAE) + values(key(tokenizer="vqgan", model="other"), VQGAN), facts=facts) == []


def test_the_average_is_compared_over_all_seven(key, values, facts):
    records = [
        record
        for setting in FEW_SHOT
        for tokenizer, scores in (("spae", SPAE), ("vqgan", VQGAN))
        for record in values(key(tokenizer=tokenizer, setting=setting), scores)
    ]
    found = compare(records, facts=facts)
    assert [one.setting for one in found] == [*FEW_SHOT, "average"]
    assert found[-1].p is None and found[-1].difference == pytest.approx(0.5) and found[-1].n == 42
    assert all(one.p_holm == min(1.0, 7 * one.p) for one in found[:-1])


def test_the_reference_is_the_first_of_the_run_whatever_its_name(key, values):
    records = values(key(tokenizer="vqgan"), VQGAN) + values(key(tokenizer="lqae"), SPAE) + values(key(), SPAE)
    found = compare(records, facts=RunFacts(tokenizers=("lqae", "spae", "vqgan")))
    assert [(one.tokenizer, one.other) for one in found] == [("lqae", "spae"), ("lqae", "vqgan")]


def test_of_one_tokenizer_the_last_layers_are_compared_with_the_others(key, values, facts):
    found = compare([r for layers in ("1", "1-2", "1-3") for r in values(key(layers=layers), SPAE)], facts=facts)
    assert [(one.layers, one.other_layers) for one in found] == [("1-3", "1"), ("1-3", "1-2")]


def test_shuffled_images_are_compared_with_the_same_row_only(key, values, facts):
    records = [
        record
        for tokenizer in ("spae", "vqgan")
        for shuffled in (False, True)
        for layers in ("1-2", "1-3")
        for record in values(
            key(tokenizer=tokenizer, layers=layers, shuffled=shuffled), SPAE if tokenizer == "spae" else VQGAN
        )
    ]
    pairs = {(one.tokenizer, one.layers, one.other_name, one.other_layers) for one in compare(records, facts=facts)}
    assert pairs == {
        *(("spae", a, "vqgan", b) for a in ("1-2", "1-3") for b in ("1-2", "1-3")),
        *((name, layers, f"{name} (shuffled)", layers) for name in ("spae", "vqgan") for layers in ("1-2", "1-3")),
    }


def test_one_tokenizer_has_no_rival(key, values, facts):
    assert compare(values(key(), SPAE), facts=facts) == []


def test_graded_values_have_no_counts_of_right_ones(key, values, facts):
    [one] = compare(values(key(), [0.5, 0.25]) + values(key(tokenizer="vqgan"), [0.25, 0.25]), facts=facts)
    assert one.only_first is one.only_second is None and one.difference == pytest.approx(0.125) and one.p == 1


def test_other_samples_under_one_id_are_refused(key, of, facts):
    with pytest.raises(RecordError, match="fingerprints differ"):
        compare([of(key()), of(key(tokenizer="vqgan"), sample_fingerprint="other")])


def test_json_reads_back(key, values, facts):
    found = compare(values(key(), SPAE) + values(key(tokenizer="vqgan"), VQGAN), facts=facts)
    assert [Comparison.model_validate(one) for one in json.loads(comparisons_json(found))] == found


def test_scores_between_right_and_wrong_have_a_permutation_test(key, values, facts):
    first = values(key(), [0.9, 0.8, 0.7, 0.95, 0.85, 0.75, 0.9, 0.8])
    other = values(key(tokenizer="vqgan", layers="1"), [0.1, 0.2, 0.3, 0.15, 0.2, 0.1, 0.3, 0.2])
    [one] = compare([*first, *other], facts=facts)
    assert one.only_first is None and one.only_second is None
    assert one.p == pytest.approx(2 / 256, abs=0.003) and one.p_holm == one.p


def test_the_better_one_is_named_by_the_direction_of_the_metric(key, of):
    lower = RunFacts(metrics={"t": (MetricFacts(name="mse", unit="", higher_is_better=False),)}, tokenizers=("spae",))
    records = [
        of(key(task="t", tokenizer=name), i, scores={"mse": value + i / 1000})
        for name, value in (("spae", 0.1), ("vqgan", 0.5))
        for i in range(30)
    ]
    [one] = compare(records, facts=lower)
    assert one.difference == pytest.approx(-0.4) and one.better == "spae" and one.only_first is None
    [few] = compare(records[:20] + records[30:50], facts=lower)
    assert few.n == 20 and few.ci_high < 0 and few.better == "", "20 samples name no winner"
    [other] = compare(records, facts=RunFacts(tokenizers=("spae",)))
    assert other.difference == one.difference and other.better == "vqgan", "more is better where nothing is known"


def test_of_errors_the_first_is_right_where_it_has_none(key, of):
    lower = RunFacts(metrics={"t": (MetricFacts(name="error", unit="", higher_is_better=False),)}, tokenizers=("spae",))
    first = [of(key(task="t"), i, scores={"error": x}) for i, x in enumerate((0.0, 0.0, 1.0))]
    other = [of(key(task="t", tokenizer="vqgan"), i, scores={"error": x}) for i, x in enumerate((1.0, 0.0, 0.0))]
    [one] = compare(first + other, facts=lower)
    assert (one.only_first, one.only_second) == (1, 1)
    [one] = compare(first[:2] + other[:2], facts=lower)
    assert (one.only_first, one.only_second, one.difference) == (1, 0, -0.5)


def test_common_samples_are_used_where_one_tokenizer_lacks_some_and_both_counts_are_given(key, values, facts):
    spae, vqgan = values(key(), SPAE), values(key(tokenizer="vqgan", layers="1"), VQGAN)
    [one] = compare(spae[2:] + vqgan[:6], facts=facts)  # common: 2, 3, 4, 5
    assert (one.n, one.either, one.only_first, one.only_second) == (4, 8 - 1, 2, 1)
    assert one.difference == pytest.approx((1 + 1 + 0 + 1) / 4 - (1 + 0 + 1 + 0) / 4)


def test_every_score_of_the_records_is_compared_primary_first(key, of):
    facts = [MetricFacts(name=name, unit="", higher_is_better=True) for name in ("SSIM", "PSNR")]
    known = RunFacts(metrics={"t": tuple(facts)}, tokenizers=("spae",))
    records = [
        of(key(task="t", tokenizer=name), i, scores={"PSNR": 20.0 + i, "SSIM": 0.5})
        for name in ("spae", "vqgan")
        for i in range(3)
    ]
    assert [one.metric for one in compare(records, facts=known)] == ["SSIM", "PSNR"]


def test_episodes_of_the_settings_stay_aligned_where_samples_are_missing(key, of, facts):
    """Every episode has one difference in all seven settings, so resampling episodes must give their own spread.

    If a missing sample moved later episodes to another column, the seven settings would vary apart, and the interval
    of the average would be too narrow by about the square root of seven.
    """
    wins = [float(i % 3 == 0) for i in range(30)]

    def records(skip):
        return [
            of(key(setting=setting, tokenizer=tokenizer), i, scores={"accuracy": value if tokenizer == "spae" else 0.0})
            for place, setting in enumerate(FEW_SHOT)
            for tokenizer in ("spae", "vqgan")
            for i, value in enumerate(wins)
            if not (tokenizer == "vqgan" and skip and i == place)
        ]

    whole, thinned = (compare(records(skip), facts=facts)[-1] for skip in (False, True))
    assert (thinned.setting, thinned.n, thinned.either) == ("average", 7 * 29, 7 * 30)
    assert thinned.ci_high - thinned.ci_low == pytest.approx(whole.ci_high - whole.ci_low, rel=0.15)
