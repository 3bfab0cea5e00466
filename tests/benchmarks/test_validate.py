"""`validate`: everything is counted, every issue is named with its file, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spae.data.opening import open_set
from spae.errors import DataError
from tests.benchmarks.conftest import Command
from tests.spae.data.published import Archive, huge_png, jpeg

TASK = ("validate", "--task", "miniimagenet-2way", "--data")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sound_data_of_every_kind_has_no_issue(home: Path, photos: Path, command: Command) -> None:
    made = Archive(kinds=((1, 2), (3, 2)), count=5)
    packed, unpacked = made.pack(home), made.unpack(home)
    before = everything(home)
    code, out, err = command(*TASK, "photos")
    assert (code, err) == (0, "")
    assert out == (
        "photos: folder of class folders\n  classes: 6\n  images: 42\n"
        "  feasible settings: i0-s1-r0, i1-s1-r0, i1-s3-r0, i1-s5-r0, i1-s1-r1, i1-s1-r3, i1-s1-r5\n"
        "no issue found\n"
    )
    for path in (packed, unpacked):
        code, out, err = command(*TASK, path, "--json")
        found = json.loads(out)
        assert (code, err, found["issues"]) == (0, "", [])
        # 5 questions of 2 + 1 images, 5 of 6 + 1.
        assert found["counts"] == {"files of questions": 2, "questions": 10, "images": 50, "classes": 6}
        assert "i1-s5-r0" not in found["settings"] and list(found["infeasible"]) == ["i1-s5-r0"]
    assert everything(home) == before


def test_every_issue_of_an_archive_is_named(home: Path, command: Command) -> None:
    made = Archive(count=6)
    rows = made.rows[1, 2]
    rows[0]["image_1"] = "../up.jpg"
    del rows[1]["caption_2"], rows[1]["answer"]
    rows[2]["answer"] = "zebra"
    rows[4]["question_id"] = 3
    made.files[rows[5]["question_image"]] = huge_png()
    stem = "real_name_mi_shots_1_ways_2_"
    (noise := np.random.default_rng(0)).integers(0, 2)
    broken = home / "broken.png"
    Image.fromarray(noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(broken)
    made.files[rows[3]["image_1"]] = broken.read_bytes()[:3000]
    code, out, _ = command(*TASK, made.pack(home), "--json")
    assert code == 2
    lists = f"real_name_mi/{stem}all_questions.json"
    where = [(issue["file"], issue["field"]) for issue in json.loads(out)["issues"]]
    assert where == [
        (lists, "[0].image_1"),
        (lists, "[1].caption_2"),
        (lists, "[1].answer"),
        (lists, "[4].question_id"),
        (lists, "[5].question_image"),
        (lists, "question 2 ([0]).answer"),
        (f"real_name_mi/{stem}id_3_image_1.jpg", ""),
    ]


def test_every_issue_of_folders_and_csv_is_named(home: Path, photos: Path, command: Command) -> None:
    (photos / "ant" / "7.png").write_bytes(b"no image")
    (photos / "vase" / "8.png").write_bytes(huge_png())
    (photos / "empty").mkdir()
    (photos / "Lion").mkdir()
    (photos / "Lion" / "0.png").write_bytes(jpeg(0))
    (photos / "crate" / "out.png").symlink_to(home / "secret.png")
    code, out, _ = command(*TASK, "photos", "--json")
    assert code == 2
    found = json.loads(out)
    assert {issue["file"] for issue in found["issues"]} == {
        ".", "ant/7.png", "vase/8.png", "empty", "crate/out.png",
    }  # fmt: skip
    assert "two classes called 'lion'" in next(f["message"] for f in found["issues"] if f["file"] == ".")
    (home / "mini" / "images").mkdir(parents=True)
    (home / "mini" / "images" / "a.jpg").write_bytes(jpeg(1))
    (home / "mini" / "test.csv").write_text("filename,label\na.jpg,ant\nb.jpg,lion\na.jpg,ant\n,x\n../c.jpg,y\n")
    code, out, _ = command(*TASK, "mini/test.csv", "--json")
    fields = [(f["file"], f["field"]) for f in json.loads(out)["issues"]]
    assert fields == [("test.csv", f"line {n}") for n in (3, 4, 5, 6)] + [("test.csv", "")]
    code, _, err = command(*TASK, "mini/test.csv")
    assert code == 2 and err.splitlines()[-1] == "error: issues: 5, in files: 1"


def test_output_shows_the_first_twenty_issues(home: Path, photos: Path, command: Command) -> None:
    for i in range(30):
        (photos / "ant" / f"bad{i}.png").write_bytes(b"\x1b[31mno image")
    code, _, err = command(*TASK, "photos")
    assert code == 2 and len(err.splitlines()) == 21
    assert err.splitlines()[-1] == "error: issues: 30, in files: 30, 10 of them not shown: --json lists all"
    assert "\x1b" not in err


def test_sound_data_without_enough_classes_is_an_issue(home: Path, photos: Path, command: Command) -> None:
    for name in ("ant", "lion", "vase"):
        for file in (photos / name).iterdir():
            file.unlink()
        (photos / name).rmdir()
    code, _, err = command("validate", "--task", "miniimagenet-5way", "--data", "photos")
    assert code == 2 and "5-way episodes need 5 classes" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "miniimagenet-2way", "--data", "./nowhere"), "no folder or csv at nowhere"),
        (("--task", "miniimagenet-2way", "--data", "pictogram"), "did you mean 'pictograms'"),
        (("--task", "miniimagenet-3way"), "unknown task"),
    ],
)
def test_missing_data_or_task_is_one_line_and_2(
    home: Path, command: Command, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = command("validate", *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_every_issue_of_a_hugging_face_set_is_named(home: Path, command: Command) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'spae-bench[data]'")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    images = [jpeg(0), jpeg(1), huge_png(), b"no image", jpeg(2)]
    rows = {"image": [{"bytes": one, "path": None} for one in images], "label": ["ant", "lion", "ant", "lion", None]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(home / "saved"))
    code, out, _ = command(*TASK, "saved", "--json")
    found = json.loads(out[out.index("{") :])
    assert code == 2 and found["counts"] == {"classes": 2, "images": 5}
    assert [(f["file"], f["field"]) for f in found["issues"]] == [
        ("train/4", "label"),
        ("train/2", ""),
        ("train/3", ""),
    ]
    with pytest.raises(DataError, match="the label of row train/4 of saved must be"):
        open_set("saved")


def test_the_same_image_in_two_classes_or_as_query_and_example_is_named(
    home: Path, photos: Path, command: Command
) -> None:
    (photos / "ant" / "copy.png").write_bytes((photos / "lion" / "3.png").read_bytes())
    Image.open(photos / "vase" / "0.png").save(photos / "vase" / "again.bmp")  # other bytes, the same pixels
    code, out, err = command(*TASK, "photos")
    assert code == 2 and "feasible settings: i0-s1-r0" in out and "no issue found" not in out
    assert "ant/copy.png: every image must be another one, lion/3.png is the same" in err
    assert "class 'ant' here and of 'lion' there" in err
    assert "vase/0.png: every image must be another one, vase/again.bmp is the same" in err and "issues: 2" in err


def test_an_archives_query_among_its_examples_is_named(home: Path, command: Command) -> None:
    made = Archive(count=6)
    row, other = made.rows[1, 2][:2]
    made.files[row["question_image"]] = made.files[row["image_1"]]
    made.files[other["image_1"]] = made.files[row["image_2"]]  # examples of several questions are how they are made
    code, out, _ = command(*TASK, made.pack(home), "--json")
    issues = json.loads(out)["issues"]
    assert code == 2 and len(issues) == 1 and "is an example of its own question" in issues[0]["message"]
    assert issues[0]["file"].endswith(row["question_image"])
