"""Data read as a whole for `python -m benchmarks validate`: every issue named, everything counted, nothing written.

Opening data stops at its first issue, for no run may begin on broken data. A survey reads the same data by the same
rules and stops at none.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.annotations.annotation_files import AnnotationFile
from spae.data.archives.few_shot import ArchiveQuestion
from spae.data.image_file import SUFFIXES, read_image
from spae.data.issues import DataIssue, Report, reported
from spae.data.opening import (
    SCHEMES,
    Kind,
    kind_of,
    open_captions,
    open_coco_qa,
    open_set,
    open_vqa,
    read_samples,
)
from spae.data.protocol import ImageSet
from spae.data.registry import SETS
from spae.data.spec import DataSpec

Issues = Iterator[DataIssue | None]
TITLES: dict[Kind, str] = {
    "folder": "folder of class folders",
    "csv": "csv of file names and labels",
    "shards": "WebDataset shards",
    "hub": "split of a Hugging Face data set",
}


@dataclass
class Survey:
    """Data of one format, to be read as a whole.

    Attributes:
        title: what was found at the path.
        read: reads everything once; yields each issue, and a None for each thing read, for the progress bar. Raises
            DataError if there is nothing to read at all.
        opened: opens the data once it has been read without issues, to try what a task can sample from it. Raises
            DataError.
        total: about how many things are read; 0 for unknown.
        counts: what there is, by name ("classes", "images", "captions", "questions"); complete once `read` has ended.
        digests: image id -> hash of its pixels, of those that decoded.
    """

    title: str
    read: Callable[[Survey], Issues]
    opened: Callable[[], ImageSet | AnnotatedSet]
    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)

    def issues(self) -> Issues:
        """Every `DataIssue`, and a None for each thing read. To be called once."""
        return self.read(self)

    def count(self, **found: int) -> None:
        """Adds to `counts`; underscores stand for spaces."""
        for name, number in found.items():
            shown = name.replace("_", " ")
            self.counts[shown] = self.counts.get(shown, 0) + number


def survey_labelled(text: str) -> Survey:
    """Labelled images: an embedded set, or a user's in any format.

    Raises:
        DataError, InputError, UnknownName: there is nothing of that name to read.
    """
    if text in SETS or text.startswith("mnist:"):
        return _survey_open(open_set(text))
    if not text.startswith(SCHEMES) and not Path(text.partition("?")[0]).exists():
        open_set(text)  # raises, and names what there is
    kind, spec = kind_of(text)
    return _survey_class_archive(spec) if kind == "archive" else _survey_samples(kind, spec)


def survey_captions(text: str) -> Survey:
    """Images with captions. Raises DataError if there is nothing to read."""
    if text in SETS:
        return _survey_open(open_captions(text))
    from spae.data.annotations.coco_captions import CaptionFile, CocoCaptions, caption_files

    files = caption_files(Path(text))
    sources = [CaptionFile(file) for file in files]
    return _survey_annotations("COCO captions", sources, lambda: CocoCaptions(*files, name=text))


def survey_coco_qa(text: str) -> Survey:
    """COCO-QA's questions and images. Raises DataError if there is nothing to read."""
    if text in SETS:
        return _survey_open(open_coco_qa(text))
    from spae.data.annotations.coco_qa import CocoQaSet, QuestionFile, question_files

    files = question_files(Path(text))
    sources = [QuestionFile(file) for file in files]
    return _survey_annotations("COCO-QA questions", sources, lambda: CocoQaSet(*files, name=text))


def survey_vqa(text: str) -> Survey:
    """A published archive as questions about images. Raises DataError if there is nothing to read."""
    if text in SETS:
        return _survey_open(open_vqa(text))
    from spae.data.archives.vqa import WAYS, VqaArchive, vqa_question

    def check(questions: Sequence[ArchiveQuestion], file: str, kind: tuple[int, int], report: Report) -> int:
        whole = sum(vqa_question(one, file, report) is not None for one in questions)
        if not whole:
            report(DataIssue(file, "", "holds no complete question: download the archive again"))
        return whole

    def chosen(files: Mapping[tuple[int, int], str], report: Report) -> dict[tuple[int, int], str]:
        found = {kind: file for kind, file in files.items() if kind[1] == WAYS}
        if files and not found:
            listed = ", ".join(files.values())
            report(DataIssue(".", "", f"has no questions of {WAYS} ways, only {listed}: pass a VQA archive"))
        return found

    return _survey_archive(Path(text), chosen, check, partial(VqaArchive, Path(text), text))


def _survey_open(data: ImageSet | AnnotatedSet) -> Survey:
    """A set that is open already: only an image can still be broken."""
    said = data.annotations if isinstance(data, AnnotatedSet) else {}
    ids = sorted(said or {one for group in data.classes for one in (*group.support, *group.query)})

    def read(survey: Survey) -> Issues:
        found = {
            "classes": len(data.classes),
            "images": len(ids),
            "captions": sum(len(one.captions) for one in said.values()),
            "questions": sum(len(one.questions) for one in said.values()),
        }
        survey.count(**{name: number for name, number in found.items() if number})
        for one in ids:
            yield from _decoded(survey, one, lambda one=one: data.image(one))  # type: ignore[misc]

    return Survey(data.title, read, lambda: data, len(ids))


def _survey_samples(kind: Kind, spec: DataSpec) -> Survey:
    """Class folders, a csv, shards, or one split of a Hugging Face data set."""
    from spae.data.datasets.sample_set import SampleSet, set_words

    classes = spec.path("classes")

    def read(survey: Survey) -> Issues:
        found: list[DataIssue] = []
        samples = read_samples(kind, spec, found.append)
        set_words(samples, classes, found.append)
        yield from found
        yield from (DataIssue(name, "", reason) for name, reason in samples.bad.items())
        survey.total = len(samples)
        survey.count(classes=len(samples.used_labels), images=survey.total)
        survey.title += samples.passed_note
        for number in range(survey.total):
            name = samples.name(number)
            yield from _decoded(survey, name, lambda i=number, name=name: read_image(samples.content(i), name))  # type: ignore[misc]

    return Survey(TITLES[kind], read, lambda: SampleSet(read_samples(kind, spec), spec.text, classes))


def _survey_annotations(title: str, files: Sequence[AnnotationFile], opened: Callable[[], AnnotatedSet]) -> Survey:
    """Files of captions or questions, and the images that they name."""

    def read(survey: Survey) -> Issues:
        for source in files:
            yield from source.issues()
            survey.count(**source.counts())
            for name, file in source.files.items():
                yield from _decoded(survey, name, lambda name=name, file=file: read_image(file, name))  # type: ignore[misc]

    return Survey(f"{title}: {', '.join(one.path.name for one in files)}", read, opened)


def _survey_class_archive(spec: DataSpec) -> Survey:
    """An archive whose questions are of classes."""
    from spae.data.archives.archive_set import ArchiveSet, labelled
    from spae.data.class_names import class_words, names_beside

    path, given = Path(spec.location), spec.path("classes")
    home = path if path.is_dir() else path.parent
    names: set[str] = set()

    def check(questions: Sequence[ArchiveQuestion], file: str, kind: tuple[int, int], report: Report) -> int:
        for one in labelled(tuple(questions), file, *kind, report):
            names.update(one.classes)
        return len(questions)

    def finish(survey: Survey, report: Report) -> None:
        survey.count(classes=len(names))
        if names:
            with reported(report, str(given) if given else "."):
                class_words(sorted(names), names_beside(given, home), home, report)

    return _survey_archive(
        path, lambda files, _: files, check, lambda tree: ArchiveSet(path, None, given, tree), finish
    )


def _survey_archive(
    path: Path,
    chosen: Callable[[dict[tuple[int, int], str], Report], dict[tuple[int, int], str]],
    check: Callable[[Sequence[ArchiveQuestion], str, tuple[int, int], Report], int],
    opened: Callable[[Any], ImageSet | AnnotatedSet],
    finish: Callable[[Survey, Report], None] | None = None,
) -> Survey:
    """Names, questions and images of a published few-shot archive. Its index is not kept: nothing is written.

    Args:
        path: the archive or its folder.
        chosen: picks the questions files to read from all, by (shots, ways).
        check: reports the issues of the questions of one file; returns how many can be used.
        opened: makes the set of the indexed tree.
        finish: reports what is known once all questions are read.
    """
    from spae.data.archives.few_shot import packed_folder, questions_files, read_questions
    from spae.data.archives.folder_tree import tree_at

    tree = tree_at(path)

    def read(survey: Survey) -> Issues:
        found: list[DataIssue] = []
        with reported(found.append, "."):
            for _ in tree.index(keep=False):
                yield None
        yield from tree.issues
        files: dict[tuple[int, int], str] = {}
        with reported(found.append, "."):
            task, files = questions_files(tree)
            survey.title += f" ({task})"
        images: set[str] = set()
        files = chosen(files, found.append)
        for kind, file in files.items():
            questions = list(read_questions(tree, file, found.append))
            survey.count(questions=check(questions, file, kind, found.append))
            images.update(name for one in questions for name in (*one.images, one.query))
            yield None
        survey.count(files_of_questions=len(files), images=len(images))
        if finish is not None:
            finish(survey, found.append)
        yield from found
        survey.total = len(images)
        for name in sorted(images):
            if PurePosixPath(name).suffix.lower() in SUFFIXES:
                yield from _decoded(survey, name, lambda name=name: read_image(io.BytesIO(tree.read(name)), name))  # type: ignore[misc]
        packed = packed_folder(files.values())
        survey.digests = {name.removeprefix(packed): digest for name, digest in survey.digests.items()}

    return Survey("published few-shot archive", read, lambda: opened(tree))


def _decoded(survey: Survey, name: str, read: Callable[[], np.ndarray]) -> Issues:
    """One image: its issue, if it has one, then None. Notes the digest of its pixels."""
    found: list[DataIssue] = []
    with reported(found.append, name):
        pixels = read()
        survey.digests[name] = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    yield from found
    yield None
