"""A published few-shot archive as labelled images, with the episodes that it was published with.

Its episodes are not sampled: they are its questions, in their order. An image's class is what its caption names:
"This is a lion.", "a lion" and "lion" are one class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from spae.data.archives.few_shot import ArchiveQuestion, FewShotArchive, named_class
from spae.data.archives.file_tree import FileTree
from spae.data.class_names import class_words, names_beside
from spae.data.issues import DataIssue, Report
from spae.data.protocol import ClassImages, FixedEpisode
from spae.errors import DataError


class ArchiveSet:
    """The classification questions of `open_ended_mi` or `real_name_mi`.

    Args:
        path: the .tar.gz, or the folder it was unpacked to.
        name: how the user called it; None takes the path as given.
        classes: a file of names, for captions that are WordNet ids; None takes the one beside the data, if any.
        tree: the files at the path, where they are indexed already.

    Raises:
        DataError: it is no published archive, or a question in it is broken.
    """

    embedded = False

    def __init__(
        self, path: Path, name: str | None = None, classes: Path | None = None, tree: FileTree | None = None
    ) -> None:
        archive = FewShotArchive(path, name, tree)
        self._archive = archive
        self.name = archive.name
        found = {
            (shots, ways): list(
                labelled(archive.questions(shots, ways), archive.files[shots, ways], shots, ways, archive.raise_issue)
            )
            for shots, ways in archive.files
        }
        labels = {label for episodes in found.values() for one in episodes for _, label in one.support}
        home = path if path.is_dir() else path.parent
        words = class_words(sorted(labels), names_beside(classes, home), home)
        self._episodes = {key: tuple(_renamed(one, words) for one in episodes) for key, episodes in found.items()}
        self.classes = _classes(self._episodes.values())
        count = sum(len(episodes) for episodes in self._episodes.values())
        self.title = f"{path.name}: {archive.task}, a published few-shot archive of {count:,} questions"
        self.fingerprint = archive.fingerprint

    def episodes(self, shots: int, ways: int) -> tuple[FixedEpisode, ...]:
        """The questions of so many shots and ways. Raises DataError, naming those there are, where it has none."""
        self._archive.questions(shots, ways)
        return self._episodes[shots, ways]

    @property
    def kinds(self) -> tuple[tuple[int, int], ...]:
        """The (shots, ways) that it has questions of."""
        return tuple(self._episodes)

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        return self._archive.image(image_id)


def labelled(
    questions: tuple[ArchiveQuestion, ...], file: str, shots: int, ways: int, report: Report
) -> Iterator[FixedEpisode]:
    """Questions as episodes: examples class by class in turn (c1,c2,..,c1,c2,..), classes in order of appearance.

    Args:
        questions: of one file.
        file: its name, for messages.
        shots, ways: as the file's name says.
        report: called for each question that does not fit; it is left out.
    """
    for number, one in enumerate(questions):
        shown: dict[str, list[str]] = defaultdict(list)
        for image, caption in zip(one.images, one.captions, strict=True):
            shown[named_class(caption)].append(image)
        counts = {label: len(images) for label, images in shown.items()}
        answer = named_class(one.answer)
        if len(shown) != ways or set(counts.values()) != {shots}:
            seen = ", ".join(f"{count} of {label!r}" for label, count in counts.items())
            message = f"captions must name {ways} classes {shots} times each, got {seen}: correct them"
            report(DataIssue(file, f"question {one.id}", message))
        elif answer not in shown:
            message = f"the answer must be one of the classes {', '.join(map(repr, shown))}, got {answer!r}: correct it"
            report(DataIssue(file, f"question {one.id} ([{number}]).answer", message))
        else:
            support = tuple((shown[label][shot], label) for shot in range(shots) for label in shown)
            yield FixedEpisode(one.id, tuple(shown), support, one.query, answer)


def _renamed(one: FixedEpisode, words: dict[str, str]) -> FixedEpisode:
    support = tuple((image, words[label]) for image, label in one.support)
    return FixedEpisode(one.id, tuple(words[label] for label in one.classes), support, one.query, words[one.answer])


def _classes(files: Iterable[tuple[FixedEpisode, ...]]) -> tuple[ClassImages, ...]:
    support: dict[str, set[str]] = defaultdict(set)
    query: dict[str, set[str]] = defaultdict(set)
    for episodes in files:
        for one in episodes:
            query[one.answer].add(one.query)
            for image, label in one.support:
                support[label].add(image)
    if len(support) < 2:
        raise DataError("an archive must name two classes or more: download it again")
    return tuple(
        ClassImages(name, tuple(sorted(support[name])), tuple(sorted(query[name]))) for name in sorted(support)
    )
