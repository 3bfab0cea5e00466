"""Paired tests against hand-counted ones."""

import json

import pytest

from results.analysis.aggregate import Row
from results.analysis.comparisons import Comparison, compare, comparison_name, comparisons_json
from results.analysis.corpus import SampleValues
from results.analysis.settings import FEW_SHOT
from results.analysis.statistics import mcnemar_exact
from results.errors import RecordError

SPAE = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, None, 1.0]
VQGAN = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, None]


def test_only_samples_that_both_scored_are_compared(key, values):
    [one] = compare(values(key(), SPAE) + values(key(tokenizer="vqgan", layers="1"), VQGAN))
    assert (one.tokenizer, one.other, one.n, one.only_first, one.only_second) == ("spae", "vqgan", 6, 4, 1)
    assert one.difference == pytest.approx(3 / 6) and one.p == one.p_holm == mcnemar_exact(4, 1)
    assert one.ci_low <= one.difference <= one.ci_high


def test_pairs_go_by_sample_not_by_position(key, values):
    spae = values(key(), SPAE)
    assert compare(spae[::-1] + values(key(tokenizer="vqgan", layers="1"), VQGAN)) == compare(
        values(key(tokenizer="vqgan", layers="1"), VQGAN) + spae
    )


def test_further_metrics_are_tested_beside_the_score_and_share_its_correction(key, values):
    rows = {"spae": values(key(), SPAE), "vqgan": values(key(tokenizer="vqgan", layers="1"), VQGAN)}
    further = []
    for tokenizer, by_sample in (("spae", {"a": 0.9, "b": 0.4, "c": 0.7}), ("vqgan", {"b": 0.1, "c": 0.5, "d": 3.0})):
        row = Row.of(rows[tokenizer][0])
        further.append(SampleValues(row=row, setting="i1-s1-r0", metric="CIDEr-D", values=by_sample))
    # A metric that only one of the two has is not compared.
    further.append(SampleValues(row=Row.of(rows["spae"][0]), setting="i1-s1-r0", metric="WUPS", values={"a": 1.0}))
    own, cider = compare([*rows["spae"], *rows["vqgan"]], further)
    assert (own.metric, cider.metric, cider.n, cider.only_first) == ("", "CIDEr-D", 2, None)
    assert cider.difference == pytest.approx((0.3 + 0.2) / 2)
    low, high = sorted([own, cider], key=lambda one: one.p)
    assert low.p_holm == pytest.approx(min(1.0, 2 * low.p)) and high.p_holm == pytest.approx(max(high.p, low.p_holm))
    assert comparison_name(cider) == comparison_name(own) + ", CIDEr-D"


def test_other_scoring_or_model_is_not_compared(key, values):
    assert compare(values(key(), SPAE) + values(key(tokenizer="vqgan", scoring="exact"), VQGAN)) == []
    assert compare(values(key(), SPAE) + values(key(tokenizer="vqgan", model="other"), VQGAN)) == []


def test_the_average_is_compared_over_all_seven(key, values):
    records = [
        record
        for setting in FEW_SHOT
        for tokenizer, scores in (("spae", SPAE), ("vqgan", VQGAN))
        for record in values(key(tokenizer=tokenizer, setting=setting), scores)
    ]
    found = compare(records)
    assert [one.setting for one in found] == [*FEW_SHOT, "average"]
    assert found[-1].p is None and found[-1].difference == pytest.approx(0.5) and found[-1].n == 42
    assert all(one.p_holm == min(1.0, 7 * one.p) for one in found[:-1])


def test_without_spae_the_last_row_is_compared(key, values):
    [one] = compare(values(key(tokenizer="vqgan"), VQGAN) + values(key(tokenizer="lqae"), SPAE))
    assert (one.tokenizer, one.other) == ("vqgan", "lqae")


def test_shuffled_images_are_compared_with_the_same_row_only(key, values):
    records = [
        record
        for tokenizer in ("spae", "vqgan")
        for shuffled in (False, True)
        for layers in ("1-2", "1-3")
        for record in values(
            key(tokenizer=tokenizer, layers=layers, shuffled=shuffled), SPAE if tokenizer == "spae" else VQGAN
        )
    ]
    pairs = {(one.tokenizer, one.layers, one.other_name, one.other_layers) for one in compare(records)}
    assert pairs == {
        *(("spae", a, "vqgan", b) for a in ("1-2", "1-3") for b in ("1-2", "1-3")),
        *((name, layers, f"{name} (shuffled)", layers) for name in ("spae", "vqgan") for layers in ("1-2", "1-3")),
    }


def test_one_tokenizer_has_no_rival(key, values):
    assert compare(values(key(), SPAE)) == []


def test_graded_values_have_no_counts_of_right_ones(key, values):
    [one] = compare(values(key(), [0.5, 0.25]) + values(key(tokenizer="vqgan"), [0.25, 0.25]))
    assert one.only_first is one.only_second is None and one.difference == pytest.approx(0.125) and one.p == 1


def test_other_samples_under_one_id_are_refused(key, of):
    with pytest.raises(RecordError, match="fingerprints differ"):
        compare([of(key()), of(key(tokenizer="vqgan"), sample_fingerprint="other")])


def test_json_reads_back(key, values):
    found = compare(values(key(), SPAE) + values(key(tokenizer="vqgan"), VQGAN))
    assert [Comparison.model_validate(one) for one in json.loads(comparisons_json(found))] == found


def test_scores_between_right_and_wrong_have_a_permutation_test(key, values):
    first = values(key(), [0.9, 0.8, 0.7, 0.95, 0.85, 0.75, 0.9, 0.8])
    other = values(key(tokenizer="vqgan", layers="1"), [0.1, 0.2, 0.3, 0.15, 0.2, 0.1, 0.3, 0.2])
    [one] = compare([*first, *other])
    assert one.only_first is None and one.only_second is None
    assert one.p == pytest.approx(2 / 256, abs=0.003) and one.p_holm == one.p
