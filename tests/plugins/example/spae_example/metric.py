"""How long the reply is: the task asks for one word."""

from spae.metrics.protocol import MetricFacts

REPLY_WORDS = MetricFacts(
    name="reply-words",
    unit="words",
    higher_is_better=False,
    protocol="number of words in what the scoring rule read as the answer",
    low=0.0,
)


def reply_words(text: str) -> float:
    return float(len(text.split()))
