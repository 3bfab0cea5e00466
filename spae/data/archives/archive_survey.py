"""A published few-shot archive read whole for `validate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from spae.data.archives.archive_set import ArchiveSet, labelled
from spae.data.archives.few_shot import ArchiveQuestion, questions_files, read_questions
from spae.data.archives.file_tree import tree_at
from spae.data.class_words import class_words, names_beside
from spae.data.protocol import FixedEpisode, ImageSet
from spae.data.validation.image_survey import decoded_files
from spae.data.validation.protocol import Fault, Report, told

Labels = Callable[[tuple[ArchiveQuestion, ...], str, int, int, Report], Iterator[FixedEpisode]]


class ArchiveSurvey:
    """Names, questions files, questions and images of an archive. The index is not kept: `validate` writes nothing.

    Args:
        path: the .tar.gz, or the folder it was unpacked to.
        classes: a file of names for captions that are WordNet ids, or None.
        classified: whether captions and answers must name the classes of each question, as in `open_ended_mi` and
            `real_name_mi`; in the archives of questions the answer is none.
    """

    def __init__(self, path: Path, classes: Path | None = None, classified: bool = True) -> None:
        self._path, self._names, self._classified = path, classes, classified
        self.title = "published few-shot archive"
        self.total = 0
        self.counts: dict[str, int] = {}

    def faults(self) -> Iterator[Fault | None]:
        """See `Survey.faults`."""
        self._tree = tree = tree_at(self._path)
        found: list[Fault] = []
        with told(found.append, "."):
            for _ in tree.index(keep=False):
                yield None
        yield from tree.faults
        files: dict[tuple[int, int], str] = {}
        with told(found.append, "."):
            _, files = questions_files(tree)
        names: set[str] = set()
        images: set[str] = set()
        questions = 0
        for (shots, ways), file in files.items():
            read = tuple(one for one in read_questions(tree, file, found.append) if one is not None)
            questions += len(read)
            images.update(name for one in read for name in (*one.images, one.query))
            if self._classified:
                for one in labelled(read, file, shots, ways, found.append):
                    names.update(one.classes)
            yield None
        if self._classified and names:
            home = self._path if self._path.is_dir() else self._path.parent
            with told(found.append, str(self._names) if self._names else "."):
                class_words(sorted(names), names_beside(self._names, home), home, found.append)
        yield from found
        self.counts |= {"files of questions": len(files), "questions": questions, "images": len(images)}
        if self._classified:
            self.counts["classes"] = len(names)
        self.total = len(images)
        yield from decoded_files(tree.read, sorted(images))


class ClassArchiveSurvey(ArchiveSurvey):
    """Of an archive whose questions are of classes."""

    def opened(self) -> ImageSet:
        """The set, on the tree that was read. Raises DataError."""
        return ArchiveSet(self._path, classes=self._names, tree=self._tree)
