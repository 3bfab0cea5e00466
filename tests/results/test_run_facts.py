"""Facts of a run: what run.json states, and what follows where it states nothing."""

import json
from pathlib import Path

import pytest

from results.analysis.aggregate import Cell
from results.analysis.comparisons import Comparison
from results.errors import RecordError
from results.run_facts import RunFacts

CONFIG = {
    "tokenizers": {"spae": {"depth": 4}, "vqgan": {"depth": 1}, "lqae": {"depth": 1}},
    "metrics": {"t": [
        {"name": "SSIM", "unit": "", "higher_is_better": True, "protocol": "7x7 windows", "low": -1.0, "high": 1.0},
        {"name": "mse", "unit": "", "higher_is_better": False, "low": 0.0},
    ]},
}  # fmt: skip


def test_facts_are_read_from_the_configuration():
    facts = RunFacts.of(CONFIG)
    assert facts.reference == "spae" and facts.primary("t") == "SSIM" and facts.metric("t", "mse").low == 0.0
    assert not facts.metric("t", "mse").higher_is_better and facts.metric("t", "SSIM").protocol == "7x7 windows"


def test_the_reference_stands_last_and_unknown_tokenizers_before_it():
    facts = RunFacts.of(CONFIG)
    assert sorted(["spae", "zzz", "lqae", "vqgan"], key=facts.place) == ["vqgan", "lqae", "zzz", "spae"]


def test_metrics_are_in_the_order_of_the_task_unknown_ones_last():
    assert RunFacts.of(CONFIG).order("t", ["z", "mse", "a", "SSIM"]) == ["SSIM", "mse", "a", "z"]


def test_nothing_stated_is_a_plain_number():
    facts = RunFacts.of({"seed": 0})
    assert facts.reference is None and facts.primary("t") is None and not facts.describes("t", "mse")
    assert (facts.metric("t", "mse").unit, facts.metric("t", "mse").low) == ("", None)


@pytest.mark.parametrize("metrics", [[], {"t": [{"name": "mse"}]}, {"t": "mse"}, {"t": [{"name": "", "unit": ""}]}])
def test_a_malformed_statement_is_refused(metrics):
    with pytest.raises(RecordError, match="must describe its metrics"):
        RunFacts.of({"metrics": metrics})


@pytest.mark.parametrize("name", ["few-shot", "few-shot-plain"])
def test_published_numbers_have_the_current_fields(name):
    folder = Path(__file__).parents[2] / "results" / "reports"
    cells = [Cell.model_validate(one) for one in json.loads((folder / f"{name}.summary.json").read_text())]
    pairs = [Comparison.model_validate(one) for one in json.loads((folder / f"{name}.comparisons.json").read_text())]
    assert len(cells) == 64 and len(pairs) == 64
