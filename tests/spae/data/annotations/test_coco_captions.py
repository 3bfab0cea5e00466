"""COCO's caption files: read as published, every issue named, nothing outside the data touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spae.data.annotations.annotated import AnnotatedSet, query_images
from spae.data.annotations.coco_captions import CocoCaptions, caption_files
from spae.data.opening import open_captions
from spae.data.validation import survey_captions
from spae.errors import CorruptImage, DataError
from tests.coco_fixtures import caption_json, file_name, write_captions, write_image


def test_published_layout(tmp_path: Path) -> None:
    path = write_captions(tmp_path / "coco")
    data = CocoCaptions(path, name="coco")
    assert isinstance(data, AnnotatedSet) and data.query == data.support and len(data.query) == 15
    first = f"val2014/{file_name('val2014', 1)}"
    assert data.query[0] == first and data.annotations[first].captions == (
        "A dog sits by number 1.", "A dog stands near number 1.", "A dog is next to number 1.",
        "A dog in front of number 1.", "A dog with number 1.",
    )  # fmt: skip
    assert data.image(first).shape == (10, 12, 3) and "15 images, 75 captions" in data.title
    assert query_images(data)[first] == "A dog sits by number 1."


def test_a_train_file_beside_it_gives_the_examples(tmp_path: Path) -> None:
    write_captions(tmp_path / "coco")
    write_captions(tmp_path / "coco", "train2014", range(100, 105))
    data = open_captions(str(tmp_path / "coco"))
    assert {name.split("/")[0] for name in data.query} == {"val2014"}
    assert {name.split("/")[0] for name in data.support} == {"train2014"} and len(data.support) == 5
    with pytest.raises(DataError, match=r"captions_test2014.json, captions_train2014.json, captions_val2014.json"):
        (tmp_path / "coco" / "annotations" / "captions_test2014.json").write_text("{}")
        caption_files(tmp_path / "coco")


@pytest.mark.parametrize("place", ["val2014", "images/val2014", "images", "annotations/val2014", "annotations"])
def test_images_are_found_where_they_usually_are(tmp_path: Path, place: str) -> None:
    path = write_captions(tmp_path / "coco")
    target = tmp_path / "coco" / place
    if place != "val2014":
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            for file in (tmp_path / "coco" / "val2014").iterdir():
                file.rename(target / file.name)
        else:
            (tmp_path / "coco" / "val2014").rename(target)
    assert len(CocoCaptions(path).query) == 15


def test_fingerprint_follows_annotations_not_pixels(tmp_path: Path) -> None:
    path = write_captions(tmp_path / "a")
    before = CocoCaptions(path)
    assert CocoCaptions(write_captions(tmp_path / "b")).fingerprint == before.fingerprint
    first = before.query[0]
    digest = before.image_digest(first)
    held = json.loads(path.read_text())
    held["annotations"][0]["caption"] += " More."
    path.write_text(json.dumps(held))
    after = CocoCaptions(path)
    assert after.fingerprint != before.fingerprint and after.image_digest(first) == digest
    write_image(tmp_path / "a" / first, 99)
    assert CocoCaptions(path).image_digest(first) != digest


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(home: Path) -> None:
        path = home / "annotations" / "captions_val2014.json"
        held = json.loads(path.read_text())
        change(held)
        path.write_text(json.dumps(held))

    return apply


def write(content: bytes) -> Callable[[Path], None]:
    return lambda home: (home / "annotations" / "captions_val2014.json").write_bytes(content) and None


def link_out(home: Path) -> None:
    write_image(home.parent / "outside.jpg", 1)
    path = home / "val2014" / file_name("val2014", 3)
    path.unlink()
    path.symlink_to(home.parent / "outside.jpg")


BROKEN = [
    pytest.param(write(b"\xff\xfe{"), "must be UTF-8, byte 0", id="not-utf-8"),
    pytest.param(write(b"{"), "is no JSON", id="not-json"),
    pytest.param(write(b"[" * 200_000), "is no JSON", id="nested"),
    pytest.param(write(b"[]"), "a list of images", id="no-object"),
    pytest.param(write(b'{"images": [], "annotations": []}'), "a list of images", id="no-images"),
    pytest.param(edit(lambda h: h["images"].append(h["images"][0])), "image id 1 is there twice", id="duplicate-id"),
    pytest.param(edit(lambda h: h["images"][1].update(id=77, file_name=h["images"][0]["file_name"])),
                 "there under two ids", id="duplicate-file"),
    pytest.param(edit(lambda h: h["annotations"][2].update(image_id=4711)),
                 "annotations[2]: image_id 4711 is no image's id", id="unknown-image"),
    pytest.param(edit(lambda h: h["annotations"][0].update(caption=" \n")), "must not be empty", id="empty-caption"),
    pytest.param(edit(lambda h: h["annotations"][0].update(caption=7)), "must not be empty, got 7", id="no-text"),
    pytest.param(edit(lambda h: h["annotations"][0].update(caption="a \ud83d")), "half a character", id="surrogate"),
    pytest.param(edit(lambda h: h["images"][0].update(id=[1])), "a number or text", id="id-list"),
    pytest.param(edit(lambda h: h["images"][0].update(id=True)), "a number or text", id="id-bool"),
    pytest.param(edit(lambda h: h["images"][0].update(file_name="../../etc/passwd")), "must stay inside", id="dots"),
    pytest.param(edit(lambda h: h["images"][0].update(file_name="/etc/passwd")), "must stay inside", id="absolute"),
    pytest.param(edit(lambda h: h["images"][0].update(file_name="a\\..\\..\\b.jpg")), "must stay inside", id="back"),
    pytest.param(edit(lambda h: h["images"][0].update(file_name="C:/b.jpg")), "must stay inside", id="drive"),
    pytest.param(edit(lambda h: h["images"][0].update(file_name="a\n.jpg")), "must stay inside", id="newline"),
    pytest.param(edit(lambda h: h.update(annotations=h["annotations"][1:15] + h["annotations"][16:30]
                                         + h["annotations"][31:45] + h["annotations"][46:60] + h["annotations"][61:])),
                 "has no caption", id="no-caption"),
    pytest.param(lambda home: (home / "val2014" / file_name("val2014", 3)).unlink(), "000003.jpg' is not in",
                 id="missing-image"),
    pytest.param(link_out, "leads out of", id="link"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), BROKEN)
def test_issue_is_one_line_when_opened_and_named_by_survey(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    home = tmp_path / "coco"
    write_captions(home)
    damage(home)
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(DataError) as caught:
        open_captions(str(home))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    survey = survey_captions(str(home))
    issues = [one for one in survey.issues() if one is not None]
    assert any(said in f"{one.field}: {one.message}" for one in issues)
    assert all(one.file and "\n" not in one.message for one in issues)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_survey_names_all_issues_and_counts(tmp_path: Path) -> None:
    path = write_captions(tmp_path / "coco")
    held = json.loads(path.read_text())
    held["annotations"][1]["caption"] = ""
    held["annotations"][4]["image_id"] = -1
    path.write_text(json.dumps(held))
    (tmp_path / "coco" / "val2014" / file_name("val2014", 2)).unlink()
    (tmp_path / "coco" / "val2014" / file_name("val2014", 5)).write_bytes(b"GIF89a nothing")
    survey = survey_captions(str(tmp_path / "coco"))
    found = list(survey.issues())
    assert [one.field for one in found if one] == ["annotations[1]", "annotations[4]", "images", ""]
    assert survey.counts == {"images": 15, "captions": 73} and found.count(None) > 80


def test_sound_set_has_no_issues(tmp_path: Path) -> None:
    survey = survey_captions(str(write_captions(tmp_path / "coco")))
    assert not [one for one in survey.issues() if one] and survey.counts == {"images": 15, "captions": 75}


def test_image_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_captions(tmp_path / "coco")
    name = file_name("val2014", 4)
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "x.png")
    png = bytearray((tmp_path / "x.png").read_bytes())
    png[16:24] = (100_000).to_bytes(4, "big") + (1_000).to_bytes(4, "big")
    (tmp_path / "coco" / "val2014" / name).write_bytes(png)
    with pytest.raises(CorruptImage):
        CocoCaptions(path).image(f"val2014/{name}")


def test_ids_may_be_text_and_a_mark_may_lead(tmp_path: Path) -> None:
    path = write_captions(tmp_path / "coco")
    held = caption_json("val2014", range(1, 16))
    for one in held["images"]:
        one["id"] = f"x{one['id']}"
    for one in held["annotations"]:
        one["image_id"] = f"x{one['image_id']}"
    path.write_text(json.dumps(held), encoding="utf-8-sig")
    assert len(CocoCaptions(path).query) == 15


@pytest.mark.parametrize(("name", "said"), [("pictograms", "has no captions"), ("no/such.json", "no caption file")])
def test_other_data_are_refused(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_captions(name)


def test_survey_opens_what_it_read_and_takes_names(tmp_path: Path) -> None:
    path = write_captions(tmp_path / "coco")
    opened = survey_captions(str(path)).opened()
    assert opened.name == str(path) and opened.fingerprint == CocoCaptions(path).fingerprint
    survey = survey_captions("scenes")
    assert survey.total > 100 and next(iter(survey.issues())) is None and survey.counts["captions"] > survey.total
