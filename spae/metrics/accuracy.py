"""Accuracy: the part of the replies that name the right class or answer."""

from spae.metrics.protocol import MetricFacts

ACCURACY = MetricFacts(
    name="accuracy",
    unit="percent of 1",
    higher_is_better=True,
    protocol="part of the scored replies whose prediction is the target, by the run's scoring rule",
    low=0.0,
    high=1.0,
)
