"""Questions with examples, sampled from annotated images: two answers to choose from, and S examples of each.

All examples of a sample answer the query's question in the query's words, each answer as often as the other, c1,c2,..:
guessing from the prompt without its images is right one time in two. Questions, the right answers to a question, and
their places are balanced in rounds. A question is eligible if two answers or more have enough images. Sample k is the
same in every setting but for its number of examples: settings are nested and paired, and 20 samples are the first 20
of 200.

Each choice has its own stream (`tasks.rng`), keyed `spae-vqa-1/<seed>/...`, over texts and ids in code point order:

    question  <k // questions>           the questions' order in a round, each once
    right     <t // answers>/<question>  the order in which its answers are right, each once; t is k // questions
    other     <k>                        the wrong answer, of the question's others
    place     <k // 2>                   the right answer's place in two consecutive samples: each once
    query     <k>                        one of the right answer's query images
    support   <k>/<answer>               the order of an answer's examples, the query left out
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spae.data.annotations.annotated import AnnotatedSet, Question
from tasks.errors import EpisodeError, TaskInputError
from tasks.manifest import SampleManifest, check_limit
from tasks.rng import Stream
from tasks.vqa.sample import ShownAnswer, VqaSample, make_sample

SHOTS = (1, 3, 5)
SETTING_IDS = tuple(f"shots={shots}" for shots in SHOTS)
"""As `results/paper_results.csv` writes them: the examples of each of the two answers."""
WAYS = 2


@dataclass
class _Answer:
    """The images with one answer to one question: id -> the question about it."""

    support: dict[str, Question] = field(default_factory=dict)
    query: dict[str, Question] = field(default_factory=dict)

    def room(self) -> int:
        """Examples beside any of the query images; 0 without a query image."""
        return len(self.support) - bool(self.support.keys() & self.query.keys()) if self.query else 0


def parse_shots(settings: Sequence[str]) -> tuple[int, ...]:
    """Setting ids as numbers of examples of each answer.

    Raises:
        TaskInputError: there is none, one is unknown, or one is named twice.
    """
    for setting in settings:
        if setting not in SETTING_IDS:
            raise TaskInputError(f"unknown setting {setting!r}: known: {', '.join(SETTING_IDS)}")
    if not settings or len(set(settings)) != len(settings):
        raise TaskInputError(f"settings must be different ids, one at least, got {', '.join(settings) or 'none'}")
    return tuple(int(setting.removeprefix("shots=")) for setting in settings)


def sample_questions(
    task: str, data: AnnotatedSet, settings: Sequence[str], seed: int, limit: int
) -> SampleManifest[VqaSample]:
    """The first `limit` samples of each setting.

    Raises:
        TaskInputError: a setting is unknown, or limit is below 1.
        EpisodeError: the data cannot give them.
    """
    shots = parse_shots(settings)
    check_limit(limit, "questions")
    asked, need = _eligible(data)
    if max(shots) > need:
        feasible = ",".join(f"shots={count}" for count in SHOTS if count <= need)
        raise EpisodeError(
            f"setting shots={max(shots)} needs two answers to one question with {max(shots)} images each beside the "
            f"query's, {data.name!r} has at most {need}: add images or pass --setting {feasible}"
        )
    samples = [_sample(data, asked, count, seed, k) for count in shots for k in range(limit)]
    return SampleManifest[VqaSample].made(
        task=task, data=data.name, data_fingerprint=data.fingerprint, seed=seed, settings=settings, samples=samples
    )


def _eligible(data: AnnotatedSet) -> tuple[dict[str, dict[str, _Answer]], int]:
    """Question text -> answer -> images, of those with enough of them; and the number of examples they allow."""
    found: dict[str, dict[str, _Answer]] = defaultdict(lambda: defaultdict(_Answer))
    for image, question in _questions(data, data.support):
        found[question.text][question.answers[0]].support[image] = question
    for image, question in _questions(data, data.query):
        found[question.text][question.answers[0]].query[image] = question
    for need in sorted(SHOTS, reverse=True):
        fit = {
            text: {answer: one for answer, one in sorted(answers.items()) if one.room() >= need}
            for text, answers in sorted(found.items())
        }
        fit = {text: answers for text, answers in fit.items() if len(answers) >= WAYS}
        if fit:
            return fit, need
    raise EpisodeError(
        f"questions need two answers or more to the same words, each with a query image and another to show, "
        f"{data.name!r} has none among {len(found)} questions: pass other --data"
    )


def _questions(data: AnnotatedSet, images: Sequence[str]) -> Iterable[tuple[str, Question]]:
    return ((image, question) for image in images for question in data.annotations[image].questions)


def _sample(data: AnnotatedSet, asked: dict[str, dict[str, _Answer]], shots: int, seed: int, k: int) -> VqaSample:
    key = f"spae-vqa-1/{seed}"
    texts = list(asked)
    text = Stream(f"{key}/question/{k // len(texts)}").sample(texts, len(texts))[k % len(texts)]
    turn, answers = k // len(texts), list(asked[text])
    right = Stream(f"{key}/right/{turn // len(answers)}/{text}").sample(answers, len(answers))[turn % len(answers)]
    other = Stream(f"{key}/other/{k}").sample([answer for answer in answers if answer != right], 1)[0]
    place = Stream(f"{key}/place/{k // WAYS}").sample(range(WAYS), WAYS)[k % WAYS]
    classes = [right, other] if place == 0 else [other, right]
    query = Stream(f"{key}/query/{k}").sample(sorted(asked[text][right].query), 1)[0]
    question = asked[text][right].query[query]
    shown = [
        Stream(f"{key}/support/{k}/{answer}").sample(sorted({*asked[text][answer].support} - {query}), shots)
        for answer in classes
    ]
    support = [
        ShownAnswer(picture=shown[c][s], question=text, answer=classes[c]) for s in range(shots) for c in range(WAYS)
    ]
    return make_sample(
        data.fingerprint,
        id=f"vqa-seed{seed}-s{shots}-{k:04d}",
        setting=f"shots={shots}",
        index=k,
        question_type=question.question_type,
        support=support,
        query=query,
        question=text,
        accepted=question.answers,
        classes=classes,
    )
