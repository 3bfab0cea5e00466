"""The published few-shot archives read as questions about images: `guided_vqa` and `fast_vqa`.

Tsimpoukelli et al., arXiv 2106.13884. `guided_vqa` has ImageNet's names and the questions of Visual Genome; `fast_vqa`
has made-up names in both. One object of `guided_vqa_shots_1_ways_2_all_questions.json`:

    {"question_id": 7, "image_1": "..._id_7_image_1.jpg", "caption_1": "This is a fork.", "image_2": "...", "caption_2":
     "This is a lion.", "question_image": "..._id_7_question.jpg", "question": "Where is the fork?", "answer": "table"}

An example of these archives has a caption and no question, while the prompt of arXiv 2306.17842 has a question and an
answer for each. The paper does not specify the conversion. Our reading: such an
example is asked "What is this?" and answered by the name in its caption: without "This is a" and the full stop, since
answers are to be one word. Where a file has `question_1` and `answer_1`, these stand as they are.

The reading of the archive itself, folder or .tar.gz, is `spae.data.archives.few_shot`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spae.data.annotations.annotated import Annotations, Question
from spae.data.archives.few_shot import ArchiveQuestion, FewShotArchive, named_class
from spae.data.archives.file_tree import FileTree
from spae.data.issues import DataIssue, Report
from spae.data.protocol import ClassImages
from spae.errors import DataError

WAYS = 2
"""Classes among the examples; the published questions have two."""
NAME_QUESTION = "What is this?"


@dataclass(frozen=True)
class ShownQuestion:
    """One example: an image, a question about it, and its answer."""

    image: str
    question: str
    answer: str


@dataclass(frozen=True)
class VqaQuestion:
    """One question of an archive.

    Attributes:
        id: `question_id` as text, unique in its file.
        support: the examples, in the file's order.
        query: id of the image of the question.
        question: about it.
        answer: the right one, as it stands.
    """

    id: str
    support: tuple[ShownQuestion, ...]
    query: str
    question: str
    answer: str


class VqaArchive:
    """An archive of questions, as an `AnnotatedSet` whose questions come with their examples.

    Args:
        path: the .tar.gz, the .tar, or the folder it was unpacked to.
        name: as the user named it; None takes the path as given.
        tree: the files at the path, if they are indexed already.

    Attributes:
        shots: the numbers of examples of each class for which there are questions, ascending.

    Raises:
        DataError: no archive, or one of its questions is broken; the message names file and field.
    """

    embedded = False
    classes: tuple[ClassImages, ...] = ()

    def __init__(self, path: Path, name: str | None = None, tree: FileTree | None = None) -> None:
        self._archive = FewShotArchive(path, name, tree)
        self.name = self._archive.name
        self.shots = tuple(sorted(shots for shots, ways in self._archive.files if ways == WAYS))
        if not self.shots:
            there = ", ".join(self._archive.files.values())
            raise DataError(f"{self.name} has no questions of {WAYS} ways, only {there}: give a VQA archive")
        self._questions = {shots: self._read(shots) for shots in self.shots}
        every = [question for questions in self._questions.values() for question in questions]
        self.support = tuple(sorted({shown.image for question in every for shown in question.support}))
        self.query = tuple(sorted({question.query for question in every}))
        self.annotations: Mapping[str, Annotations] = self._annotate()
        self.title = f"{self._archive.task}: {len(every)} questions, published few-shot archive"
        self.fingerprint = self._archive.fingerprint

    def questions(self, shots: int) -> tuple[VqaQuestion, ...]:
        """The questions with so many examples of each class, in the file's order.

        Raises:
            DataError: the archive has none; the message names what it has.
        """
        if shots not in self._questions:
            there = ", ".join(map(str, self.shots))
            raise DataError(f"{self.name} has questions of {there} shots, got {shots}: pass --setting shots={there}")
        return self._questions[shots]

    def _read(self, shots: int) -> tuple[VqaQuestion, ...]:
        file = self._archive.files[shots, WAYS]
        found = (vqa_question(one, file, self._archive.raise_issue) for one in self._archive.questions(shots, WAYS))
        return tuple(question for question in found if question is not None)

    def _annotate(self) -> dict[str, Annotations]:
        asked: dict[str, dict[str, Question]] = {name: {} for name in (*self.support, *self.query)}
        for shots, questions in self._questions.items():
            for one in questions:
                pairs = [(shown.image, shown.question, shown.answer) for shown in one.support]
                for image, text, answer in [*pairs, (one.query, one.question, one.answer)]:
                    identity = f"{shots}/{one.id}/{image}"
                    asked[image].setdefault(text, Question(identity, text, (answer,)))
        return {name: Annotations(questions=tuple(by_text.values())) for name, by_text in asked.items()}

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        return self._archive.image(image_id)

    def image_digest(self, image_id: str) -> str:
        """sha256 of the file. Raises DataError for an unknown id."""
        return self._archive.image_digest(image_id)


def vqa_question(one: ArchiveQuestion, file: str, report: Report) -> VqaQuestion | None:
    """The question with a question and an answer to each example; None where something is missing.

    Args:
        one: as the archive has it.
        file: its questions file, for the report.
        report: called with every issue.
    """
    before: list[DataIssue] = []
    if not one.question:
        before.append(_issue(one, file, "question", "must be text, got nothing: complete it or remove the question"))
    support = []
    for number, image in enumerate(one.images, start=1):
        asked = {key: " ".join(one.texts.get(f"{key}_{number}", "").split()) for key in ("question", "answer")}
        given = [key for key, text in asked.items() if text]
        if len(given) == 1:
            missing = "answer" if given == ["question"] else "question"
            before.append(
                _issue(one, file, f"{missing}_{number}", f"must be there, as {given[0]}_{number} is: complete it")
            )
        elif given:
            support.append(ShownQuestion(image, asked["question"], asked["answer"]))
        else:
            support.append(ShownQuestion(image, NAME_QUESTION, named_class(one.captions[number - 1])))
    for issue in before:
        report(issue)
    return None if before else VqaQuestion(one.id, tuple(support), one.query, one.question, one.answer)


def _issue(one: ArchiveQuestion, file: str, field: str, message: str) -> DataIssue:
    return DataIssue(file, f"question_id {one.id} {field}", message)
