"""Episodes that are published with their data, and manifests read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from spae.data.protocol import ClassImages, FixedEpisode
from tasks.errors import EpisodeError, ManifestError, TaskInputError
from tasks.fewshot.archive_episodes import published_episodes
from tasks.fewshot.episodes import Manifest
from tasks.fewshot.task import five_way, two_way
from tasks.protocol import ReadsSamples


def fixed(shots: int, number: int) -> FixedEpisode:
    """Question `number` of so many shots; the second class is right."""
    support = tuple((f"s{shots}-q{number}-{c}-{s}", c) for s in range(shots) for c in ("ant", "antelope"))
    return FixedEpisode(str(number), ("ant", "antelope"), support, f"s{shots}-q{number}-query", "antelope")


@dataclass
class PublishedSet:
    """1-shot and 3-shot, 2-way: 5 and 4 questions."""

    name: str = "published"
    title: str = "published"
    embedded: bool = False
    fingerprint: str = "1" * 64
    kinds: tuple[tuple[int, int], ...] = ((1, 2), (3, 2))

    @property
    def classes(self) -> tuple[ClassImages, ...]:
        asked = [one for shots, ways in self.kinds for one in self.episodes(shots, ways)]
        shown = {name: [p for one in asked for p, c in one.support if c == name] for name in ("ant", "antelope")}
        queries = tuple(one.query for one in asked)
        return tuple(ClassImages(name, tuple(shown[name]), queries) for name in shown)

    def episodes(self, shots: int, ways: int) -> tuple[FixedEpisode, ...]:
        assert (shots, ways) in self.kinds
        return tuple(fixed(shots, number) for number in range(5 if shots == 1 else 4))

    def image(self, image_id: str) -> np.ndarray:
        raise AssertionError


def test_they_are_taken_in_order_whatever_the_seed() -> None:
    data = PublishedSet()
    task = two_way()
    manifest = task.samples(data, ("i1-s1-r0", "i1-s1-r5"), seed=7, limit=3)
    episodes = manifest.of("i1-s1-r5")
    assert [one.query for one in episodes] == ["s1-q0-query", "s1-q1-query", "s1-q2-query"]
    assert [one.support for one in episodes] == [one.support for one in manifest.of("i1-s1-r0")]
    assert episodes == task.samples(data, ("i1-s1-r5",), seed=8, limit=3).of("i1-s1-r5")
    assert len({one.id for one in manifest.episodes}) == 6


def test_the_manifest_never_changes() -> None:
    manifest = two_way().samples(PublishedSet(), ("i1-s1-r0", "i1-s3-r0"), seed=0, limit=3)
    assert manifest.fingerprint == "eb124cdbad64b5a48f40d39ec63596d5987554993d52c237e0d318cab20be853"


def test_of_fewer_questions_than_asked_every_setting_gets_as_many() -> None:
    manifest = two_way().samples(PublishedSet(), ("i1-s1-r0", "i1-s3-r0"), seed=0, limit=200)
    assert manifest.limit == 4 == len(manifest.of("i1-s1-r0")) == len(manifest.of("i1-s3-r0"))


def test_settings_that_it_lacks_name_those_it_has() -> None:
    data = PublishedSet()
    able = "i0-s1-r0,i1-s1-r0,i1-s3-r0,i1-s1-r1,i1-s1-r3,i1-s1-r5"
    has = "no questions of 5 shots and 2 ways, it has 1-shot 2-way, 3-shot 2-way"
    with pytest.raises(EpisodeError, match=f"{has}: pass --setting {able}$"):
        two_way().samples(data, ("i1-s5-r0",), 0, 1)
    with pytest.raises(EpisodeError, match=r"of 1 shots and 5 ways.*run the task of these ways"):
        five_way().samples(data, ("i1-s1-r0",), 0, 1)
    with pytest.raises(TaskInputError, match="limit must be at least 1"):
        published_episodes("t", data, data, 2, ("i1-s1-r0",), 0, 0)


def test_a_saved_manifest_is_the_same_again(tmp_path: Path, make_set) -> None:
    task, data = two_way(), make_set()
    assert isinstance(task, ReadsSamples)
    sampled = task.samples(data, ("i1-s1-r0", "i1-s3-r0"), 3, 10)
    sampled.save(tmp_path / "m.json")
    assert task.saved(tmp_path / "m.json", data, None, None) == sampled
    # A part of it is what a draw of that part gives, to the hash.
    assert task.saved(tmp_path / "m.json", data, ("i1-s3-r0",), 4) == task.samples(data, ("i1-s3-r0",), 3, 4)
    with pytest.raises(TaskInputError, match="has 10 samples of each setting, got --limit 11"):
        task.saved(tmp_path / "m.json", data, None, 11)
    with pytest.raises(TaskInputError, match="got 'i1-s5-r0'"):
        task.saved(tmp_path / "m.json", data, ("i1-s5-r0",), None)


def test_a_manifest_must_fit_task_data_and_its_own_hash(tmp_path: Path, make_set) -> None:
    task, data = two_way(), make_set()
    path = tmp_path / "m.json"
    task.samples(data, ("i1-s1-r0",), 0, 10).save(path)
    with pytest.raises(ManifestError, match="is of miniimagenet-2way, not of miniimagenet-5way"):
        five_way().saved(path, data, None, None)
    with pytest.raises(ManifestError, match=r"every image of a manifest must be in the data, 'toys' lacks \d+, '"):
        task.saved(path, make_set(classes=4), None, None)
    other = make_set()
    other.fingerprint = "2" * 64
    with pytest.raises(ManifestError, match="fingerprint 000000000000, 'toys' has 222222222222"):
        task.saved(path, other, None, None)
    content = json.loads(path.read_text())
    content["episodes"][0]["query"], content["episodes"][1]["query"] = (
        content["episodes"][1]["query"],
        content["episodes"][0]["query"],
    )
    path.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=r"m\.json is broken"):
        task.saved(path, data, None, None)
    with pytest.raises(ManifestError, match="cannot be read"):
        Manifest.load(tmp_path / "gone.json")
