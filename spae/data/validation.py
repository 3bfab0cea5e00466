"""Data read whole for `python -m benchmarks validate`: one survey for each format that `spae.data.opening` opens.

Opening data stops at its first issue, for no run may begin on broken data. A survey reads the same data by the same
rules, stops at none and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.image_file import read_image
from spae.data.issues import DataIssue, decoded, decoded_files, reported
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
from spae.errors import DataError

Issues = Iterator[DataIssue | None]
TITLES: dict[Kind, str] = {
    "folder": "folder of class folders",
    "csv": "csv of file names and labels",
    "shards": "WebDataset shards",
    "hub": "split of a Hugging Face data set",
}


@dataclass
class FormatSurvey:
    """A `Survey` of data of one format.

    Attributes:
        title: what was found at the path.
        read: reads everything once; yields each issue, and a None for each thing read.
        open_set: opens the data once it has been read, to try what a task can sample from it; None: cannot without
            writing.
        total: about how many things are read; 0 for unknown.
        counts: what there is, by name; complete once `read` has ended.
    """

    title: str
    read: Callable[[FormatSurvey], Issues]
    open_set: Callable[[], ImageSet | AnnotatedSet] | None = None
    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def issues(self) -> Issues:
        """See `Survey.issues`."""
        return self.read(self)

    def opened(self) -> ImageSet | AnnotatedSet | None:
        """The set; None where opening it would write. Raises DataError."""
        return None if self.open_set is None else self.open_set()

    def count(self, **found: int) -> None:
        """Adds to `counts`; underscores stand for spaces."""
        for name, number in found.items():
            shown = name.replace("_", " ")
            self.counts[shown] = self.counts.get(shown, 0) + number


def survey_labelled(text: str) -> FormatSurvey:
    """Labelled images: an embedded set, class folders, a csv, a few-shot archive or a Hugging Face data set.

    Raises:
        DataError, InputError, UnknownName: there is nothing of that name to read.
    """
    if text in SETS:
        return _survey_open(open_set(text))
    if not text.startswith(SCHEMES) and not Path(text.partition("?")[0]).exists():
        open_set(text)  # raises, and names what there is
    kind, spec = kind_of(text)
    return _survey_archive(spec) if kind == "archive" else _survey_samples(kind, spec)


def survey_captions(text: str) -> FormatSurvey:
    """Images with captions. Raises DataError where there is nothing to read."""
    if text in SETS:
        return _survey_annotated(open_captions(text))
    from spae.data.annotations.coco_captions import CaptionFile, CocoCaptions, caption_files

    files = caption_files(Path(text))

    def read(survey: FormatSurvey) -> Issues:
        for path in files:
            source = CaptionFile(path)
            yield from source.issues()
            survey.count(images=len(source.captions), captions=sum(map(len, source.captions.values())))
            for name, file in source.files.items():
                yield from decoded(name, lambda name=name, file=file: read_image(file, name))  # type: ignore[misc]

    title = f"COCO captions: {', '.join(file.name for file in files)}"
    return FormatSurvey(title, read, lambda: CocoCaptions(*files, name=text))


def survey_coco_qa(text: str) -> FormatSurvey:
    """COCO-QA's questions and images. Raises DataError where there is nothing to read."""
    if text in SETS:
        return _survey_annotated(open_coco_qa(text))
    from spae.data.annotations.coco_qa import CocoQaSet, QuestionFile, question_files

    files = question_files(Path(text))

    def read(survey: FormatSurvey) -> Issues:
        for path in files:
            source = QuestionFile(path)
            yield from source.issues()
            survey.count(questions=sum(map(len, source.questions.values())), images=len(source.files))
            for name, file in source.files.items():
                yield from decoded(name, lambda name=name, file=file: read_image(file, name))  # type: ignore[misc]

    title = f"COCO-QA questions: {', '.join(file.name for file in files)}"
    return FormatSurvey(title, read, lambda: CocoQaSet(*files, name=text))


def survey_vqa(text: str) -> FormatSurvey:
    """A published archive as questions about images. Raises DataError where there is nothing to read."""
    if text in SETS:
        return _survey_annotated(open_vqa(text))
    from spae.data.archives.few_shot import questions_files, read_questions
    from spae.data.archives.folder_tree import tree_at
    from spae.data.archives.vqa import WAYS, vqa_question

    tree = tree_at(Path(text))

    def read(survey: FormatSurvey) -> Issues:
        for _ in tree.index(keep=False):
            yield None
        yield from tree.issues
        try:
            task, files = questions_files(tree)
        except DataError as error:
            yield DataIssue(".", "", str(error))
            return
        survey.title += f" ({task})"
        chosen = [file for (_, ways), file in files.items() if ways == WAYS]
        if not chosen:
            listed = ", ".join(files.values())
            yield DataIssue(".", "", f"has no questions of {WAYS} ways, only {listed}: get a VQA archive")
        used: set[str] = set()
        found: list[DataIssue] = []
        survey.count(questions=0, images=0)
        for file in chosen:
            whole = 0
            for one in read_questions(tree, file, found.append):
                question = None if one is None else vqa_question(one, file, found.append)
                yield from found
                found.clear()
                if one is not None and question is not None:
                    used.update((*one.images, one.query))
                    whole += 1
                yield None
            yield from found
            found.clear()
            if not whole:
                yield DataIssue(file, "", "holds no complete question: download the archive again")
            survey.count(questions=whole)
        for issue in decoded_files(tree.read, sorted(used)):
            survey.count(images=issue is None)
            yield issue

    return FormatSurvey("published few-shot archive, as questions", read)


def _survey_open(data: ImageSet) -> FormatSurvey:
    """A set that is open already: only an image can still be broken."""
    ids = sorted({one for group in data.classes for one in (*group.support, *group.query)})

    def read(survey: FormatSurvey) -> Issues:
        survey.count(classes=len(data.classes), images=len(ids))
        for one in ids:
            yield from decoded(one, lambda one=one: data.image(one))  # type: ignore[misc]

    return FormatSurvey(data.title, read, lambda: data, len(ids))


def _survey_annotated(data: AnnotatedSet) -> FormatSurvey:
    """An annotated set that is open already: only an image can still be broken."""
    said = data.annotations

    def read(survey: FormatSurvey) -> Issues:
        found = {
            "images": len(said),
            "captions": sum(len(one.captions) for one in said.values()),
            "questions": sum(len(one.questions) for one in said.values()),
        }
        survey.count(**{name: number for name, number in found.items() if number})
        for image in sorted(said):
            yield from decoded(image, lambda image=image: data.image(image))  # type: ignore[misc]

    return FormatSurvey(data.title, read, lambda: data, len(said))


def _survey_samples(kind: Kind, spec: DataSpec) -> FormatSurvey:
    """Class folders, a csv, shards, or one split of a Hugging Face data set."""
    from spae.data.datasets.sample_set import SampleSet, set_words

    classes = spec.path("classes")

    def read(survey: FormatSurvey) -> Issues:
        found: list[DataIssue] = []
        samples = read_samples(kind, spec, found.append)
        set_words(samples, classes, found.append)
        yield from found
        yield from (DataIssue(name, "", reason) for name, reason in samples.bad.items())
        survey.total = len(samples)
        survey.count(classes=len(samples.used_labels), images=survey.total)
        for number in range(survey.total):
            name = samples.name(number)
            yield from decoded(name, lambda i=number, name=name: read_image(samples.content(i), name))  # type: ignore[misc]

    return FormatSurvey(TITLES[kind], read, lambda: SampleSet(read_samples(kind, spec), spec.text, classes))


def _survey_archive(spec: DataSpec) -> FormatSurvey:
    """Names, questions files, questions and images of an archive whose questions are of classes."""
    from spae.data.archives.archive_set import ArchiveSet, labelled
    from spae.data.archives.few_shot import questions_files, read_questions
    from spae.data.archives.folder_tree import tree_at
    from spae.data.class_names import class_words, names_beside

    path, given = Path(spec.location), spec.path("classes")
    tree = tree_at(path)

    def read(survey: FormatSurvey) -> Issues:
        found: list[DataIssue] = []
        with reported(found.append, "."):
            for _ in tree.index(keep=False):
                yield None
        yield from tree.issues
        files: dict[tuple[int, int], str] = {}
        with reported(found.append, "."):
            _, files = questions_files(tree)
        names: set[str] = set()
        images: set[str] = set()
        questions = 0
        for (shots, ways), file in files.items():
            whole = tuple(one for one in read_questions(tree, file, found.append) if one is not None)
            questions += len(whole)
            images.update(name for one in whole for name in (*one.images, one.query))
            for one in labelled(whole, file, shots, ways, found.append):
                names.update(one.classes)
            yield None
        if names:
            home = path if path.is_dir() else path.parent
            with reported(found.append, str(given) if given else "."):
                class_words(sorted(names), names_beside(given, home), home, found.append)
        yield from found
        survey.count(files_of_questions=len(files), questions=questions, images=len(images), classes=len(names))
        survey.total = len(images)
        yield from decoded_files(tree.read, sorted(images))

    return FormatSurvey("published few-shot archive", read, lambda: ArchiveSet(path, classes=given, tree=tree))
