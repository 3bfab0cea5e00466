"""Two images, one question: are they of one class? The form:

A: lion mane cat
B: vase jar pot
Same (yes or no):
"""

from collections.abc import Mapping, Sequence

from tasks.sample_manifest import SampleManifest, sample_digest

from llm_backends.protocol import Completion, CompletionRequest, LikelihoodRequest, Likelihoods, Reply
from spae.data.protocol import ImageSet
from tasks.protocol import Outcome, Sample, Style
from tasks.rng import Stream
from tasks.scoring import rule, score_ranked, score_text

ANSWERS = ("yes", "no")


class SameOrNot:
    name, title, metric, settings = "same-or-not", "Are two images of one class?", "accuracy", ("pairs",)

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[Sample]:
        made = [self._sample(data, Stream(f"same-or-not/{seed}/{k}"), k) for k in range(limit)]
        return SampleManifest[Sample].made(
            task=self.name, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=self.settings,
            samples=made,
        )  # fmt: skip

    def request(
        self, sample: Sample, texts: Mapping[str, str], style: Style, scoring: str
    ) -> CompletionRequest | LikelihoodRequest:
        first, second = sample.images
        prompt = f"A: {texts[first]}\nB: {texts[second]}\nSame (yes or no):"
        if rule(scoring).asks == "likelihood":
            return LikelihoodRequest(context=prompt, continuations=tuple(f" {one}\n" for one in ANSWERS))
        return CompletionRequest(prompt=prompt, max_new_tokens=2)

    def score(
        self, sample: Sample, request: CompletionRequest | LikelihoodRequest, reply: Reply, scoring: str
    ) -> Outcome:
        test = rule(scoring).test
        if test is None:
            assert isinstance(reply, Likelihoods)
            return score_ranked(reply.values, sample.answer, ANSWERS)
        assert isinstance(reply, Completion)
        return score_text(test, reply.text, sample.answer, ANSWERS)

    def _sample(self, data: ImageSet, draw: Stream, k: int) -> Sample:
        asked, other = draw.sample(data.classes, 2)
        same = k % 2 == 0
        query = draw.sample(asked.query, 1)[0]
        beside = (asked if same else other).support
        content = {
            "id": f"pair-{k:04d}",
            "setting": "pairs",
            "images": [draw.sample([one for one in beside if one != query], 1)[0], query],
            "answer": ANSWERS[0 if same else 1],
        }
        return Sample.model_validate({**content, "fingerprint": sample_digest(content, data.fingerprint)})
