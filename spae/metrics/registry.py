"""The metrics by name, each with the module that states its facts. Standard library only.

A third party adds a metric by an entry point of group `spae.metrics` whose object is a `MetricFacts`; its task computes
the numbers and returns them in an outcome's `scores` under that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spae.errors import InputError, UnknownName
from spae.plugins import PluginFault, load_target

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
    from importlib.metadata import entry_points

    found = dict(BUILT_IN)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        owner = point.dist.name if point.dist is not None else point.value
        name = f"{point.name}@{owner}" if point.name in found else point.name
        found[name] = MetricEntry(name, point.value, f"added by {owner}")
    return found


def metric_facts(name: str) -> MetricFacts:
    """The facts of the metric of that name.

    Raises:
        UnknownName: there is none of that name.
        InputError: the package that adds it does not load, or has something else there.
    """
    from spae.metrics.protocol import MetricFacts

    known = entries()
    if name not in known:
        raise UnknownName("metric", name, known)
    target = known[name].target
    try:
        facts = load_target(target)
    except PluginFault as fault:
        raise InputError(f"metric {name!r} ({target}) does not load: {fault}") from fault
    if not isinstance(facts, MetricFacts):
        raise InputError(
            f"metric {name!r} ({target}) must be a spae.metrics.protocol.MetricFacts, got {type(facts).__name__}"
        )
    return facts
