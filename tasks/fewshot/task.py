"""Few-shot classification of images by a frozen language model, Table 1 of arXiv 2306.17842.

After the open-ended mini-ImageNet task of Tsimpoukelli et al. (arXiv 2106.13884). The form of a 2-way, 1-shot episode
with task induction, five words an image (layers 1 and 2), GPT style; the model should go on with ` lion`:

    For each of the following input output pairs, output is one of ['lion', 'teapot']
    ###
    Input: lion mane cat tiger fur
    Output: lion
    ###
    Input: kettle tea pot mug steam
    Output: teapot
    ###
    Input: tiger lion cat paw wild
    Output:
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_backends.protocol import Completion, CompletionRequest, LikelihoodRequest, Likelihoods, Reply
from spae.data.protocol import HoldsEpisodes, ImageSet
from tasks.errors import ManifestError, TaskInputError
from tasks.fewshot.archive_episodes import published
from tasks.fewshot.episodes import Episode, Manifest, draw
from tasks.fewshot.prompts import MAX_NEW_TOKENS, classification
from tasks.fewshot.settings import SETTING_IDS
from tasks.protocol import Outcome, Sample, Style
from tasks.registry import BUILT_IN
from tasks.scoring import rule, score_ranked, score_text


class FewShotTask:
    """Episodes of one number of classes, in the seven settings.

    Args:
        name: the name in the registry.
        title: one line for reports.
        ways: K, classes in an episode, at least 2.
    """

    metric = "accuracy"
    settings = SETTING_IDS

    def __init__(self, name: str, title: str, ways: int) -> None:
        if ways < 2:
            raise TaskInputError(f"ways must be at least 2, got {ways}: a choice of one class is none")
        self.name = name
        self.title = title
        self.ways = ways

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> Manifest:
        """The first `limit` episodes of each setting: see `tasks.fewshot.episodes` for how they are drawn, and
        `tasks.fewshot.archive_episodes` for data that bring theirs with them."""
        if isinstance(data, HoldsEpisodes):
            return published(self.name, data, data, self.ways, settings, seed, limit)
        return draw(self.name, data, self.ways, settings, seed, limit)

    def saved(self, path: Path, data: ImageSet, settings: Sequence[str] | None, limit: int | None) -> Manifest:
        """See `tasks.protocol.ReadsSamples`."""
        manifest = Manifest.load(path)
        if manifest.task != self.name:
            raise ManifestError(f"manifest {path} is of {manifest.task}, not of {self.name}: run that task")
        manifest.check(data)
        return manifest.narrowed(settings, limit)

    def request(
        self, sample: Sample, texts: Mapping[str, str], style: Style, scoring: str
    ) -> CompletionRequest | LikelihoodRequest:
        """What to ask: greedy text, or with `ranked` the likelihood of each class's text and the newline after it."""
        asks = rule(scoring).asks
        episode = self._episode(sample)
        prompt = classification(episode, texts, style)
        if asks == "likelihood":
            return LikelihoodRequest(context=prompt, continuations=tuple(f" {name}\n" for name in episode.classes))
        return CompletionRequest(prompt=prompt, max_new_tokens=MAX_NEW_TOKENS[style])

    def score(
        self, sample: Sample, request: CompletionRequest | LikelihoodRequest, reply: Reply, scoring: str
    ) -> Outcome:
        """Scores the reply by the rule: see `tasks.scoring`."""
        test = rule(scoring).test
        episode = self._episode(sample)
        if test is None and isinstance(request, LikelihoodRequest) and isinstance(reply, Likelihoods):
            return score_ranked(reply.values, episode.answer, episode.classes)
        if test is not None and isinstance(request, CompletionRequest) and isinstance(reply, Completion):
            return score_text(test, reply.text, episode.answer, episode.classes)
        raise TaskInputError(
            f"scoring {scoring!r} needs {'Likelihoods' if test is None else 'a Completion'}, "
            f"got {type(reply).__name__} to {type(request).__name__}: ask with the same --scoring"
        )

    def _episode(self, sample: Sample) -> Episode:
        if not isinstance(sample, Episode) or len(sample.classes) != self.ways:
            raise TaskInputError(
                f"{self.name} needs episodes of {self.ways} classes, got {type(sample).__name__} {sample.id}"
            )
        return sample


def two_way() -> FewShotTask:
    """`miniimagenet-2way`, the easier half of Table 1; chance is 50 %."""
    return _named("miniimagenet-2way", 2)


def five_way() -> FewShotTask:
    """`miniimagenet-5way`, the harder half of Table 1; chance is 20 %."""
    return _named("miniimagenet-5way", 5)


def _named(name: str, ways: int) -> FewShotTask:
    return FewShotTask(name, BUILT_IN[name].title, ways)
