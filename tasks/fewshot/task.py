"""Few-shot classification of images by a frozen language model, Table 1 of arXiv 2306.17842.

After the open-ended mini-ImageNet task of Tsimpoukelli et al. (arXiv 2106.13884). The form of a 2-way, 1-shot episode
with task induction, five words an image (layers 1 and 2), GPT style; a right reply is ` lion`:

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
from dataclasses import dataclass
from pathlib import Path

from llm_backends.protocol import CompletionRequest, Reply, Request
from spae.data.protocol import HoldsEpisodes, ImageSet
from tasks.errors import TaskInputError
from tasks.fewshot.archive_episodes import published_episodes
from tasks.fewshot.episodes import Episode, Manifest, sample_episodes
from tasks.fewshot.prompts import MAX_NEW_TOKENS, classification
from tasks.one_request import OneRequestTask
from tasks.protocol import Outcome, Sample
from tasks.scoring import likelihood_request, rule, score_reply


@dataclass(frozen=True)
class FewShotTask(OneRequestTask):
    """Episodes of one number of classes, in the seven settings.

    Attributes:
        ways: K, classes in an episode, at least 2.
    """

    ways: int = 5

    def __post_init__(self) -> None:
        if self.ways < 2:
            raise TaskInputError(f"ways must be at least 2, got {self.ways}: an episode needs a choice")
        super().__post_init__()

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> Manifest:
        """The first `limit` episodes of each setting: sampled (`tasks.fewshot.episodes`), or those of data that have
        published ones (`tasks.fewshot.archive_episodes`)."""
        if isinstance(data, HoldsEpisodes):
            return published_episodes(self.name, data, data, self.ways, settings, seed, limit)
        return sample_episodes(self.name, data, self.ways, settings, seed, limit)

    def saved(self, path: Path, data: ImageSet, settings: Sequence[str] | None, limit: int | None) -> Manifest:
        """See `tasks.protocol.ReadsSamples`."""
        manifest = self.load_samples(path)
        manifest.check_source(self.name, data)
        return manifest.narrowed(settings, limit)

    def request(self, sample: Sample, texts: Mapping[str, str]) -> Request:
        """Greedy text, or with `ranked` the likelihood of each class's text and the newline after it."""
        episode = self._episode(sample)
        prompt = classification(episode, texts, self.prompt_style)
        if rule(self.scoring).asks == "likelihood":
            return likelihood_request(prompt, episode.classes)
        return CompletionRequest(prompt=prompt, max_new_tokens=MAX_NEW_TOKENS[self.prompt_style])

    def load_samples(self, path: Path) -> Manifest:
        """See `tasks.protocol.ScoresReplies`."""
        return Manifest.load(path)

    def score(self, sample: Sample, reply: Reply) -> Outcome:
        """Scores the reply by the rule: see `tasks.scoring`."""
        episode = self._episode(sample)
        return score_reply(self.scoring, reply, (episode.target,), episode.classes)

    def _episode(self, sample: Sample) -> Episode:
        if not isinstance(sample, Episode) or len(sample.classes) != self.ways:
            raise TaskInputError(
                f"{self.name} needs episodes of {self.ways} classes, got {type(sample).__name__} {sample.id}"
            )
        return sample


def two_way() -> FewShotTask:
    """`miniimagenet-2way`, the easier half of Table 1; chance is 50 %."""
    return FewShotTask("miniimagenet-2way", ways=2)


def five_way() -> FewShotTask:
    """`miniimagenet-5way`, the harder half of Table 1; chance is 20 %."""
    return FewShotTask("miniimagenet-5way", ways=5)
