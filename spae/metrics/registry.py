"""The metrics by name, each with the module that states its facts. Standard library only.

A third party adds a metric by an entry point of group `spae.metrics` whose object is a `MetricFacts`; its task computes
the numbers and returns them in an outcome's `scores` under that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spae.errors import UnknownName
from spae.plugins import load_value, plugins

if TYPE_CHECKING:
    from spae.metrics.protocol import MetricFacts

GROUP = "spae.metrics"


@dataclass(frozen=True)
class MetricEntry:
    """Static facts to list a metric.

    Attributes:
        name: as records and tables print it.
        target: "module:attribute" of its `MetricFacts`.
        title: one line for lists.
    """

    name: str
    target: str
    title: str


BUILT_IN: dict[str, MetricEntry] = {
    entry.name: entry
    for entry in (
        MetricEntry("accuracy", "spae.metrics.accuracy:ACCURACY", "the right class or answer"),
        MetricEntry("BLEU-1", "spae.metrics.captions:BLEU_1", "n-gram precision of captions, n = 1"),
        MetricEntry("BLEU-2", "spae.metrics.captions:BLEU_2", "n-gram precision of captions, n up to 2"),
        MetricEntry("BLEU-3", "spae.metrics.captions:BLEU_3", "n-gram precision of captions, n up to 3"),
        MetricEntry("BLEU-4", "spae.metrics.captions:BLEU_4", "n-gram precision of captions, n up to 4"),
        MetricEntry("METEOR", "spae.metrics.captions:METEOR", "matches of captions by stem and synonym (Java)"),
        MetricEntry("ROUGE-L", "spae.metrics.captions:ROUGE_L", "longest common subsequence of captions"),
        MetricEntry("CIDEr-D", "spae.metrics.captions:CIDER_D", "n-grams of captions weighed by how rare they are"),
        MetricEntry("SPICE", "spae.metrics.captions:SPICE", "scene graphs of captions (Java)"),
        MetricEntry("WUPS@0.9", "spae.metrics.wups:WUPS_09", "closeness of answers in WordNet, threshold 0.9"),
        MetricEntry("WUPS@0.0", "spae.metrics.wups:WUPS_00", "closeness of answers in WordNet, no threshold"),
    )
}


def entries() -> dict[str, MetricEntry]:
    """Every metric by name, plug-ins after the built-in ones. Imports none of them."""
    found = dict(BUILT_IN)
    for one in plugins(GROUP):
        name = f"{one.name}@{one.owner}" if one.name in found else one.name
        found[name] = MetricEntry(name, one.target, f"added by {one.owner}")
    return found


def metric_facts(name: str) -> MetricFacts:
    """The facts of the metric of that name.

    Raises:
        UnknownName: there is none of that name.
        PluginError: another package adds it, and it does not load or is no facts.
    """
    known = entries()
    if name not in known:
        raise UnknownName("metric", name, known)
    from spae.metrics.protocol import MetricFacts  # pydantic, which a listing does not need

    facts: MetricFacts = load_value(known[name].target, MetricFacts)
    return facts
