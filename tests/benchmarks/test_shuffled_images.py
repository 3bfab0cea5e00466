"""Shuffled images: the permutation, and a run with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import UsageError
from benchmarks.shuffled_images import shuffle_images
from spae.data.opening import open_set
from spae.data.protocol import ClassImages


class TwoPools:
    """Three classes; examples and queries are different images, as of the pictograms."""

    name, title, embedded, fingerprint = "two pools", "", True, "0" * 64
    classes = tuple(ClassImages(c, tuple(f"s/{c}{i}" for i in range(4)), (f"q/{c}",)) for c in "abc")

    def image(self, image_id: str) -> np.ndarray:
        raise AssertionError(image_id)


def test_each_image_gets_the_words_of_another_of_its_pool() -> None:
    found = shuffle_images(TwoPools(), 0)
    assert sorted(found) == sorted(found.values()) and len(found) == 15
    assert all(name != other and name[0] == other[0] for name, other in found.items())


def test_the_permutation_is_fixed_by_the_seed() -> None:
    def number(draw: int) -> int:
        return int.from_bytes(hashlib.sha256(f"spae-shuffle-1/0/query#{draw}".encode()).digest()[:8], "big")

    left, order = ["q/a", "q/b", "q/c"], []
    for draw in range(3):  # as `Stream.sample` says: the one sampled is swapped with the first of the rest
        place = number(draw) % len(left)
        left[0], left[place] = left[place], left[0]
        order.append(left.pop(0))
    expected = dict(zip(order, [*order[1:], order[0]], strict=True))
    found = shuffle_images(TwoPools(), 0)
    assert {name: other for name, other in found.items() if name[0] == "q"} == expected
    assert found != shuffle_images(TwoPools(), 1)


def test_images_of_a_folder_are_one_pool(photos: Path) -> None:
    data = open_set(str(photos))
    found = shuffle_images(data, 3)
    assert len(found) == 42 and sorted(found.values()) == sorted(found)


def test_a_single_image_cannot_be_shuffled() -> None:
    class One(TwoPools):
        classes = (ClassImages("a", ("s/1", "s/2"), ("q/1",)),)

    with pytest.raises(UsageError, match="needs two query images or more, two pools has one"):
        shuffle_images(One(), 0)


def test_a_run_asks_with_and_without(
    home: Path, photos: Path, tokenizers: dict[str, object], script: Callable[..., str], command: Callable[..., object]
) -> None:
    out = home / "out"
    done = command(
        "run", "--task", "miniimagenet-2way", "--setting", "i1-s1-r0", "--tokenizer", "colours", "--data", photos,
        "--llm", script(), "--scoring", "exact", "--limit", 6, "--shuffle-images", "--out", out,
    )  # fmt: skip
    assert done[0] == 0, done  # type: ignore[index]
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    by = {(r.get("shuffled", False), r["sample_id"]): r for r in records}
    assert len(by) == 12 and {shuffled for shuffled, _ in by} == {False, True}
    permutation = shuffle_images(open_set(str(photos)), 0)
    words = {}
    manifest = json.loads((out / "episodes-miniimagenet-2way.json").read_text())
    for episode in manifest["episodes"]:
        lines = [line for line in by[False, episode["id"]]["prompt"].splitlines() if line.startswith("Input: ")]
        words |= dict(zip(episode["pictures"], lines, strict=True))
    checked = 0
    for episode in manifest["episodes"]:
        shuffled = by[True, episode["id"]]
        plain, lines = by[False, episode["id"]], shuffled["prompt"].splitlines()
        assert [line for line in lines if not line.startswith("Input: ")] == [
            line for line in plain["prompt"].splitlines() if not line.startswith("Input: ")
        ]
        shown = [line for line in lines if line.startswith("Input: ")]
        for image, line in zip(episode["pictures"], shown, strict=True):
            if permutation[image] in words:  # the words of that one are known from another episode
                assert line == words[permutation[image]]
                checked += 1
        assert shuffled["id"] != plain["id"] and shuffled["tokenizer_fingerprint"] == plain["tokenizer_fingerprint"]
        assert shuffled["sample_fingerprint"] == plain["sample_fingerprint"]
    assert checked > 3
    pairs = json.loads((out / "comparisons.json").read_text())
    assert [(one["tokenizer"], one["other"], one["other_shuffled"]) for one in pairs] == [("colours", "colours", True)]
    assert "colours (shuffled)" in (out / "report.html").read_text()
