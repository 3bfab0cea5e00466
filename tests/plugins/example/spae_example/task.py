"""Two images, one question: are they of one class?

A: lion mane cat
B: vase jar pot
Same (yes or no):
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from llm_backends.protocol import CompletionRequest, Failure, Request
from spae.data.protocol import ImageSet
from spae.metrics.protocol import MetricFacts
from spae_example.metric import REPLY_WORDS, reply_words
from tasks.manifest import SampleManifest, sample_digest
from tasks.protocol import Codec, Outcome, Sample, Solution, Style
from tasks.rng import Stream
from tasks.scoring import ACCURACY, likelihood_request, rule, score_reply

ANSWERS = ("yes", "no")


@dataclass(frozen=True)
class SameOrNot:
    """See the module."""

    scoring: str = "exact"
    name = "same-or-not"
    title = "Are two images of one class?"
    settings = ("pairs",)

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        return (ACCURACY, REPLY_WORDS)

    def configured(self, *, prompt_style: Style, scoring: str) -> Self:
        return replace(self, scoring=scoring)

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[Sample]:
        return SampleManifest[Sample].made(
            task=self.name,
            data=data.name,
            data_fingerprint=data.fingerprint,
            seed=seed,
            settings=self.settings,
            samples=[pair(data, Stream(f"same-or-not/{seed}/{k}"), k) for k in range(limit)],
        )

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        first, second = (codec.text(image) for image in sample.images)
        prompt = f"A: {first}\nB: {second}\nSame (yes or no):"
        request: Request = CompletionRequest(prompt=prompt, max_new_tokens=2)
        if rule(self.scoring).asks == "likelihood":
            request = likelihood_request(prompt, ANSWERS)
        (reply,) = yield (request,)
        if isinstance(reply, Failure):
            return Outcome(status="failed", explanation=reply.message)
        outcome = score_reply(self.scoring, reply, [sample.target], ANSWERS)
        if outcome.prediction is None:
            return outcome
        return outcome.model_copy(
            update={"scores": outcome.scores | {REPLY_WORDS.name: reply_words(outcome.prediction)}}
        )


def pair(data: ImageSet, rng: Stream, k: int) -> Sample:
    """Pair k: of one class for even k, of two for odd k."""
    asked, other = rng.sample(data.classes, 2)
    same = k % 2 == 0
    query = rng.sample(asked.query, 1)[0]
    beside = (asked if same else other).support
    sample = Sample(
        id=f"pair-{k:04d}",
        setting="pairs",
        images=(rng.sample([one for one in beside if one != query], 1)[0], query),
        target=ANSWERS[0 if same else 1],
        fingerprint="",
    )
    fingerprint = sample_digest(sample.model_dump(mode="json"), data.fingerprint)
    return sample.model_copy(update={"fingerprint": fingerprint})
