"""What a set of labelled images is to the rest of the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class ClassImages:
    """One class of a set.

    Attributes:
        name: the class's text as an LLM is shown it ("golden retriever").
        support: ids of images that may stand in a prompt as examples.
        query: ids of images that may be asked about. Folders give the same ids in both;
            an episode never uses its query as an example.
    """

    name: str
    support: tuple[str, ...]
    query: tuple[str, ...]


def hashed_text(one: ClassImages) -> str:
    """A class as the fingerprints of the embedded sets spell it; never to change, or published manifests are void."""
    return f"ClassPictures(name={one.name!r}, support={one.support!r}, query={one.query!r})"


@dataclass(frozen=True)
class FixedEpisode:
    """A few-shot question that data bring with them.

    Attributes:
        id: unique among those of as many shots and ways.
        classes: names, in the order of the prompt.
        support: (image id, class) of one block of examples, c1,c2,..,c1,c2,..
        query: id of the image that is asked about.
        answer: its class.
    """

    id: str
    classes: tuple[str, ...]
    support: tuple[tuple[str, str], ...]
    query: str
    answer: str


@runtime_checkable
class HoldsEpisodes(Protocol):
    """A `ImageSet` whose episodes are published with it, and so are not sampled.

    Attributes:
        kinds: the (shots, ways) that it has.
    """

    @property
    def kinds(self) -> tuple[tuple[int, int], ...]: ...

    def episodes(self, shots: int, ways: int) -> tuple[FixedEpisode, ...]:
        """In the published order. Raises DataError where it has none of so many shots and ways."""
        ...


@runtime_checkable
class ImageSet(Protocol):
    """Labelled images from which few-shot episodes are sampled.

    Attributes:
        name: as the user named it on the command line.
        title: one line for reports: what the set is and, for embedded data, which published set it does not replace.
        embedded: True where the set ships with this project and stands in for a published one.
        fingerprint: sha256 over ids, classes and image bytes.
        classes: in a fixed order (sorted by name), at least two.
    """

    name: str
    title: str
    embedded: bool
    fingerprint: str
    classes: tuple[ClassImages, ...]

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        ...
