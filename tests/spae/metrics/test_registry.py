"""Metrics by name, and facts that fit their names."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
from pydantic import ValidationError

from spae.errors import UnknownName
from spae.metrics.protocol import MetricFacts
from spae.metrics.registry import BUILT_IN, GROUP, entries, metric_facts
from spae.plugins import Plugin


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, spae.metrics.registry as r; r.entries();"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'nltk', 'pycocoevalcap') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", BUILT_IN)
def test_facts_of_every_built_in_metric(name):
    facts = metric_facts(name)
    assert isinstance(facts, MetricFacts) and facts.name == name and facts.protocol and BUILT_IN[name].title
    # What is printed times 100 is a fraction.
    assert (facts.low, facts.high) == ((0.0, 1.0) if facts.unit == "percent of 1" else (0.0, 10.0))
    assert facts.higher_is_better


def test_an_unknown_metric_gets_the_near_one():
    with pytest.raises(UnknownName, match="unknown metric 'ROUGE': did you mean 'ROUGE-L'"):
        metric_facts("ROUGE")


def test_plug_ins_are_listed_after_the_built_in(monkeypatch):
    module = ModuleType("module_of_a_test")
    module.WORDS = MetricFacts(name="words", unit="words", higher_is_better=False)
    monkeypatch.setitem(sys.modules, "module_of_a_test", module)
    target = "module_of_a_test:WORDS"
    points = [
        Plugin(GROUP, "accuracy", target, "other"),
        Plugin(GROUP, "words", target, "other"),
    ]
    monkeypatch.setattr("spae.plugins._scan", lambda: tuple(points))
    assert list(entries())[-2:] == ["accuracy@other", "words"]
    assert metric_facts("words") is module.WORDS and metric_facts("accuracy") is not module.WORDS


@pytest.mark.parametrize("wrong", [{"name": ""}, {"unit": ""}, {"low": float("nan")}, {"high": float("inf")}, {"x": 1}])
def test_other_facts_are_refused(wrong):
    with pytest.raises(ValidationError):
        MetricFacts(**({"name": "words", "unit": "words", "higher_is_better": True} | wrong))
