"""WUPS: Wu-Palmer similarity to the right answer, thresholded (Malinowski and Fritz, arXiv 1410.0210, section 4)."""

from spae.metrics.protocol import MetricFacts

BELOW_THRESHOLD = 0.1
"""Factor of a similarity below the threshold."""


def wups(similarity: float, threshold: float) -> float:
    """The score of one answer. Args: similarity to the right answer, in [0, 1]; threshold, in [0, 1]."""
    return similarity if similarity >= threshold else BELOW_THRESHOLD * similarity


def _facts(threshold: float) -> MetricFacts:
    return MetricFacts(
        name=f"WUPS@{threshold:.1f}",
        unit="percent of 1",
        higher_is_better=True,
        protocol=f"Wu-Palmer similarity in the user's WordNet, by NLTK; below {threshold} it counts a tenth",
        low=0.0,
        high=1.0,
    )


WUPS_THRESHOLDS = (0.9, 0.0)
WUPS_METRICS = tuple(_facts(threshold) for threshold in WUPS_THRESHOLDS)
"""In the order of WUPS_THRESHOLDS, those that COCO-QA reports."""
WUPS_09, WUPS_00 = WUPS_METRICS
