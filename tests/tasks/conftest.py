"""Toy image sets and episodes for the tests of the tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from llm_backends.protocol import Choice, Completion, Failure, Reply, Request
from spae.data.protocol import ClassImages
from spae.tokens import ImageTokens
from tasks.fewshot.episodes import Episode
from tasks.protocol import Outcome, Sample, Task


@dataclass
class ToySet:
    """An image set of names only: sampling episodes opens no image."""

    classes: tuple[ClassImages, ...]
    name: str = "toys"
    title: str = "toys"
    embedded: bool = True
    fingerprint: str = "0" * 64

    def image(self, image_id: str) -> np.ndarray:
        raise AssertionError(f"episodes must be sampled without opening {image_id}")


class Words:
    """A codec of given texts by image id."""

    layers = (1, 2)
    vocabulary: tuple[str, ...] = ()

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def text(self, image_id: str) -> str:
        return self._texts[image_id]

    def encode(self, image_ids: Sequence[str]) -> list[ImageTokens]:
        raise NotImplementedError

    def decode(self, tokens: Sequence[ImageTokens]) -> list[np.ndarray]:
        raise NotImplementedError

    def prepare(self, image_ids: Sequence[str]) -> None:
        pass


def solved(task: Task, sample: Sample, texts: Mapping[str, str], reply: Reply | Failure) -> tuple[Request, Outcome]:
    """The one request of a sample, and its outcome for a reply."""
    solution = task.solve(sample, Words(texts))
    (request,) = next(solution)
    with pytest.raises(StopIteration) as end:
        solution.send((reply,))
    return request, end.value.value


def text_reply(text: str) -> Completion:
    return Completion(choices=(Choice(text=text, finish="stop"),))


MakeSet = Callable[..., ToySet]
MakeEpisode = Callable[..., Episode]


@pytest.fixture
def make_set() -> MakeSet:
    """make_set(classes=8, images=6, apart=True): support and query apart (styles), or the same ids (a folder)."""

    def make(classes: int = 8, images: int = 6, apart: bool = True) -> ToySet:
        made = []
        for c in range(classes):
            support = tuple(f"style{p}/{c:02d}" for p in range(images))
            made.append(ClassImages(f"thing {c:02d}", support, (f"held-out/{c:02d}",) if apart else support))
        return ToySet(tuple(made))

    return make


@pytest.fixture
def make_episode() -> MakeEpisode:
    """make_episode(classes, setting, shots, answer): images are <first letter><number>, the query is `q`."""

    def make(classes: tuple[str, ...], setting: str, shots: int, answer: str | None = None) -> Episode:
        support = tuple((f"{name[0]}{shot + 1}", name) for shot in range(shots) for name in classes)
        return Episode(
            id=f"toy-{setting}",
            setting=setting,
            images=(*(image for image, _ in support), "q"),
            target=classes[0] if answer is None else answer,
            fingerprint="-",
            index=0,
            classes=classes,
            support=support,
            query="q",
        )

    return make
