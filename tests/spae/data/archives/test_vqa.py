"""The published questions: both forms of examples, from a folder and a .tar.gz, and each way they can be broken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.archives.vqa import ShownQuestion, VqaArchive
from spae.data.opening import open_vqa
from spae.data.validation import survey_vqa
from spae.errors import DataError, SpaeError
from tests.spae.data.vqa_files import packed, rows, write_archive

FILE = "guided_vqa_shots_1_ways_2_all_questions.json"

WHAT = "What is this?"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("pack", [pytest.param(False, id="folder"), pytest.param(True, id="tar.gz")])
def test_questions_as_published(tmp_path: Path, pack: bool) -> None:
    root = write_archive(tmp_path, {1: rows(1), 3: rows(3)})
    data = open_vqa(str(packed(root) if pack else root))
    assert isinstance(data, VqaArchive) and isinstance(data, AnnotatedSet) and not data.embedded
    assert data.shots == (1, 3) and [len(data.questions(shots)) for shots in (1, 3)] == [3, 3]
    first = data.questions(1)[0]
    assert [(one.question, one.answer) for one in first.support] == [(WHAT, "fork"), (WHAT, "lion")]
    assert (first.question, first.answer) == ("Where is the fork?", "table")
    assert [one.answer for one in data.questions(3)[1].support] == ["vase", "crate"] * 3
    assert len(data.support) == 3 * (2 + 6) and len(data.query) == 6
    assert data.image(first.query).shape == (9, 12, 3)
    asked = data.annotations[first.query].questions
    assert [(one.text, one.answers) for one in asked] == [("Where is the fork?", ("table",))]
    assert "6 questions, published few-shot archive" in data.title


def test_a_folder_and_its_archive_are_the_same_data(tmp_path: Path) -> None:
    root = write_archive(tmp_path, {1: rows(1)})
    assert [one.question for one in VqaArchive(root).questions(1)] == [
        one.question for one in VqaArchive(packed(root)).questions(1)
    ]


def test_examples_with_their_own_questions(tmp_path: Path) -> None:
    data = VqaArchive(write_archive(tmp_path, {1: rows(1, "questions")}))
    shown = data.questions(1)[0].support
    assert shown == (
        ShownQuestion(shown[0].image, "Is it a fork?", "yes"),
        ShownQuestion(shown[1].image, "Is it a lion?", "yes"),
    )


def spoil(change: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    made = rows(1)
    change(made[1])
    return made


BROKEN = [
    pytest.param(lambda row: row.pop("answer"), r"\[1\]\.answer: must be printable text, got nothing", id="no-answer"),
    pytest.param(lambda row: row.update(answer=" "), r"\[1\]\.answer: must be printable text", id="empty-answer"),
    pytest.param(lambda row: row.update(answer=3), r"\[1\]\.answer: must be printable text, got 3", id="number"),
    pytest.param(
        lambda row: row.pop("question"), r"question_id 1 question: must be text, got nothing", id="no-question"
    ),
    pytest.param(lambda row: row.update(question=""), r"question_id 1 question: must be text", id="empty-question"),
    pytest.param(lambda row: row.pop("image_2"), r"\[1\]: must have image_1 to image_2", id="too-few"),
    pytest.param(lambda row: row.update(image_4=row["image_1"]), r"must have image_1 to image_2", id="too-many"),
    pytest.param(lambda row: row.pop("caption_1"), r"\[1\]\.caption_1: must be printable text", id="no-caption"),
    pytest.param(
        lambda row: row.update(question_1="Is it?"),
        r"question_id 1 answer_1: must be there, as question_1 is",
        id="half",
    ),
    pytest.param(lambda row: row.update(question_image="../x.jpg"), r"\[1\]\.question_image: .*lead out", id="outside"),
    pytest.param(lambda row: row.update(question_image="no.jpg"), r"names 'no\.jpg', which is not in", id="missing"),
    pytest.param(lambda row: row.update(question_id=0), r"ids must differ, '0'", id="twice"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_broken_question_is_one_error_and_one_fault(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    root = write_archive(tmp_path, {1: rows(1)})
    made = spoil(change)
    (root / FILE).write_text(json.dumps(made))
    with pytest.raises(DataError, match=message) as caught:
        VqaArchive(root)
    assert "\n" not in str(caught.value) and FILE in str(caught.value)
    read = survey_vqa(str(root))
    issues = [issue for issue in read.issues() if issue is not None]
    assert len(issues) >= 1 and read.counts["questions"] == 2
    assert str(caught.value) == f"{root}: {issues[0].line}" and all("\n" not in issue.line for issue in issues)


def test_a_survey_of_sound_data(tmp_path: Path) -> None:
    read = survey_vqa(str(write_archive(tmp_path, {1: rows(1), 5: rows(5)})))
    assert [issue for issue in read.issues() if issue is not None] == []
    images = 3 * (2 + 1) + 3 * (10 + 1)
    assert read.counts == {"files of questions": 2, "questions": 6, "images": images} and "guided_vqa" in read.title
    assert read.opened().fingerprint == open_vqa(str(tmp_path / "guided_vqa")).fingerprint


def test_a_survey_names_every_fault(tmp_path: Path) -> None:
    made = rows(1)
    made[0].pop("answer")
    made[2]["question"] = ""
    root = write_archive(tmp_path, {1: made})
    (root / made[1]["image_1"]).write_bytes(b"no image")
    found = [issue.line for issue in survey_vqa(str(root)).issues() if issue is not None]
    assert any("[0].answer" in line for line in found) and any("question_id 2 question" in line for line in found)
    assert any("[1].image_1" in line for line in found)


def test_other_data(tmp_path: Path) -> None:
    assert open_vqa("scenes").name == "scenes"
    with pytest.raises(DataError, match=r"mnist has no questions .* pass --data scenes"):
        open_vqa("mnist")
    with pytest.raises(SpaeError):
        open_vqa("no-such-set")
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"_all_questions\.json"):
        open_vqa(str(tmp_path / "photos"))
    root = write_archive(tmp_path, {1: rows(1)})
    (root / FILE).rename(root / "guided_vqa_shots_1_ways_5_all_questions.json")
    with pytest.raises(DataError, match="has no questions of 2 ways, only"):
        VqaArchive(root)


@pytest.mark.parametrize("pack", [pytest.param(False, id="folder"), pytest.param(True, id="tar.gz")])
def test_image_digest_is_of_the_file(tmp_path: Path, pack: bool) -> None:
    root = write_archive(tmp_path, {1: rows(1)})
    data = VqaArchive(packed(root) if pack else root)
    for name in (*data.query, *data.support):
        assert data.image_digest(name) == hashlib.sha256((root / name).read_bytes()).hexdigest()
    with pytest.raises(DataError, match="has no file"):
        data.image_digest("../x.jpg")
