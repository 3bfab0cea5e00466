"""COCO-QA's text files and JSON: read as published, every issue named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spae.data.annotations.annotated import AnnotatedSet, Question
from spae.data.annotations.coco_qa import CocoQaSet, question_files
from spae.data.opening import open_coco_qa
from spae.data.validation import survey_coco_qa
from spae.errors import DataError
from tests.coco_fixtures import file_name, write_coco_qa, write_image


def test_published_layout(tmp_path: Path) -> None:
    data = open_coco_qa(str(write_coco_qa(tmp_path / "qa")))
    assert isinstance(data, AnnotatedSet) and len(data.query) == 13 and len(data.support) == 26
    first = f"val2014/{file_name('val2014', 500)}"
    assert data.annotations[first].questions == (
        Question("test-1", "what is the thing number 500 next to the road", ("zebra",), "object"),
    )
    assert data.image(first).shape == (10, 12, 3) and len(data.image_digest(first)) == 64


def test_images_may_lie_beside_the_folder(tmp_path: Path) -> None:
    home = write_coco_qa(tmp_path / "qa")
    for name in ("train2014", "val2014"):
        (home / name).rename(tmp_path / name)
    assert len(CocoQaSet(*question_files(home)).query) == 13


@pytest.mark.parametrize("wrapped", [False, True])
def test_json(tmp_path: Path, wrapped: bool) -> None:
    write_image(tmp_path / "images" / "beach.png", 1)
    write_image(tmp_path / "images" / file_name("val2014", 42), 2)
    entries = [
        {"question": "what is\nthis", "answer": "boat", "file_name": "beach.png", "id": 5},
        {"question": "how many", "answers": ["two", "2"], "image_id": "42", "type": 1},
    ]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"questions": entries} if wrapped else entries))
    data = open_coco_qa(str(path))
    assert data.query == data.support == (f"images/{file_name('val2014', 42)}", "images/beach.png")
    assert data.annotations["images/beach.png"].questions == (Question("5", "what is this", ("boat",)),)
    assert data.annotations[data.query[0]].questions[0] == Question("mine-1", "how many", ("two", "2"), "number")


def lines(name: str, number: int, text: str | None):
    def damage(home: Path) -> None:
        path = home / "test" / name
        held = path.read_text().split("\n")
        held[number : number + 1] = [] if text is None else [text]
        path.write_text("\n".join(held))

    return damage


BROKEN = [
    pytest.param(lines("answers.txt", 2, None), "questions.txt 13, answers.txt 12", id="counts"),
    pytest.param(lines("answers.txt", 2, " "), "line 3: an answer must not be empty", id="no-answer"),
    pytest.param(lines("questions.txt", 2, ""), "line 3: a question must not be empty", id="no-question"),
    pytest.param(lines("img_ids.txt", 2, "999999"), "no image's name ends in 999999", id="no-image"),
    pytest.param(lines("img_ids.txt", 2, "../x"), "an image is named by a number", id="no-number"),
    pytest.param(lambda home: (home / "test" / "img_ids.txt").unlink(), "img_ids.txt cannot be read", id="no-file"),
    pytest.param(lambda home: (home / "test" / "answers.txt").write_bytes(b"a\xff") and None, "must be UTF-8, byte 1",
                 id="not-utf-8"),
    pytest.param(lambda home: (home / "val2014" / file_name("val2014", 501)).unlink(), "no image's name ends in 501",
                 id="missing-image"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), BROKEN)
def test_issue_is_one_line_when_opened_and_named_by_survey(tmp_path: Path, damage, said: str) -> None:
    home = write_coco_qa(tmp_path / "qa")
    damage(home)
    with pytest.raises(DataError) as caught:
        open_coco_qa(str(home))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert any(said in f"{one.field}: {one.message}" for one in survey_coco_qa(str(home)).issues() if one)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (7, "a question is an object"),
        ({"question": "q", "answer": "a", "file_name": "../up.png"}, "must stay inside"),
        ({"question": "q", "answer": "a", "file_name": 3}, "name is text"),
        ({"question": "q", "answer": "a", "file_name": "gone.png"}, "is in none of"),
        ({"question": "q", "answer": "a"}, "named by a number"),
        ({"question": "q", "answer": "a", "image_id": True}, "named by a number"),
        ({"question": "q", "answers": []}, "must not be empty"),
        ({"question": "q", "answer": "\ud83d", "image_id": 1}, "half a character"),
        ({"question": "q", "answer": "a", "image_id": 1, "id": "twice"}, "is there twice"),
        ({"question": "q", "answer": "a", "image_id": 1, "id": [1]}, "id is a number or text"),
    ],
)
def test_issues_of_json(tmp_path: Path, entry: object, said: str) -> None:
    write_image(tmp_path / "images" / "1.png", 1)
    good = {"question": "q", "answer": "a", "image_id": 1, "id": "twice"}
    (tmp_path / "q.json").write_text(json.dumps([good, entry]))
    with pytest.raises(DataError, match=said):
        open_coco_qa(str(tmp_path / "q.json"))


def test_survey_counts(tmp_path: Path) -> None:
    survey = survey_coco_qa(str(write_coco_qa(tmp_path / "qa")))
    assert not [one for one in survey.issues() if one] and survey.counts == {"questions": 39, "images": 39}


@pytest.mark.parametrize(("name", "said"), [("mnist", "has no questions"), (".", "COCO-QA is a folder of")])
def test_other_data_are_refused(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said):
        open_coco_qa(name)
