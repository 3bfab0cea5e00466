"""Two images, one question: are they of one class? The form:

A: lion mane cat
B: vase jar pot
Same (yes or no):
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_backends.protocol import CompletionRequest
from spae.data.protocol import ImageSet
from spae.metrics.accuracy import ACCURACY
from tasks.manifest import SampleManifest, sample_digest
from tasks.one_request import ask_once
from tasks.protocol import Codec, Sample, Solution, Style
from tasks.rng import Stream
from tasks.scoring import likelihood_request, rule, score_reply

ANSWERS = ("yes", "no")


@dataclass(frozen=True)
class SameOrNot:
    scoring: str = "exact"
    name = "same-or-not"
    title = "Are two images of one class?"
    settings = ("pairs",)
    metrics = (ACCURACY,)

    def configured(self, *, prompt_style: Style, scoring: str) -> "SameOrNot":
        return replace(self, scoring=scoring)

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[Sample]:
        made = [self._sample(data, Stream(f"same-or-not/{seed}/{k}"), k) for k in range(limit)]
        return SampleManifest[Sample].made(
            task=self.name, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=self.settings,
            samples=made,
        )  # fmt: skip

    def solve(self, sample: Sample, codec: Codec) -> Solution:
        first, second = map(codec.text, sample.images)
        prompt = f"A: {first}\nB: {second}\nSame (yes or no):"
        ranked = rule(self.scoring).asks == "likelihood"
        request = likelihood_request(prompt, ANSWERS) if ranked else CompletionRequest(prompt=prompt, max_new_tokens=2)
        return ask_once(request, lambda reply: score_reply(self.scoring, reply, (sample.target,), ANSWERS))

    def _sample(self, data: ImageSet, stream: Stream, k: int) -> Sample:
        asked, other = stream.sample(data.classes, 2)
        same = k % 2 == 0
        query = stream.sample(asked.query, 1)[0]
        beside = (asked if same else other).support
        content = {
            "id": f"pair-{k:04d}",
            "setting": "pairs",
            "pictures": [stream.sample([one for one in beside if one != query], 1)[0], query],
            "answer": ANSWERS[0 if same else 1],
        }
        return Sample.model_validate({**content, "fingerprint": sample_digest(content, data.fingerprint)})
