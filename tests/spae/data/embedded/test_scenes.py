"""The embedded scenes: what they hold, that it is true of their pixels, and that it never changes."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.embedded.pictograms import HELD_OUT_STYLE, load_pictograms
from spae.data.embedded.scenes import SceneSet, is_thing, new_scenes, open_scenes
from spae.data.opening import open_set
from spae.data.protocol import ImageSet
from spae.errors import DataError


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    return open_scenes()


def test_is_what_the_tasks_ask_for(scenes: SceneSet) -> None:
    assert isinstance(scenes, AnnotatedSet) and isinstance(scenes, ImageSet)
    assert open_set("scenes") is scenes and scenes.embedded
    assert "not COCO, not VQA" in scenes.title and HELD_OUT_STYLE in scenes.title


def test_the_same_for_ever(scenes: SceneSet) -> None:
    """Pinned: a change of pixels, places or texts is a change of the benchmark, and needs another VERSION."""
    assert scenes.fingerprint == "744fee30cbf7c4725278281fe700de67f77eaa4b8c189d64f001855c3a2fc046"
    pinned = {
        "support/1/0007": "e7d88a4f7a1010df204a6688be8c29227fc9c40eec73ba26c04382099a921f03",
        "support/2/0003": "2e13f9ff90aa1b8317bfad6787d7978a80c56f2d1a266d1e9585d496da20c484",
        "support/3/0100": "a183feb2e1cb9d229ec020befc78ea01ca9a370b5d3403ee6e51925ffe40daca",
        "query/1/0010": "b406c7679e603f50b6a8af38932694a4423c56393edde1ee1e9e2887da8f8f76",
        "query/2/0050": "ab55fe5edf333e5bf53af438939f0acd0a4a4faca23d2af6edf1a23b2b10256a",
        "query/3/0001": "a2a5f35f9acd520d6949929bf65e9b157fd55a7b04084205ec6fe901f74db941",
    }
    assert {name: scenes.image_digest(name) for name in pinned} == pinned


def test_how_many_there_are(scenes: SceneSet) -> None:
    counts = Counter(name.rsplit("/", 1)[0] for name in (*scenes.support, *scenes.query))
    things = len(scenes.classes)
    assert counts == {
        "support/1": 6 * things, "query/1": 2 * things, "support/2": 240, "support/3": 240, "query/2": 120,
        "query/3": 120,
    }  # fmt: skip
    assert set(scenes.annotations) == {*scenes.support, *scenes.query}
    assert all(len(one.support) == 6 and len(one.query) == 2 for one in scenes.classes)


def test_styles_and_concepts_are_split_as_the_pictograms_are(scenes: SceneSet) -> None:
    pictograms = load_pictograms()
    held_out = pictograms.styles.index(HELD_OUT_STYLE)
    for data, unseen in ((scenes, False), (new_scenes(), True)):
        for name, parts in data._scenes.items():
            for part in parts:
                assert (pictograms.style[part.row] == held_out) == name.startswith("query/")
                assert pictograms.concepts[pictograms.concept[part.row]].held_out == unseen
    assert not {one.name for one in scenes.classes} & {one.name for one in new_scenes().classes}


def test_answers_are_true_of_the_pixels(scenes: SceneSet) -> None:
    """The number of things, and where they stand, from the painted pixels alone."""
    seen: dict[str, set[str]] = defaultdict(set)
    for name in [*scenes.query[::7], *scenes.support[::23]]:
        painted = (scenes.image(name).min(2) < 250).nonzero()
        assert len(painted[0]) > 20, name
        answers = {question.text: question.answers[0] for question in scenes.annotations[name].questions}
        assert answers["How many things are there?"] == ["one", "two", "three"][int(name.split("/")[1]) - 1]
        side = answers.get("On which side is it?")
        if side is not None:
            centre = (painted[1].min() + painted[1].max()) / 2
            assert (centre < 32) == (side == "left"), name
        for question in scenes.annotations[name].questions:
            seen[question.question_type].add(question.answers[0])
    assert len(seen["what"]) > 50 and seen["side"] == {"left", "right"} and len(seen["colour"]) > 4


def test_five_different_captions_that_name_every_thing(scenes: SceneSet) -> None:
    for name, said in scenes.annotations.items():
        assert len(set(said.captions)) == 5, name
        for part in scenes._scenes[name]:
            assert all(scenes._name(part) in caption for caption in said.captions)
        assert all(caption[0].isupper() and caption.endswith(".") for caption in said.captions)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lion", True), ("bus", True), ("dress", True), ("grapes", False), ("king crab", False), ("fog", False)],
)
def test_things(name: str, expected: bool) -> None:
    assert is_thing(name) == expected


def test_images(scenes: SceneSet) -> None:
    image = scenes.image(scenes.query[0])
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    with pytest.raises(DataError, match=r"scenes has no scene '\.\./x'"):
        scenes.image("../x")
    with pytest.raises(DataError, match="has no scene"):
        scenes.image_digest("query/1/9999")
