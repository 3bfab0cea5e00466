"""Questions about images: prompts by hand, draws against their stated rule, scores by a table."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Likelihoods
from spae.data.annotations.annotated import Annotations, Question
from spae.data.embedded.scenes import open_scenes
from spae.data.protocol import ClassImages
from tasks.errors import EpisodeError, ManifestError, TaskInputError
from tasks.manifest import SampleManifest
from tasks.protocol import Style
from tasks.vqa.sample import ShownAnswer, VqaSample, make_sample, question_type, text_only_accuracy, vqa_prompt
from tasks.vqa.task import VqaTask
from tests.tasks.conftest import solved, text_reply

# Typed from the protocol's text, line by line: `Answer with a single word.`, then C, Q and A lines, ending in `A:`.
GOLDEN = """\
Answer with a single word.
C: fork spoon knife
Q: What is this?
A: fork
C: lion mane cat
Q: What is this?
A: lion
C: table fork dinner
Q: Where is the fork?
A:"""
WORDS = {"p1": "fork spoon knife", "p2": "lion mane cat", "q": "table fork dinner"}


class Shapes:
    """Two questions of three answers each, six examples and two queries of every answer; no image is opened."""

    name, title, embedded, fingerprint = "shapes", "shapes", True, "5" * 64
    classes: tuple[ClassImages, ...] = ()

    def __init__(self, examples: int = 6, shared: bool = False) -> None:
        asked = {"Which colour?": ("red", "blue", "green"), "Which form?": ("round", "square", "long")}
        self.annotations: dict[str, Annotations] = {}
        pools: dict[str, list[str]] = {"s": [], "q": []}
        for text, answers in asked.items():
            for answer in answers:
                for pool, count in (("s", examples), ("q", 2)):
                    for i in range(count):
                        image = f"{pool}/{answer}/{i}"
                        kind = text.split()[1].strip("?")
                        question = Question(f"{image}/x", text, (answer, f"it is {answer}"), kind)
                        self.annotations[image] = Annotations(questions=(question,))
                        pools[pool].append(image)
        self.support = tuple(sorted(pools["s"] + pools["q"] if shared else pools["s"]))
        self.query = tuple(sorted(pools["s"] + pools["q"] if shared else pools["q"]))

    def image(self, image_id: str) -> np.ndarray:
        raise AssertionError(f"questions must be sampled without opening {image_id}")

    def image_digest(self, image_id: str) -> str:
        raise AssertionError(image_id)


def sample(classes: tuple[str, ...] = (), accepted: tuple[str, ...] = ("table",)) -> VqaSample:
    shown = [
        ShownAnswer(image="p1", question="What is this?", answer="fork"),
        ShownAnswer(image="p2", question="What is this?", answer="lion"),
    ]
    return make_sample(
        "0" * 64, id="x", setting="shots=1", index=0, question_type="", support=shown, query="q",
        question="Where is the fork?", accepted=accepted, classes=classes,
    )  # fmt: skip


def test_prompt_to_the_character() -> None:
    assert vqa_prompt(sample(), WORDS) == GOLDEN


def bound(scoring: str, style: Style = "gpt") -> VqaTask:
    return VqaTask().configured(prompt_style=style, scoring=scoring)


def test_request() -> None:
    asked = bound("exact").request(sample(), WORDS)
    assert asked == CompletionRequest(prompt=GOLDEN, max_new_tokens=4, stop=("\n",))
    assert asked == bound("normalised", "palm").request(sample(), WORDS)
    ranked = bound("ranked").request(sample(("table", "floor")), WORDS)
    assert ranked == LikelihoodRequest(context=GOLDEN, continuations=(" table\n", " floor\n"))


def test_an_open_question_cannot_be_ranked() -> None:
    with pytest.raises(TaskInputError, match=r"needs answers to choose from, .*'Where is the fork\?'.*--scoring exact"):
        bound("ranked").request(sample(), WORDS)


@pytest.mark.parametrize(
    ("reply", "scoring", "value"),
    [
        (" table", "exact", 1.0),
        (" Table\nC: x", "exact", 1.0),
        (" table.", "exact", 0.0),
        (" table.", "normalised", 1.0),
        (" the table", "normalised", 1.0),
        (" desk", "exact", 1.0),
        (" desk top", "prefix", 1.0),
        (" a desk", "contains", 1.0),
        (" tablet", "exact", 0.0),
        (" tablet", "contains", 0.0),
        (" \n", "exact", None),
    ],
)
def test_scores(reply: str, scoring: str, value: float | None) -> None:
    _, outcome = solved(bound(scoring), sample(accepted=("table", "desk")), WORDS, text_reply(reply))
    assert outcome.scores == ({} if value is None else {"accuracy": value})
    assert outcome.status == ("empty" if value is None else "scored")


def test_ranked_scores_and_mismatches() -> None:
    asked = sample(("floor", "table"))
    _, outcome = solved(bound("ranked"), asked, WORDS, Likelihoods(values=(-2.0, -1.0)))
    assert outcome.scores == {"accuracy": 1.0}
    with pytest.raises(TaskInputError, match="ask with the same --scoring"):
        bound("exact").score(asked, Likelihoods(values=(-2.0, -1.0)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"query": "p1", "images": ("p1", "p2", "p1")}, id="query-shown"),
        pytest.param({"target": "fork"}, id="target"),
        pytest.param({"classes": ("fork", "lion")}, id="classes"),
        pytest.param({"question": "Where\nA: table"}, id="line-break"),
        pytest.param({"question": " "}, id="empty"),
        pytest.param({"accepted": ()}, id="no-answer"),
    ],
)
def test_invalid_samples(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VqaSample.model_validate(sample().model_dump(by_alias=False) | change)


def test_sampling_follows_its_rule() -> None:
    """The stated rule once more, written from the docstring of `tasks.vqa.sampling`."""

    def shuffled(key: str, items: list[str], count: int) -> list[str]:
        items = list(items)
        for i in range(count):
            number = int.from_bytes(hashlib.sha256(f"spae-vqa-1/7/{key}#{i}".encode()).digest()[:8], "big")
            j = i + number % (len(items) - i)  # a number is rejected with a probability below 1e-17
            items[i], items[j] = items[j], items[i]
        return items[:count]

    answers = {"Which colour?": ["blue", "green", "red"], "Which form?": ["long", "round", "square"]}
    manifest = VqaTask().samples(Shapes(), ["shots=3", "shots=1"], 7, 9)
    for k, one in enumerate(manifest.of("shots=3")):
        text = shuffled(f"question/{k // 2}", ["Which colour?", "Which form?"], 2)[k % 2]
        right = shuffled(f"right/{k // 2 // 3}/{text}", answers[text], 3)[k // 2 % 3]
        other = shuffled(f"other/{k}", [answer for answer in answers[text] if answer != right], 1)[0]
        place = int(shuffled(f"place/{k // 2}", ["0", "1"], 2)[k % 2])
        classes = [other, other]
        classes[place] = right
        query = shuffled(f"query/{k}", [f"q/{right}/0", f"q/{right}/1"], 1)[0]
        shown = [shuffled(f"support/{k}/{c}", [f"s/{c}/{i}" for i in range(6)], 3) for c in classes]
        assert (one.question, one.classes, one.target, one.query) == (text, tuple(classes), right, query)
        assert [s.image for s in one.support] == [shown[c][s] for s in range(3) for c in range(2)]
        assert [s.answer for s in one.support] == classes * 3 and {s.question for s in one.support} == {text}
        assert one.accepted == (right, f"it is {right}") and one.id == f"vqa-seed7-s3-{k:04d}"
        nested = manifest.of("shots=1")[k]
        assert nested.support == one.support[:2] and (nested.query, nested.index) == (one.query, k)


def test_balance_and_prefix() -> None:
    task = VqaTask()
    manifest = task.samples(Shapes(), ["shots=5"], 0, 200)
    samples = manifest.of("shots=5")
    assert Counter(one.question_type for one in samples) == {"colour": 100, "form": 100}
    for kind in ("colour", "form"):
        assert sorted(Counter(one.target for one in samples if one.question_type == kind).values()) == [33, 33, 34]
    assert Counter(one.classes.index(one.target) for one in samples) == {0: 100, 1: 100}
    assert task.samples(Shapes(), ["shots=5"], 0, 20).of("shots=5") == samples[:20]
    assert manifest.fingerprint != task.samples(Shapes(), ["shots=5"], 1, 200).fingerprint


def test_questions_about_scenes_are_the_same_on_every_machine() -> None:
    """Pinned: another hash is another benchmark. Of 24 questions each kind has six, its answers as even as can be."""
    manifest = VqaTask().samples(open_scenes(), ["shots=1", "shots=3", "shots=5"], 0, 24)
    assert manifest.fingerprint == "aa6eb44b67213bbd8865bd6a32f2bcedd69b32f92701e53af251abc94b3d688f"
    kinds: dict[str, Counter[str]] = {}
    for one in manifest.of("shots=1"):
        kinds.setdefault(one.question_type, Counter())[one.target] += 1
    assert kinds["side"] == {"left": 3, "right": 3} and kinds["how-many"] == {"one": 2, "two": 2, "three": 2}
    assert set(kinds["colour"].values()) == set(kinds["what"].values()) == {1}
    assert text_only_accuracy(manifest.of("shots=1")) == (3 + 2 + 1 + 1) / 24


def test_a_query_is_never_its_own_example() -> None:
    for one in VqaTask().samples(Shapes(shared=True), ["shots=5"], 0, 50).of("shots=5"):
        assert one.query not in {shown.image for shown in one.support} and len(one.images) == 11


@pytest.mark.parametrize(
    ("data", "settings", "limit", "error", "message"),
    [
        (Shapes(), ["shots=2"], 5, TaskInputError, "unknown setting 'shots=2': known: shots=1, shots=3, shots=5"),
        (Shapes(), [], 5, TaskInputError, "one at least, got none"),
        (Shapes(), ["shots=1", "shots=1"], 5, TaskInputError, "different ids"),
        (Shapes(), ["shots=1"], 0, TaskInputError, "limit must be 1 to 10,000"),
        (Shapes(examples=3), ["shots=1", "shots=5"], 5, EpisodeError, "pass --setting shots=1,shots=3"),
        (Shapes(examples=0), ["shots=1"], 5, EpisodeError, "'shapes' has none among 2 questions"),
    ],
)
def test_samples_that_do_not_exist(
    data: Shapes, settings: list[str], limit: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        VqaTask().samples(data, settings, 0, limit)


def test_manifests_are_saved_and_narrowed(tmp_path: Path) -> None:
    task, data, path = VqaTask(), Shapes(), tmp_path / "episodes.json"
    manifest = task.samples(data, ["shots=1", "shots=3"], 0, 6)
    manifest.save(path)
    assert task.saved(path, data, None, None) == manifest
    assert task.saved(path, data, ["shots=3"], 4) == task.samples(data, ["shots=3"], 0, 4)
    with pytest.raises(TaskInputError, match="6 samples of each setting, got --limit 7"):
        task.saved(path, data, None, 7)
    other = Shapes()
    other.fingerprint = "6" * 64  # type: ignore[misc]
    with pytest.raises(ManifestError, match="sampled from 'shapes' with fingerprint 555555555555"):
        task.saved(path, other, None, None)
    path.write_text(path.read_text().replace('"red"', '"rad"'))
    with pytest.raises(ManifestError, match=r"does not match its fingerprint|classes must differ"):
        SampleManifest[VqaSample].load(path)


def test_text_only_baseline() -> None:
    def asked(type_: str, question: str, answer: str) -> VqaSample:
        shown = [ShownAnswer(image="p", question="q", answer="a")]
        return make_sample(
            "0" * 64, id="x", setting="shots=1", index=0, question_type=type_, support=shown, query="q",
            question=question, accepted=(answer,), classes=(),
        )  # fmt: skip

    colours = [asked("colour", "c?", answer) for answer in ("red", "Red", "blue")]
    sides = [asked("", "On which side?", answer) for answer in ("left", "right")]
    assert (question_type(colours[0]), question_type(sides[0])) == ("colour", "on which")
    assert text_only_accuracy([*colours, *sides]) == pytest.approx((2 + 1) / 5)
