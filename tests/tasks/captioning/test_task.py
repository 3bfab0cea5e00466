"""Captioning: the prompt to the character, sampling, and the score of a reply."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from llm_backends.protocol import Likelihoods
from spae.data.annotations.annotated import Annotations
from spae.data.protocol import ClassImages
from tasks.captioning.task import CaptioningTask, CaptionSample, caption_prompt, sample_captions
from tasks.errors import EpisodeError, ManifestError, TaskInputError
from tasks.manifest import SampleManifest
from tasks.registry import entry, open_task
from tests.tasks.conftest import solved, text_reply

GOLDEN = Path(__file__).parent / "golden"


@dataclass
class Captioned:
    """Images that are names; five captions each."""

    query: tuple[str, ...] = tuple(f"val/{i:02d}" for i in range(15))
    support: tuple[str, ...] = tuple(f"train/{i:02d}" for i in range(12))
    name: str = "toys"
    title: str = "toys"
    embedded: bool = True
    fingerprint: str = "0" * 64
    classes: tuple[ClassImages, ...] = ()
    annotations: dict[str, Annotations] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for image in (*self.query, *self.support):
            self.annotations[image] = Annotations(captions=tuple(f"{image}, caption {i}." for i in range(5)))

    def image(self, image_id: str) -> np.ndarray:
        raise AssertionError(f"samples must be sampled without opening {image_id}")

    def image_digest(self, image_id: str) -> str:
        return f"sha256 of {image_id}"


def sample() -> CaptionSample:
    return CaptionSample(
        id="caption-0", setting="shots=2", images=("a", "b", "q"), target="A lion in the grass.", index=0,
        support=(
            ("a", "A man with a red helmet on a small moped on a dirt road."),
            ("b", "A teapot and two mugs on a table."),
        ),
        references=("A lion in the grass.", "a lion"), digests=("1", "2", "3"), fingerprint="-",
    )  # fmt: skip


TEXTS = {"a": "moped rider road dirt man", "b": "kettle tea pot mug steam", "q": "lion mane cat tiger fur"}


def test_prompt_to_the_character() -> None:
    assert caption_prompt(sample(), TEXTS) == (GOLDEN / "captioning-2.txt").read_text(encoding="utf-8")


def test_the_prompt_of_ten_examples_is_that_of_the_protocol() -> None:
    manifest = sample_captions("coco-captioning", Captioned(), ["shots=10"], seed=0, limit=3)
    one = manifest.samples[0]
    lines = caption_prompt(one, {image: f"words of {image}" for image in one.images}).split("\n")
    assert len(lines) == 1 + 2 * 10 + 2
    assert lines[0] == "Generate a caption sentence based on words describing an image."
    assert lines[1::2] == [f"Q: words of {image}" for image in one.images]
    assert lines[2::2] == [*(f"A: {caption}" for _, caption in one.support), "A:"]


@pytest.mark.parametrize("style", ["gpt", "palm"])
def test_request(style: str) -> None:
    task = CaptioningTask().configured(prompt_style=style, scoring="rouge-l")
    request, _ = solved(task, sample(), TEXTS, text_reply("a lion"))
    assert (request.max_new_tokens, request.stop, request.temperature) == (20, ("\n",), 0)


def test_examples_are_others_and_queries_come_once() -> None:
    same = tuple(f"p/{i:02d}" for i in range(14))
    manifest = sample_captions("coco-captioning", Captioned(query=same, support=same), ["shots=10"], seed=3, limit=100)
    assert len(manifest.samples) == manifest.limit == 14  # all there are
    assert sorted(one.images[-1] for one in manifest.samples) == list(same)
    for one in manifest.samples:
        assert len(set(one.images)) == 11
        assert all(caption.startswith(f"{image}, caption") for image, caption in one.support)
        assert one.references == tuple(f"{one.images[-1]}, caption {i}." for i in range(5))
    assert len({one.images[:-1] for one in manifest.samples}) == 14  # sampled for each


def test_samples_are_fixed_nested_and_paired(tmp_path: Path) -> None:
    few = sample_captions("coco-captioning", Captioned(), ["shots=3", "shots=10"], seed=0, limit=4)
    many = sample_captions("coco-captioning", Captioned(), ["shots=10"], seed=0, limit=9)
    assert few.of("shots=10") == many.of("shots=10")[:4]
    for small, large in zip(few.of("shots=3"), few.of("shots=10"), strict=True):
        assert small.images[-1] == large.images[-1] and small.support == large.support[:3]
    assert sample_captions("coco-captioning", Captioned(), ["shots=10"], seed=1, limit=4).samples[0] != many.samples[0]
    # Fixed for ever: the rule is written in tasks/rng.py and in the task's docstring.
    assert many.fingerprint == "1cf78a06d2bed7fb516e2d1e98e9964323efe4cf3d637d70d7c0d96dc02ccd3b"
    many.save(tmp_path / "m.json")
    assert SampleManifest[CaptionSample].load(tmp_path / "m.json") == many
    edited = json.loads((tmp_path / "m.json").read_text())
    edited["samples"][0]["references"][1] = "another"
    (tmp_path / "m.json").write_text(json.dumps(edited))
    with pytest.raises(ManifestError, match="fingerprint"):
        SampleManifest[CaptionSample].load(tmp_path / "m.json")


def test_sampling_follows_the_rule_of_the_docstring() -> None:
    """The rule written out anew: a shuffle whose numbers are the first eight bytes of sha256("<key>#<i>")."""

    def shuffled(key: str, items: tuple[str, ...], count: int) -> list[str]:
        pool = sorted(items)
        for i in range(count):
            number = int.from_bytes(hashlib.sha256(f"spae-captioning-1/7/{key}#{i}".encode()).digest()[:8], "big")
            other = i + number % (len(pool) - i)
            pool[i], pool[other] = pool[other], pool[i]
        return pool[:count]

    data = Captioned()
    manifest = sample_captions("coco-captioning", data, ["shots=4"], seed=7, limit=5)
    assert [one.images[-1] for one in manifest.samples] == shuffled("queries", data.query, 5)
    for k, one in enumerate(manifest.samples):
        assert list(one.images[:-1]) == shuffled(f"examples/{k}", data.support, 4)
        for image, caption in one.support:
            digest = hashlib.sha256(f"spae-captioning-1/7/caption/{k}/{image}#0".encode()).digest()
            assert caption == f"{image}, caption {int.from_bytes(digest[:8], 'big') % 5}."


@pytest.mark.parametrize(
    ("data", "settings", "limit", "error", "said"),
    [
        (Captioned(), ["shots=13"], 1, EpisodeError, "--setting shots=12"),
        (Captioned(query=()), ["shots=1"], 1, EpisodeError, "has 0 and 12"),
        (Captioned(), ["shots=0"], 1, TaskInputError, "shots=1 to shots=99"),
        (Captioned(), ["i1-s1-r0"], 1, TaskInputError, "unknown setting"),
        (Captioned(), ["shots=1", "shots=1"], 1, TaskInputError, "different"),
        (Captioned(), ["shots=1"], 0, TaskInputError, "at least 1"),
    ],
)
def test_samples_that_do_not_exist(data, settings, limit, error, said) -> None:
    with pytest.raises(error, match=said):
        sample_captions("coco-captioning", data, settings, seed=0, limit=limit)


@pytest.mark.parametrize(
    ("text", "status", "prediction"),
    [
        (" A lion in the grass.", "scored", "A lion in the grass."),
        ("A lion\nQ: more", "scored", "A lion"),
        ("\n\n a lion", "scored", "a lion"),
        (" \n\t", "empty", None),
    ],
)
def test_replies(text: str, status: str, prediction: str | None) -> None:
    _, outcome = solved(CaptioningTask(), sample(), TEXTS, text_reply(text))
    assert (outcome.status, outcome.prediction) == (status, prediction)
    assert outcome.scores == ({} if status == "empty" else {"ROUGE-L": 1.0})


def test_mismatched_scoring_reply_and_texts() -> None:
    task = CaptioningTask()
    with pytest.raises(TaskInputError, match="--scoring rouge-l"):
        task.configured(prompt_style="gpt", scoring="exact")
    with pytest.raises(TaskInputError, match="ask for text"):
        task.score(sample(), Likelihoods(values=(0.0,)))
    with pytest.raises(TaskInputError, match="needs its SPAE string"):
        task.request(sample(), {"a": "x", "b": "y"})


def test_facts_of_the_registry_are_the_tasks() -> None:
    task, facts = open_task("coco-captioning"), entry("coco-captioning")
    assert (task.name, task.metrics[0].name, tuple(task.settings)) == (facts.name, facts.metric, facts.settings)
