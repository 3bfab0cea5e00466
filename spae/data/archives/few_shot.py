"""The few-shot archives of Tsimpoukelli et al. (arXiv 2106.13884): questions in JSON beside their images.

    open_ended_mi.tar.gz    made-up names ("dax");          real_name_mi.tar.gz    ImageNet's names
    fast_vqa.tar.gz         made-up names, and questions;   guided_vqa.tar.gz      ImageNet's names, and questions

Each holds files `{task}_shots_{n}_ways_{m}_all_questions.json`, lists of objects; one of 1 shot and 2 ways:

    {"question_id": 0, "image_1": "..._id_0_image_1.jpg", "caption_1": "This is a lion", "image_2": ...,
     "caption_2": ..., "question_image": "..._id_0_question.jpg", "question": "This is a", "answer": "lion"}

Images are found by the names in the JSON: beside it, in `images/` beside it, or as a path from the archive's root.
Read from the unpacked folder or from the .tar.gz itself (`spae.data.archives.file_tree`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from spae.canonical import composed
from spae.data.archives.file_tree import FileTree
from spae.data.archives.folder_tree import open_tree
from spae.data.datasets.samples import shown_name
from spae.data.image_file import is_inside_name
from spae.data.issues import DataIssue, Report
from spae.errors import DataError
from spae.regular_file import parse_json

QUESTIONS_FILE = re.compile(r"(?P<task>.+)_shots_(?P<shots>[1-9]\d?)_ways_(?P<ways>[1-9]\d?)_all_questions\.json", re.A)
ARTICLE = re.compile(r"(?:th(?:is|ese) (?:is|are) )?(?:(?:an?|the) )?(?=\S)", re.IGNORECASE | re.ASCII)
"""What stands before the name in a caption."""
IMAGE = re.compile(r"image_([1-9]\d{0,3})", re.ASCII)


@dataclass(frozen=True)
class ArchiveQuestion:
    """One object of a questions file.

    Attributes:
        id: `question_id` as text, unique in its file.
        images: ids of image_1, image_2, ..: shots * ways of them.
        captions: caption_1, caption_2, .., one an image; "" where question_1 and answer_1 stand in its place.
        query: id of `question_image`.
        question: as it stands; "" for none.
        answer: as it stands.
        texts: every field of text by its name but those that name images, for what a task reads beyond the above.
    """

    id: str
    images: tuple[str, ...]
    captions: tuple[str, ...]
    query: str
    question: str
    answer: str
    texts: Mapping[str, str]


class FewShotArchive:
    """One published archive, open to be read.

    Args:
        path: the .tar.gz, the .tar, or the folder it was unpacked to.
        name: as the user named it; None takes the path as given.
        tree: the files at the path, where they are indexed already; None indexes them.

    Attributes:
        task: as in the names of its files: "open_ended_mi".
        files: (shots, ways) -> name in the tree of the questions file.

    Raises:
        DataError: no such path, no or several tasks' questions files, an unsafe name, or no archive.
    """

    def __init__(self, path: Path, name: str | None = None, tree: FileTree | None = None) -> None:
        self.path = path
        self.name = str(path) if name is None else name
        self.tree = open_tree(path) if tree is None else tree
        self.task, self.files = questions_files(self.tree)
        self._home = packed_folder(self.files.values())
        self._read: dict[tuple[int, int], tuple[ArchiveQuestion, ...]] = {}

    def questions(self, shots: int, ways: int) -> tuple[ArchiveQuestion, ...]:
        """The questions of one file, in its order.

        Raises:
            DataError: there is no such file (the message names those there are), or one of its questions is broken.
        """
        if (shots, ways) not in self.files:
            there = ", ".join(f"{s}-shot {w}-way" for s, w in self.files)
            raise DataError(f"{self.name} has no questions of {shots} shots and {ways} ways: it has {there}")
        if (shots, ways) not in self._read:
            found = list(read_questions(self.tree, self.files[shots, ways], self.raise_issue))
            if not found:
                raise DataError(f"{self.name}: {self.files[shots, ways]} holds no question: download the archive again")
            self._read[shots, ways] = tuple(
                replace(one, images=tuple(map(self._inner, one.images)), query=self._inner(one.query)) for one in found
            )
        return self._read[shots, ways]

    @property
    def fingerprint(self) -> str:
        """sha256 over the names and bytes of all its files, the same packed and unpacked."""
        hashes = {self._inner(name): entry.sha256 for name, entry in self.tree.entries.items()}
        total = hashlib.sha256()
        for name in sorted(hashes):
            total.update(f"{len(name)}:{name} {hashes[name]}\n".encode())
        return total.hexdigest()

    def raise_issue(self, issue: DataIssue) -> None:
        """The `Report` of an opener. Raises DataError, which names the archive too."""
        raise DataError(f"{self.path}: {issue.line}")

    def image(self, image_id: str) -> np.ndarray:
        """[H, W, 3] uint8 RGB. Raises CorruptImage where it does not decode, DataError for an unknown id."""
        return self.tree.image(self._name(image_id))

    def image_digest(self, image_id: str) -> str:
        """sha256 of the image's file. Raises DataError for an unknown id."""
        return self.tree.entry(self._name(image_id)).sha256

    def _name(self, image_id: str) -> str:
        inside = f"{self._home}{image_id}"
        return inside if inside in self.tree.entries else image_id

    def _inner(self, name: str) -> str:
        return name.removeprefix(self._home)


def packed_folder(files: Iterable[str]) -> str:
    """The folder that questions files are packed in, with its slash; ids leave it out, to be the same unpacked."""
    homes = {str(PurePosixPath(file).parent) for file in files}
    home = os.path.commonpath(homes) if homes else ""
    return "" if home in ("", ".") else f"{home}/"


def named_class(caption: str) -> str:
    """The name in a caption: 'lion' of 'This is a lion.', of 'a lion' and of 'lion'."""
    bare = caption.strip()
    bare = bare.rstrip(".!").rstrip() or bare
    return ARTICLE.sub("", bare, count=1)


def is_archive(path: Path) -> bool:
    """Whether a path is a published archive: a tar, or a folder with a questions file in it or one folder below."""
    if path.is_file():
        return path.suffix.lower() in (".tar", ".tgz", ".gz")
    return path.is_dir() and any(
        QUESTIONS_FILE.fullmatch(file.name) for pattern in ("*.json", "*/*.json") for file in path.glob(pattern)
    )


def questions_files(tree: FileTree) -> tuple[str, dict[tuple[int, int], str]]:
    """The task of an archive, and its questions files by (shots, ways).

    Raises:
        DataError: it has none, they are of several tasks, or two are of the same shots and ways.
    """
    files: dict[tuple[int, int], str] = {}
    tasks: set[str] = set()
    for name in sorted(tree.entries):
        found = QUESTIONS_FILE.fullmatch(PurePosixPath(name).name)
        if found is None:
            continue
        key = (int(found["shots"]), int(found["ways"]))
        tasks.add(found["task"])
        if len(tasks) > 1:
            raise DataError(f"{tree.path} holds several tasks ({', '.join(sorted(tasks))}): give the folder of one")
        if key in files:
            raise DataError(f"{tree.path} has two files of {key[0]} shots and {key[1]} ways ({files[key]}, {name})")
        files[key] = name
    if not files:
        raise DataError(
            f"{tree.path} holds no file TASK_shots_N_ways_M_all_questions.json: give a published few-shot archive"
        )
    return tasks.pop(), dict(sorted(files.items(), key=lambda item: (item[0][1], item[0][0])))


def read_questions(tree: FileTree, name: str, report: Report) -> Iterator[ArchiveQuestion]:
    """The sound questions of a file.

    Args:
        tree: indexed.
        name: of a questions file.
        report: called with every issue.
    """
    matched = QUESTIONS_FILE.fullmatch(PurePosixPath(name).name)
    assert matched is not None
    wanted = int(matched["shots"]) * int(matched["ways"])
    rows = _rows(tree, name, report)
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        reader = _Reader(tree, name, f"[{number}]", report)
        question = reader.question(row, wanted)
        if question is not None and seen.setdefault(question.id, number) != number:
            reader.issue(
                "question_id", f"ids must differ, {question.id!r} is [{seen[question.id]}]'s too: renumber them"
            )
        elif question is not None:
            yield question


def _rows(tree: FileTree, name: str, report: Report) -> list[Any]:
    try:
        rows = parse_json(tree.read(name), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        report(DataIssue(name, f"byte {error.start}", "must be UTF-8 text: save it so"))
    except ValueError as error:
        report(DataIssue(name, "", f"must be JSON ({str(error)[:200]}): download it again"))
    else:
        if isinstance(rows, list):
            return rows
        report(DataIssue(name, "", f"must be a list of questions, got {type(rows).__name__}: download it again"))
    return []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"an object has {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return made


class _Reader:
    """Reads one question and tells everything that is wrong with it."""

    def __init__(self, tree: FileTree, file: str, place: str, report: Report) -> None:
        self._tree, self._file, self._place, self._report = tree, file, place, report
        self._broken = False

    def issue(self, field: str, message: str) -> None:
        self._broken = True
        self._report(DataIssue(self._file, f"{self._place}.{field}" if field else self._place, message))

    def question(self, row: Any, wanted: int) -> ArchiveQuestion | None:
        if not isinstance(row, dict):
            self.issue("", f"a question must be an object, got {type(row).__name__}: download the file again")
            return None
        numbers = sorted(int(found[1]) for key in row if (found := IMAGE.fullmatch(key)))
        if numbers != list(range(1, wanted + 1)):
            self.issue("", f"must have image_1 to image_{wanted}, as its file's name says, got {len(numbers)} images")
        images = tuple(self._image(row, f"image_{number}") for number in numbers)
        captions = tuple(self._caption(row, number) for number in numbers)
        query = self._image(row, "question_image")
        answer = self._text(row, "answer")
        question = self._text(row, "question") if row.get("question") not in (None, "") else ""
        named = [image for image in (*images, query) if image]
        if len(set(named)) != len(named):
            twice = next(image for image in named if named.count(image) > 1)
            self.issue("", f"no image may stand in a question twice, {shown_name(twice)} does: remove the question")
        texts = {key: composed(value) for key, value in row.items() if isinstance(value, str) and "image" not in key}
        identity = self._identity(row)
        if self._broken:
            return None
        return ArchiveQuestion(identity, images, captions, query, question, answer, texts)

    def _identity(self, row: Mapping[str, Any]) -> str:
        value = row.get("question_id")
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", text):
            self.issue("question_id", f"must be a number or a short name of letters and digits, got {_shown(value)}")
        return text

    def _caption(self, row: Mapping[str, Any], number: int) -> str:
        """ "" where a question and its answer stand in the caption's place, as `spae.data.archives.vqa` reads them."""
        asked = all(row.get(f"{key}_{number}") for key in ("question", "answer"))
        return "" if asked and f"caption_{number}" not in row else self._text(row, f"caption_{number}")

    def _text(self, row: Mapping[str, Any], key: str) -> str:
        value = row.get(key)
        text = " ".join(composed(value).split()) if isinstance(value, str) else ""
        if not text or not text.isprintable():
            self.issue(key, f"must be printable text, got {_shown(value)}: complete it")
        return text

    def _image(self, row: Mapping[str, Any], key: str) -> str:
        """The name in the tree; "" if it is not there."""
        value = row.get(key)
        if not isinstance(value, str) or not value:
            self.issue(key, f"must name an image, got {_shown(value)}: complete it")
            return ""
        if not is_inside_name(value):
            self.issue(key, f"an image's name must not lead out of the archive, got {_shown(value)}: correct it")
            return ""
        home = PurePosixPath(self._file).parent
        for place in (home / value, home / "images" / value, PurePosixPath(value)):
            entry = self._tree.entries.get(str(place))
            if entry is not None:
                if entry.problem:
                    self.issue(key, entry.problem)
                    return ""
                return str(place)
        self.issue(
            key, f"names {_shown(value)}, which is not in the archive: add the image or download the archive again"
        )
        return ""


def _shown(value: Any) -> str:
    return ascii(value)[:100] if value is not None else "nothing"
