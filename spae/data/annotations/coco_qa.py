"""COCO-QA: questions with one-word answers about COCO's images, made from their captions.

Ren et al., arXiv 1505.02074. As published, four text files in each of train/ and test/, line i about question i:

    train/questions.txt    what is the man riding on a dirt road
    train/answers.txt      moped
    train/img_ids.txt      391895
    train/types.txt        0            (0 object, 1 number, 2 color, 3 location)

Questions are asked of test/, and examples shown from train/. A folder with the four files in it, or a JSON (a list of
objects, or one under "questions": question, answer, image_id or file_name; or else answers, type, id), gives both.
Images are found by the number their names end in, in the folders that COCO comes in, beside the questions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spae.data.annotations.annotated import Annotations, Question, one_line
from spae.data.annotations.annotation_files import (
    AnnotatedFiles,
    AnnotationFile,
    by_number,
    file_inside,
    read_json,
    read_text,
    usual_folders,
)
from spae.data.issues import DataIssue
from spae.errors import DataError

TEXTS = ("questions.txt", "answers.txt", "img_ids.txt")
TYPES_FILE = "types.txt"
QUESTION_TYPES = ("object", "number", "color", "location")
MAX_TEXT_BYTES = 200_000_000


class QuestionFile(AnnotationFile):
    """The questions of one split: a folder with the published text files, or a JSON file.

    Attributes:
        questions: image's id -> its questions.
        files: image's id -> its file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.questions: dict[str, list[Question]] = defaultdict(list)

    def counts(self) -> dict[str, int]:
        """Questions and their images."""
        return {"questions": sum(map(len, self.questions.values())), "images": len(self.files)}

    def issues(self) -> Iterator[DataIssue | None]:
        """Reads the questions and looks for their images: every issue, and a None for each question read."""
        seen: set[str] = set()
        folders = usual_folders(self.path if self.path.is_dir() else self.path.parent)
        if self.path.is_dir():
            folders += [one for one in usual_folders(self.path.parent) if one not in folders]
        numbered = by_number(folders)
        for where, one in self._raw():
            if isinstance(one, DataIssue):
                yield one
                continue
            message = self._add(where, one, seen, folders, numbered)
            yield DataIssue(self.path.name, where, message) if message else None
        if not seen:
            yield DataIssue(self.path.name, "", f"{self.path} holds no question: name another file or folder")

    def _raw(self) -> Iterator[tuple[str, dict[str, Any] | DataIssue]]:
        """Each question as the fields of a JSON object, with its place in the file."""
        try:
            yield from self._of_texts() if self.path.is_dir() else self._of_json()
        except DataError as error:
            yield "", DataIssue(self.path.name, "", str(error))

    def _of_texts(self) -> Iterator[tuple[str, dict[str, Any] | DataIssue]]:
        columns = [_lines(self.path / name) for name in TEXTS]
        if (self.path / TYPES_FILE).exists():
            columns.append(_lines(self.path / TYPES_FILE))
        counts = [len(column) for column in columns]
        if len(set(counts)) != 1:
            named = ", ".join(f"{name} {n}" for name, n in zip((*TEXTS, TYPES_FILE), counts, strict=False))
            raise DataError(f"the files of {self.path} must have one line for each question, got {named}: restore them")
        for number, (question, answer, image, *types) in enumerate(zip(*columns, strict=True), start=1):
            number_text = image.strip()
            yield (
                f"line {number}",
                {
                    "id": f"{self.path.name}-{number}",
                    "question": question,
                    "answer": answer,
                    "image_id": int(number_text) if number_text.isascii() and number_text.isdigit() else number_text,
                    "type": types[0].strip() if types else "",
                },
            )

    def _of_json(self) -> Iterator[tuple[str, dict[str, Any] | DataIssue]]:
        held = read_json(self.path)
        entries = held.get("questions") if isinstance(held, dict) else held
        if not isinstance(entries, list):
            raise DataError(f"{self.path} must be a list of questions, or hold one under 'questions': correct it")
        for number, one in enumerate(entries):
            where = f"[{number}]"
            if not isinstance(one, dict):
                yield (
                    where,
                    DataIssue(self.path.name, where, f"a question is an object, got {ascii(one)[:60]}: correct it"),
                )
                continue
            yield where, {"id": f"{self.path.stem}-{number}", **one}

    def _add(
        self, where: str, one: dict[str, Any], seen: set[str], folders: list[Path], numbered: dict[int, Path]
    ) -> str:
        """Takes in one question. Returns what is wrong with it, or ""."""
        key = one.get("id", one.get("question_id"))
        answers = one.get("answers", [one.get("answer")])
        if not isinstance(one.get("question"), str) or not one["question"].strip():
            return f"a question must not be empty, got {ascii(one.get('question'))[:60]}: write it or remove it"
        if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
            return f"an answer must not be empty, got {ascii(answers)[:60]}: write it or remove the question"
        if isinstance(key, bool) or not isinstance(key, int | str):
            return f"a question's id is a number or text, got {ascii(key)[:60]}: correct it"
        if str(key) in seen:
            return f"question id {key} is there twice: remove one"
        try:
            "".join([one["question"], *answers, str(key)]).encode()
        except UnicodeEncodeError:
            return f"{where} has half a character in it: correct it"
        seen.add(str(key))
        try:
            image, file = _image(one, folders, numbered)
        except DataError as error:
            return str(error)
        question_type = str(one.get("type", ""))
        self.files[image] = file
        self.questions[image].append(
            Question(
                id=str(key),
                text=one_line(one["question"]),
                answers=tuple(dict.fromkeys(one_line(answer) for answer in answers)),
                question_type=QUESTION_TYPES[int(question_type)]
                if question_type in {"0", "1", "2", "3"}
                else one_line(question_type),
            )
        )
        return ""


class CocoQaSet(AnnotatedFiles):
    """Questions about images as an `AnnotatedSet`; arguments and errors as of `AnnotatedFiles`.

    A source is a folder of text files or a JSON.
    """

    def __init__(self, queries: Path, examples: Path | None = None, *, name: str | None = None) -> None:
        super().__init__(queries, examples, name=name)
        count = sum(len(one.questions) for one in self.annotations.values())
        self.title = f"{queries.name}: {count:,} questions about {len(self.annotations):,} images, in COCO-QA's format"

    def _read(self, path: Path) -> tuple[str, ...]:
        source = QuestionFile(path)
        source.read()
        self._files.update(source.files)
        for image, questions in source.questions.items():
            had = self.annotations.get(image, Annotations()).questions
            self._said[image] = Annotations(questions=(*had, *questions))
        return tuple(sorted(source.questions))

    def _hashed(self, one: Annotations) -> object:
        return [(question.id, question.text, question.answers, question.question_type) for question in one.questions]


def question_files(path: Path) -> list[Path]:
    """What is asked, then what examples are shown from, if that is another.

    Args:
        path: a JSON; a folder with the published text files; or one with test and train, as folders or as JSON.

    Raises:
        DataError: there is no such thing at the path.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        return [path]
    if (path / TEXTS[0]).is_file():
        return [path]
    for test, train in ((path / "test", path / "train"), (path / "test.json", path / "train.json")):
        here = [one for one in (test, train) if (one / TEXTS[0]).is_file() or (one.suffix == ".json" and one.is_file())]
        if here:
            return here
    raise DataError(
        f"COCO-QA is a folder of {', '.join(TEXTS)} (or of train/ and test/ with them), or a JSON, "
        f"{path} is none: check the path"
    )


def _lines(path: Path) -> list[str]:
    # Not splitlines: a line ends at a newline and nowhere else, or the four files would get out of step.
    lines = read_text(path, MAX_TEXT_BYTES).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _image(one: dict[str, Any], folders: list[Path], numbered: dict[int, Path]) -> tuple[str, Path]:
    """Id and file of a question's image: by its name where the question has one, else by its number."""
    name = one.get("file_name", one.get("image"))
    if name is not None:
        if not isinstance(name, str):
            raise DataError(f"an image's name is text, got {ascii(name)[:60]}: correct it")
        for folder in folders:
            file = file_inside(folder, name)
            if file is not None:
                return f"{folder.name}/{name}", file
        raise DataError(f"image {name!r} is in none of {', '.join(map(str, folders))}: add it")
    number = one.get("image_id", one.get("img_id"))
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool):
        raise DataError(f"an image is named by a number (image_id) or a file_name, got {ascii(number)[:60]}: add one")
    if number not in numbered:
        raise DataError(f"no image's name ends in {number}, in {', '.join(map(str, folders))}: add it")
    return f"{numbered[number].parent.name}/{numbered[number].name}", numbered[number]
