"""Captions of images by a frozen language model, Figure 5 of arXiv 2306.17842: ten examples, then one to caption.

After COCO captioning (Chen et al., arXiv 1504.00325). The form of a sample, with two examples instead of ten and five
words an image (layers 1 and 2); a right reply is ` a lion in the grass`:

    Generate a caption sentence based on words describing an image.
    Q: moped motorcycle rider road dirt
    A: A man with a red helmet on a small moped on a dirt road.
    Q: kettle tea pot mug steam
    A: A teapot and two mugs on a table.
    Q: lion mane cat tiger fur
    A:

The paper has one prompt for this task, whatever the model. Each query image comes once; its examples are sampled from
the other images, each with one of its captions. Each choice has its own stream (`tasks.rng`), keyed
`spae-captioning-1/<seed>/...`, over image ids in code point order:

    queries                   the order of the query images
    examples  <k>             the examples' order, the query left out; the first S of it are shown
    caption   <k>/<image>     which caption of an example is shown

Sample k is the same in every setting but for its number of examples, and 20 samples are the first 20 of 200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from llm_backends.protocol import Completion, CompletionRequest, Reply
from spae.data.annotations.annotated import AnnotatedSet
from spae.data.protocol import ImageSet
from spae.metrics.captions import CAPTION_METRICS, ROUGE_L
from spae.metrics.protocol import MetricFacts
from tasks.captioning.metrics import caption_scores, rouge_l
from tasks.errors import EpisodeError, TaskInputError
from tasks.fewshot.prompts import image_line
from tasks.manifest import SampleManifest, sample_digest
from tasks.one_request import OneRequestTask
from tasks.protocol import Answered, CorpusScore, Outcome, Sample
from tasks.rng import Stream
from tasks.scoring import line_of

INSTRUCTION = "Generate a caption sentence based on words describing an image."
MAX_NEW_TOKENS = 20
_SETTING = re.compile(r"shots=([1-9]\d?)", re.ASCII)


class CaptionSample(Sample):
    """Captioned images, then one to caption. `images` is the examples' in order, then the query's."""

    index: int = Field(ge=0, description="k: samples of one k are paired across settings")
    support: tuple[tuple[str, str], ...] = Field(min_length=1, description="(image id, caption) of each example")
    references: tuple[str, ...] = Field(min_length=1, description="captions of the query; `target` is the first")
    digests: tuple[str, ...] = Field(description="sha256 of each of `images` as it is stored")

    @property
    def right_texts(self) -> tuple[str, ...]:
        """All captions of the query."""
        return self.references

    @property
    def labels(self) -> dict[str, str]:
        """The caption of each example."""
        return dict(self.support)

    @model_validator(mode="after")
    def _is_whole(self) -> CaptionSample:
        shown = tuple(image for image, _ in self.support)
        if self.images[:-1] != shown or len(set(self.images)) != len(self.images):
            raise ValueError("images must be the examples' then the query's, no image twice")
        if self.target != self.references[0] or len(self.digests) != len(self.images):
            raise ValueError("target must be the first reference, and digests one for each image")
        for text in [*self.references, *(caption for _, caption in self.support)]:
            if not text.strip() or text.splitlines() != [text]:
                raise ValueError(f"a caption must be one line, not empty, got {text!r}")
        return self


def shots_of(setting: str) -> int:
    """The number of examples in a setting such as `shots=10`.

    Raises:
        TaskInputError: it is spelled otherwise, or the number is not in 1..99.
    """
    found = _SETTING.fullmatch(setting)
    if found is None:
        raise TaskInputError(f"unknown setting {setting!r}: shots=10 is the paper's, shots=1 to shots=99 are known")
    return int(found[1])


def sample_captions(
    task: str, data: AnnotatedSet, settings: Sequence[str], seed: int, limit: int
) -> SampleManifest[CaptionSample]:
    """The first `limit` samples of each setting; all of them for fewer query images.

    Raises:
        TaskInputError: a setting is unknown or named twice, or limit is below 1.
        EpisodeError: no query image, or fewer others than a setting shows.
    """
    if isinstance(settings, str) or not settings or len(set(settings)) != len(settings):
        raise TaskInputError(f"settings must be different ids, one at least, got {settings!r}: pass --setting shots=10")
    if limit < 1:
        raise TaskInputError(f"limit must be at least 1 image per setting, got {limit}: pass --limit 200 or so")
    shots = {setting: shots_of(setting) for setting in settings}
    asked = sorted(image for image in data.query if data.annotations[image].captions)
    shown = sorted(image for image in data.support if data.annotations[image].captions)
    room = len(shown) - bool(set(shown) & set(asked))
    if not asked or room < max(shots.values()):
        raise EpisodeError(
            f"shots={max(shots.values())} needs an image to caption and {max(shots.values())} others with captions, "
            f"{data.name!r} has {len(asked)} and {max(room, 0)}: add images or pass --setting shots={max(room, 1)}"
        )
    key = f"spae-captioning-1/{seed}"
    queries = Stream(f"{key}/queries").sample(asked, min(limit, len(asked)))
    order = [
        Stream(f"{key}/examples/{k}").sample([one for one in shown if one != query], max(shots.values()))
        for k, query in enumerate(queries)
    ]
    samples = [
        _sample(data, f"{key}/caption/{k}", setting, seed, k, order[k][: shots[setting]], query)
        for setting in settings
        for k, query in enumerate(queries)
    ]
    return SampleManifest[CaptionSample].made(
        task=task, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=settings, samples=samples
    )


def _sample(
    data: AnnotatedSet, key: str, setting: str, seed: int, k: int, examples: Sequence[str], query: str
) -> CaptionSample:
    references = data.annotations[query].captions
    content = {
        "id": f"caption-seed{seed}-{setting.replace('=', '')}-{k:04d}",
        "setting": setting,
        "pictures": [*examples, query],
        "answer": references[0],
        "index": k,
        "support": [[image, _one_of(data, key, image)] for image in examples],
        "references": list(references),
        "digests": [data.image_digest(image) for image in (*examples, query)],
    }
    return CaptionSample.model_validate({**content, "fingerprint": sample_digest(content, data.fingerprint)})


def _one_of(data: AnnotatedSet, key: str, image: str) -> str:
    captions = data.annotations[image].captions
    return captions[Stream(f"{key}/{image}").below(len(captions))]


def caption_prompt(sample: CaptionSample, texts: Mapping[str, str]) -> str:
    """The prompt; it ends in `A:`, where the model continues.

    Args:
        sample: the examples and the query.
        texts: the SPAE string of each of its images, by image id; one line each, not empty.

    Raises:
        TaskInputError: an image has no text; a text is empty or has a line break.
    """
    lines = [INSTRUCTION]
    for image, caption in sample.support:
        lines += [f"Q: {image_line(texts, image)}", f"A: {caption}"]
    lines += [f"Q: {image_line(texts, sample.images[-1])}", "A:"]
    return "\n".join(lines)


@dataclass(frozen=True)
class CaptioningTask(OneRequestTask):
    """Captions of a set's images, each scored by ROUGE-L, and all of them by the metrics of COCO."""

    name: str = "coco-captioning"

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """ROUGE-L of each caption, then the metrics of the whole corpus."""
        return CAPTION_METRICS

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[CaptionSample]:
        """See `sample_captions`; a limit above the number of images gives all of them."""
        if not isinstance(data, AnnotatedSet):
            raise TaskInputError(f"{self.name} needs images with captions, {data.name!r} has none: --data scenes")
        return sample_captions(self.name, data, settings, seed, limit)

    def request(self, sample: Sample, texts: Mapping[str, str]) -> CompletionRequest:
        """Greedy text, at most 20 tokens, until the first newline."""
        return CompletionRequest(
            prompt=caption_prompt(self._of(sample), texts), max_new_tokens=MAX_NEW_TOKENS, stop=("\n",)
        )

    def load_samples(self, path: Path) -> SampleManifest[CaptionSample]:
        """See `tasks.protocol.ScoresReplies`."""
        return SampleManifest[CaptionSample].load(path)

    def score(self, sample: Sample, reply: Reply) -> Outcome:
        """ROUGE-L of the reply's first line against the references; white space alone is `empty`."""
        if not isinstance(reply, Completion):
            raise TaskInputError(f"{self.name} needs a Completion, got {type(reply).__name__}: ask for text")
        line = line_of(reply.text)
        if not line:
            return Outcome(status="empty", reply=reply.text)
        value = rouge_l(line, self._of(sample).references)
        return Outcome(status="scored", scores={ROUGE_L.name: value}, prediction=line, reply=reply.text)

    def corpus_scores(self, groups: Sequence[Sequence[Answered]]) -> list[list[CorpusScore]]:
        """BLEU-1 to BLEU-4, METEOR, ROUGE-L, CIDEr-D and SPICE of each group; see `tasks.captioning.metrics`."""
        return caption_scores(groups)

    def _of(self, sample: Sample) -> CaptionSample:
        if not isinstance(sample, CaptionSample):
            raise TaskInputError(f"{self.name} needs captions, got {type(sample).__name__} {sample.id}")
        return sample
