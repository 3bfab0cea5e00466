"""Class folders to train on, in ImageNet's layouts and a user's own; links and names that lead out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spae.data.datasets.image_folder import open_folder
from spae.data.datasets.sample_source import SampleSource
from spae.data.spec import parse_data_spec
from spae.errors import CorruptImage, DataError, UnknownName
from tests.spae.data.conftest import class_folders, image_bytes

LION, VASE = "n02129165", "n04522168"


def opened(path: Path, options: str = "", exclude: Path | None = None) -> SampleSource:
    return open_folder(parse_data_spec(f"folder:{path}{options}"), exclude, None)


def paths(source: SampleSource, rows: np.ndarray) -> list[str]:
    return [source.sample_name(row) for row in rows.tolist()]


def names(source: SampleSource) -> list[str]:
    return sorted(source.sample_name(number) for number in range(len(source.labels)))


@pytest.mark.parametrize("home", [".", "ILSVRC/Data/CLS-LOC"])
def test_train_and_val(tmp_path, home):
    class_folders(tmp_path / home / "train", {VASE: 3, LION: 2})
    class_folders(tmp_path / home / "val", {LION: 1, VASE: 2}, first=100)
    source = opened(tmp_path)
    assert source.classes == ("lion", "vase") and source.unnamed == 0
    assert paths(source, source.train) == [
        f"{LION}/0003.png", f"{LION}/0004.png", f"{VASE}/0000.png", f"{VASE}/0001.png", f"{VASE}/0002.png"
    ]  # fmt: skip
    assert paths(source, source.held_out) == [f"{LION}/0100.png", f"{VASE}/0101.png", f"{VASE}/0102.png"]
    assert source.labels.tolist() == [0, 0, 1, 1, 1, 0, 1, 1]
    assert source.content(int(source.held_out[0])) == tmp_path / home / "val" / LION / "0100.png"
    assert source.title.startswith("2 classes, 5 samples to train on, 3 held out")


def test_flat_validation_of_imagenet(tmp_path):
    root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    class_folders(root / "train", {LION: 2, VASE: 2})
    (root / "val").mkdir()
    for number in (1, 2):
        (root / "val" / f"ILSVRC2012_val_0000000{number}.JPEG").write_bytes(image_bytes(number, "jpg"))
    with pytest.raises(DataError, match=r"no class folders: .*LOC_val_solution\.csv"):
        opened(tmp_path)
    table = tmp_path / "LOC_val_solution.csv"
    table.write_text(f"ImageId,PredictionString\nILSVRC2012_val_00000002,{LION} 1 2 3 4 \n")
    with pytest.raises(DataError, match=r"00000001\.JPEG has no line"):
        opened(tmp_path)
    table.write_text(table.read_text() + f"ILSVRC2012_val_00000001,{VASE} 85 1 499 272 {VASE} 1 1 2 2\n")
    source = opened(tmp_path)
    assert source.labels[source.held_out].tolist() == [0, 1]
    assert paths(source, source.held_out)[1] == "ILSVRC2012_val_00000001.JPEG"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="ImageId,PredictionString"):
        opened(tmp_path)


def test_without_a_split_a_hundredth_is_held_out_whatever_the_order(tmp_path):
    class_folders(tmp_path, {"sea_lavender": 150, "rose": 150})
    source = opened(tmp_path)
    assert source.classes == ("rose", "sea lavender") and len(source.held_out) == 3 and len(source.train) == 297
    assert not set(source.train.tolist()) & set(source.held_out.tolist())
    held = paths(source, source.held_out)
    (tmp_path / "rose" / "zzz.png").write_bytes(image_bytes(7))
    again = opened(tmp_path)
    assert set(paths(again, again.held_out)) >= set(held) - {"rose/zzz.png"} and again.fingerprint != source.fingerprint


def test_names_beside_the_data(tmp_path):
    class_folders(tmp_path / "data" / "train", {"n01440764": 2, "n01443537": 2})
    source = opened(tmp_path / "data")
    assert source.unnamed == 2 and "2 of them called by number or id" in source.title
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius\n")
    assert opened(tmp_path / "data").classes == ("tench", "goldfish")
    (tmp_path / "other.txt").write_text("n01440764 a\nn01443537 b\n")
    assert opened(tmp_path / "data", f"?classes={tmp_path / 'other.txt'}").classes == ("a", "b")


def test_left_out_classes_are_gone_from_both_parts(tmp_path):
    class_folders(tmp_path / "train", {"cat": 2, "dog": 2, "emu": 2})
    class_folders(tmp_path / "val", {"cat": 1, "dog": 1, "emu": 1, "fox": 1})
    (tmp_path / "out.txt").write_text("dog")
    source = opened(tmp_path, exclude=tmp_path / "out.txt")
    assert (
        source.classes == ("cat", "emu")
        and source.labels[source.train].tolist() == [0, 0, 1, 1]
        and source.labels[source.held_out].tolist() == [0, 1]
    )
    used = [*paths(source, source.train), *paths(source, source.held_out)]
    assert len(used) == 6 and not any("dog" in path or "fox" in path for path in used)
    assert "1 classes of the held-out split are not in training" in source.title


def test_images_without_labels(tmp_path):
    class_folders(tmp_path, {"a": 2})
    (tmp_path / "loose.jpg").write_bytes(image_bytes(9, "jpg"))
    source = opened(tmp_path, "?labels=none")
    assert source.classes == ("unlabelled",) and names(source) == ["a/0000.png", "a/0001.png", "loose.jpg"]


def test_what_is_no_image_is_passed_over(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / ".DS_Store").write_text("x")
    (tmp_path / "a" / "._0000.png").write_text("x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / ".git").mkdir()
    assert len(opened(tmp_path).labels) == 4


def test_links_that_lead_out(tmp_path):
    root = class_folders(tmp_path / "root", {"a": 2, "b": 2})
    outside = tmp_path / "secret.png"
    outside.write_bytes(image_bytes(1))
    (root / "a" / "link.png").symlink_to(outside)
    (root / "b" / "dead.png").symlink_to("nowhere.png")
    (root / "b" / "near.png").symlink_to(root / "a" / "0000.png")
    source = opened(root)
    rows = {source.sample_name(row): row for row in range(len(source.labels))}
    with pytest.raises(CorruptImage, match="leads out of"):
        source.content(rows["a/link.png"])
    assert source.content(rows["b/near.png"]) == root / "b" / "near.png"
    (root / "c").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"'c' of .* is a link that leads out"):
        opened(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param("?val=/nowhere/at/all", "is no folder", id="val"),
        pytest.param("?classes=/nowhere.txt", "is no file", id="classes"),
        pytest.param("?lables=none", "did you mean 'labels'", id="option"),
    ],
)
def test_bad_options(tmp_path, options, message):
    class_folders(tmp_path, {"a": 2, "b": 2})
    with pytest.raises((DataError, UnknownName), match=message):
        opened(tmp_path, options)


def test_missing_and_empty(tmp_path):
    with pytest.raises(DataError, match="no folder at"):
        opened(tmp_path / "gone")
    with pytest.raises(DataError, match="holds no sample: expected CLASS/FILE"):
        opened(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"class folder 'empty' of .* holds no"):
        opened(tmp_path)


def test_file_names_that_are_no_text(tmp_path):
    root = class_folders(tmp_path, {"a": 2, "b": 2})
    name = b"caf\xe9\n.png"
    with open(bytes(root / "a") + b"/" + name, "wb") as stream:
        stream.write(image_bytes(3))
    source = opened(root)
    row = next(row for row in range(len(source.labels)) if "caf" in source.sample_name(row))
    assert source.sample_name(row).isprintable() and source.content(row).read_bytes() == image_bytes(3)
