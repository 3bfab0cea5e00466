"""Evaluation sets of class folders and of the mini-ImageNet csv: sound ones, and one error for each thing wrong."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spae.data.class_names import TEST_CLASSES
from spae.data.datasets.image_folder import open_folder
from spae.data.opening import open_set
from spae.data.protocol import ImageSet
from spae.data.spec import parse_data_spec
from spae.errors import CorruptImage, DataError
from tests.spae.data.conftest import add, class_folders, colour, image_bytes, shard


def draw(path: Path, paint: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), paint).save(path)
    return path


def folder(root: Path, *labels: str) -> Path:
    for label in labels:
        draw(root / label / "1.png")
    return root


def mini(root: Path, lines: list[str], header: str = "filename,label") -> Path:
    """The csv form, with an image for each plain file name."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for line in lines:
        name = line.split(",")[0]
        if name and "/" not in name:
            draw(root / "images" / name)
    table = root / "test.csv"
    table.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return table


def names(one: ImageSet) -> list[str]:
    return [each.name for each in one.classes]


def refuses(path: Path, message: str, kind: type[DataError] = DataError) -> None:
    with pytest.raises(kind, match=message) as caught:
        open_set(str(path))
    assert "\n" not in str(caught.value)


def test_folder_of_class_folders(tmp_path):
    draw(tmp_path / "sea_lavender" / "b.JPG")
    draw(tmp_path / "sea_lavender" / "a.webp", "blue")
    draw(tmp_path / "rose" / "1.png")
    (tmp_path / "rose" / "notes.txt").write_text("no image")
    (tmp_path / "readme.md").write_text("no class")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "rose" / "._1.png").write_bytes(b"left by a system")
    one = open_set(str(tmp_path))
    assert isinstance(one, ImageSet) and one.name == str(tmp_path) and not one.embedded
    assert names(one) == ["rose", "sea lavender"]
    assert one.classes[1].support == one.classes[1].query == ("sea_lavender/a.webp", "sea_lavender/b.JPG")
    assert "2 classes, 3 images" in one.title
    image = one.image("sea_lavender/a.webp")
    assert image.shape == (4, 5, 3) and np.abs(image.astype(int) - [0, 0, 255]).max() < 12
    with pytest.raises(DataError, match="has no image"):
        one.image("../rose/1.png")


def test_fingerprint_follows_names_ids_and_bytes(tmp_path):
    first = open_set(str(folder(tmp_path / "a", "x", "y"))).fingerprint
    assert open_set(str(folder(tmp_path / "b", "y", "x"))).fingerprint == first
    draw(tmp_path / "b" / "x" / "1.png", "blue")
    other_bytes = open_set(str(tmp_path / "b")).fingerprint
    (tmp_path / "a" / "x" / "1.png").rename(tmp_path / "a" / "x" / "2.png")
    other_id = open_set(str(tmp_path / "a")).fingerprint
    (tmp_path / "a" / "classes.txt").write_text("x cross\n")
    other_name = open_set(str(tmp_path / "a")).fingerprint
    assert len({first, other_bytes, other_id, other_name}) == 4


def test_wordnet_ids_take_their_names(tmp_path):
    one = open_set(str(folder(tmp_path, *TEST_CLASSES)))
    assert names(one) == sorted(TEST_CLASSES.values()) and len(names(one)) == 20
    lion = next(each for each in one.classes if each.name == "lion")
    assert lion.support == ("n02129165/1.png",)


def test_unknown_wordnet_id_names_the_fix(tmp_path):
    folder(tmp_path, "n02129165", "n99999999")
    refuses(tmp_path, r"WordNet id n99999999.*classes\.txt.*'n99999999 NAME'")
    (tmp_path / "classes.txt").write_text("\ufeffn99999999  sea   cow\n\n", encoding="utf-8")
    assert names(open_set(str(tmp_path))) == ["lion", "sea cow"]


def test_wordnet_ids_among_other_names_stay(tmp_path):
    assert names(open_set(str(folder(tmp_path, "n02129165", "cat")))) == ["cat", "n02129165"]


@pytest.mark.parametrize("line", ["n99999999", "n99999999 a\nn99999999 b", "n99999999 a\x07b"])
def test_bad_names_file(tmp_path, line):
    folder(tmp_path, "n02129165", "n99999999")
    (tmp_path / "classes.txt").write_text(line, encoding="utf-8")
    refuses(tmp_path, "classes.txt")


def test_names_file_of_another_encoding(tmp_path):
    folder(tmp_path, "a", "b")
    (tmp_path / "classes.txt").write_bytes("a é".encode("utf-16"))
    refuses(tmp_path, "UTF-8")


def test_missing_empty_and_single(tmp_path):
    refuses(tmp_path / "gone", "no folder or csv at")
    refuses(tmp_path, "holds no class")
    refuses(folder(tmp_path, "only"), r"one class \(only\)")
    (tmp_path / "bare").mkdir()
    refuses(tmp_path, "'bare' of .* holds no file")


def test_two_folders_of_one_name(tmp_path):
    refuses(folder(tmp_path, "polar_bear", "Polar bear"), "two classes called")


def test_folder_without_a_name(tmp_path):
    refuses(folder(tmp_path, "___", "b"), "without a name")


@pytest.mark.parametrize("label", ["a\nb", "a\x1b[31m", os.fsdecode(b"caf\xe9")])
def test_names_that_cannot_stand_in_a_prompt(tmp_path, label):
    refuses(folder(tmp_path, label, "b"), "unprintable")


def test_corrupt_header_is_found_at_once(tmp_path):
    folder(tmp_path, "a", "b")
    (tmp_path / "b" / "2.jpg").write_bytes(b"not an image")
    refuses(tmp_path, r"image b/2\.jpg of .* does not decode", CorruptImage)


def test_corrupt_body_is_found_when_read(tmp_path):
    folder(tmp_path, "a", "b")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "b" / "2.png")
    content = (tmp_path / "b" / "2.png").read_bytes()
    (tmp_path / "b" / "2.png").write_bytes(content[:5000])
    one = open_set(str(tmp_path))
    with pytest.raises(CorruptImage, match=r"b/2\.png"):
        one.image("b/2.png")


def test_links_that_leave_the_folder_are_refused(tmp_path):
    outside = draw(tmp_path / "outside" / "secret.png")
    root = folder(tmp_path / "root", "a", "b")
    (root / "a" / "2.png").symlink_to(outside)
    refuses(root, "leads out of")
    (root / "a" / "2.png").unlink()
    (root / "c").symlink_to(tmp_path / "outside", target_is_directory=True)
    refuses(root, "leads out of")


def test_links_inside_the_folder_work(tmp_path):
    root = folder(tmp_path / "root", "a", "b")
    (root / "a" / "2.png").symlink_to(root / "b" / "1.png")
    (tmp_path / "link").symlink_to(root, target_is_directory=True)  # where the user's own path leads is the user's
    assert open_set(str(tmp_path / "link")).classes[0].support == ("a/1.png", "a/2.png")


@pytest.mark.parametrize("target", ["nowhere.png", "2.png"])
def test_dead_and_circular_links(tmp_path, target):
    root = folder(tmp_path, "a", "b")
    (root / "a" / "2.png").symlink_to(target)
    refuses(root, "link")


def test_csv_beside_images(tmp_path):
    table = mini(tmp_path, ["n0212916500000002.jpg,n02129165", "x.jpg,n04522168", "n0212916500000001.jpg,n02129165"])
    one = open_set(str(table))
    assert names(one) == ["lion", "vase"]
    assert one.classes[0].support == ("n0212916500000001.jpg", "n0212916500000002.jpg")
    assert one.image("x.jpg").shape == (4, 5, 3)


def test_csv_with_a_byte_order_mark_and_more_columns(tmp_path):
    table = mini(tmp_path, ["a.png,king_crab,1", "b.png,ant,2"], header="\ufefffilename,label,more")
    assert names(open_set(str(table))) == ["ant", "king crab"]


def test_folder_of_a_csv_says_to_give_the_csv(tmp_path):
    mini(tmp_path, ["a.png,x", "b.png,y"])
    refuses(tmp_path, r"give the csv itself \(.*test\.csv\)")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([], "holds no class", id="empty"),
        pytest.param(["a.png,x", "b.png,x"], r"one class \(x\)", id="one-class"),
        pytest.param(["a.png,x", "b.png,"], "line 3 lacks", id="no-label"),
        pytest.param(["a.png,x", "b.png"], "line 3 lacks", id="short-line"),
        pytest.param(["a.png,x", "a.png,y"], "lists 'a.png' again", id="twice"),
        pytest.param(["a.png,x", "sub/gone.png,y"], r"lists 'sub/gone\.png', which is not in", id="missing"),
        pytest.param(["a.png,x", "../../secret.png,y"], "leads out of", id="parent"),
        pytest.param(["a.png,x", "/etc/hostname,y"], "leads out of", id="absolute"),
        pytest.param(['a.png,x"y', 'b.png,"z'], "does not read as a UTF-8 csv", id="quote"),
        pytest.param(["a.png,x", "b.png,y\x1b[0m"], "unprintable", id="escape"),
    ],
)
def test_bad_csv(tmp_path, lines, message):
    draw(tmp_path / "secret.png")
    refuses(mini(tmp_path / "root" / "set", lines), message)


def test_csv_of_other_columns_or_no_text(tmp_path):
    refuses(mini(tmp_path, ["a.png,x"], header="file,class"), "expected filename,label")
    (tmp_path / "test.csv").write_bytes(b"\xff\xfe\x00\x01")
    refuses(tmp_path / "test.csv", "UTF-8 csv")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "test.csv").write_text("filename,label\n")
    refuses(tmp_path / "alone" / "test.csv", "images/ beside it")


def test_one_set_in_four_formats(tmp_path):
    """The same images in folders, beside a csv, in tar shards and in a Parquet file: the same classes and pixels."""
    datasets = pytest.importorskip("datasets")
    labels = ["ant", "king crab"]
    class_folders(tmp_path / "folders", dict.fromkeys(labels, 3))
    (tmp_path / "mini" / "images").mkdir(parents=True)
    rows = [(f"{number:04d}.png", image_bytes(number), labels[number // 3]) for number in range(6)]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content, label in rows:
            (tmp_path / "mini" / "images" / name).write_bytes(content)
            add(archive, name, content)
            add(archive, name.replace("png", "txt"), label.encode())
    lines = ["filename,label", *(f"{name},{label}" for name, _, label in reversed(rows))]
    (tmp_path / "mini" / "test.csv").write_text("\n".join(lines))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=labels)})
    cells = [{"bytes": content, "path": None} for _, content, _ in rows]
    columns = {"image": cells, "label": [number // 3 for number in range(6)]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "a.parquet")
    for spec in ("folders", "mini/test.csv", "a.parquet"):
        assert_same(open_set(f"{tmp_path}/{spec}"), labels)
    assert_same(open_set(f"webdataset:{tmp_path}/*.tar"), labels)
    assert_same(open_set(f"hf:{tmp_path}/a.parquet?split=train"), labels)


def assert_same(one: ImageSet, labels: list[str]) -> None:
    assert [each.name for each in one.classes] == labels and not one.embedded
    for number, image_id in enumerate(image_id for each in one.classes for image_id in each.query):
        assert (one.image(image_id) == colour(number)).all()


def test_shards_with_a_bad_member_are_refused(tmp_path):
    shard(tmp_path / "a.tar", range(6))
    with tarfile.open(tmp_path / "a.tar", "a") as archive:
        add(archive, "../up.png", b"x")
    with pytest.raises(DataError, match="leads out of the archive"):
        open_set(f"webdataset:{tmp_path}/a.tar")


def test_a_csv_to_train_on(tmp_path):
    table = mini(tmp_path, ["b.png,rose", "a.png,rose", "c.png,lily", *(f"{number}.png,lily" for number in range(9))])
    source = open_folder(parse_data_spec(f"folder:{table}"), None, None)
    assert source.classes == ("lily", "rose") and len(source.train) == 11 and len(source.held_out) == 1
    names = [source.sample_name(number) for number in range(12)]
    assert names[-2:] == ["a.png", "b.png"] and source.labels.tolist() == [0] * 10 + [1] * 2
    assert source.content(11) == tmp_path / "images" / "b.png"
