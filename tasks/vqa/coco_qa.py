"""COCO-QA by a frozen language model: ten examples with ten different answers, then a question with one of them.

Ren et al., arXiv 1505.02074, asked as in section 4.1 and Figure 5 of arXiv 2306.17842 (10-way 1-shot). The form of a
sample, with two examples instead of ten and five words an image (layers 1 and 2); a right reply is ` two`:

    Answer with a single word.
    C: moped motorcycle rider road dirt
    Q: what is the man riding on a dirt road
    A: moped
    C: cat kitten sofa cushion paw
    Q: how many cats are lying on the couch
    A: two
    C: zebra stripe grass herd plain
    Q: how many zebras are grazing in the field
    A:

Each query question comes once; the nine other answers are sampled from all answers in the examples' split, whatever
their question. Each choice has its own stream (`tasks.rng`), keyed `spae-cocoqa-1/<seed>/...`, over ids and
answers in code point order:

    queries             the order of the query questions
    answers  <k>        the order of the other answers, of which nine are shown
    place    <k>        the order of the ten in the prompt
    example  <k>/<a>    which question of answer a is shown, of another image than those before it

20 samples are the first 20 of 200.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from llm_backends.protocol import Reply, Request
from spae.canonical import folded
from spae.data.annotations.annotated import AnnotatedSet, Question
from spae.data.protocol import ImageSet
from spae.metrics.accuracy import ACCURACY
from spae.metrics.protocol import MetricFacts
from spae.metrics.wups import WUPS_METRICS
from tasks.errors import EpisodeError, TaskInputError
from tasks.manifest import SampleManifest, sample_digest
from tasks.one_request import OneRequestTask
from tasks.protocol import Answered, CorpusScore, Outcome, Sample
from tasks.rng import Stream
from tasks.scoring import score_reply
from tasks.vqa.sample import VqaSample, vqa_request
from tasks.vqa.wups import wups_scores

WAYS = 10
SETTING = "ways=10"


class CocoQaSample(VqaSample):
    """Ten examples with ten answers, then a question with one of them."""

    digests: tuple[str, ...] = Field(description="sha256 of each of `images` as it is stored")


Asked = tuple[str, Question]


def sample_coco_qa(
    task: str, data: AnnotatedSet, settings: Sequence[str], seed: int, limit: int
) -> SampleManifest[CocoQaSample]:
    """The first `limit` samples; all of them for fewer eligible questions.

    Raises:
        TaskInputError: an unknown setting, or limit is below 1.
        EpisodeError: fewer than ten different answers among the examples, or no question that has one of them.
    """
    if tuple(settings) != (SETTING,):
        raise TaskInputError(f"{task} has the one setting {SETTING}, got {', '.join(settings) or 'none'}")
    if limit < 1:
        raise TaskInputError(f"limit must be at least 1 question, got {limit}: pass --limit 200 or so")
    shown = _by_answer(data)
    if len(shown) < WAYS:
        raise EpisodeError(
            f"{SETTING} needs {WAYS} different answers, {data.name!r} has {len(shown)}: pass other --data"
        )
    asked = sorted(
        (question.id, image, question)
        for image in data.query
        for question in data.annotations[image].questions
        if any(other != image for other, _ in shown.get(_key(question), ()))
    )
    if not asked:
        raise EpisodeError(f"no question of {data.name!r} has an answer that another image shows: pass other --data")
    key = f"spae-cocoqa-1/{seed}"
    queries = Stream(f"{key}/queries").sample(asked, min(limit, len(asked)))
    samples = [_sample(data, shown, key, seed, k, (one[1], one[2])) for k, one in enumerate(queries)]
    return SampleManifest[CocoQaSample].made(
        task=task, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=settings, samples=samples
    )


def _by_answer(data: AnnotatedSet) -> dict[str, list[Asked]]:
    """Answer, case aside -> its questions among the examples, by id; answers sorted."""
    found: dict[str, list[Asked]] = defaultdict(list)
    for image in data.support:
        for question in data.annotations[image].questions:
            found[_key(question)].append((image, question))
    return {answer: sorted(found[answer], key=lambda one: (one[1].id, one[0])) for answer in sorted(found)}


def _key(question: Question) -> str:
    return folded(question.answers[0])


def _sample(
    data: AnnotatedSet, shown: Mapping[str, list[Asked]], key: str, seed: int, k: int, query: Asked
) -> CocoQaSample:
    image, question = query
    others = [answer for answer in shown if answer not in {folded(one) for one in question.answers}]
    order = [_key(question), *Stream(f"{key}/answers/{k}").sample(others, len(others))]
    used = {image}
    examples: list[Asked] = []
    for answer in order:
        # An answer all of whose images are used already is skipped: a prompt has ten images, each once.
        free = [one for one in shown[answer] if one[0] not in used]
        if free:
            example = free[Stream(f"{key}/example/{k}/{answer}").below(len(free))]
            examples.append(example)
            used.add(example[0])
        if len(examples) == WAYS:
            break
    else:
        raise EpisodeError(
            f"{SETTING} needs {WAYS} images with different answers beside the query's, question {question.id} of "
            f"{data.name!r} has {len(examples)}: pass other --data"
        )
    examples = Stream(f"{key}/place/{k}").sample(examples, WAYS)
    images = [*(one for one, _ in examples), image]
    # The right answer as its example spells it: `classes` holds the ten as they stand in the prompt.
    right = next(one.answers[0] for _, one in examples if _key(one) == _key(question))
    content = {
        "id": f"cocoqa-seed{seed}-{k:04d}",
        "setting": SETTING,
        "pictures": images,
        "answer": right,
        "index": k,
        "kind": question.question_type,
        "support": [{"picture": one, "question": q.text, "answer": q.answers[0]} for one, q in examples],
        "query": image,
        "question": question.text,
        "accepted": [right, *question.answers[1:]],
        "classes": [q.answers[0] for _, q in examples],
        "digests": [data.image_digest(one) for one in images],
    }
    return CocoQaSample.model_validate({**content, "fingerprint": sample_digest(content, data.fingerprint)})


@dataclass(frozen=True)
class CocoQaTask(OneRequestTask):
    """Questions of a set, ten answers to choose from in the examples; exact match, and WUPS."""

    name: str = "coco-qa"

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """Accuracy of each answer, then WUPS of all."""
        return (ACCURACY, *WUPS_METRICS)

    def samples(self, data: ImageSet, settings: Sequence[str], seed: int, limit: int) -> SampleManifest[CocoQaSample]:
        """See `sample_coco_qa`; a limit above the number of questions gives all of them."""
        if not isinstance(data, AnnotatedSet):
            raise TaskInputError(f"{self.name} needs images with questions, {data.name!r} has none: --data scenes")
        return sample_coco_qa(self.name, data, settings, seed, limit)

    def request(self, sample: Sample, texts: Mapping[str, str]) -> Request:
        """Greedy text, at most 4 tokens, until the first newline; `ranked`: the likelihood of each of the ten."""
        return vqa_request(self._of(sample), texts, self.scoring)

    def load_samples(self, path: Path) -> SampleManifest[CocoQaSample]:
        """See `tasks.protocol.ScoresReplies`."""
        return SampleManifest[CocoQaSample].load(path)

    def score(self, sample: Sample, reply: Reply) -> Outcome:
        """By the rule: see `tasks.scoring`."""
        question = self._of(sample)
        return score_reply(self.scoring, reply, question.accepted, question.classes)

    def corpus_scores(self, groups: Sequence[Sequence[Answered]]) -> list[list[CorpusScore]]:
        """WUPS at 0.9 and at 0.0 of each group; see `tasks.vqa.wups`."""
        return wups_scores(groups)

    def _of(self, sample: Sample) -> CocoQaSample:
        if not isinstance(sample, CocoQaSample):
            raise TaskInputError(f"{self.name} needs COCO-QA's questions, got {type(sample).__name__} {sample.id}")
        return sample
