"""Shards as rows to train on."""

from __future__ import annotations

import json
import tarfile

import pytest

from spae.data.datasets.indexed import IndexedData
from spae.data.datasets.sample_source import SampleSource
from spae.data.datasets.webdataset import expand, open_shards
from spae.data.opening import open_set
from spae.data.spec import parse_data_spec
from spae.data.transforms import ImageLoader
from spae.data.validation import survey_labelled
from spae.errors import DataError, InputError
from tests.spae.data.conftest import add, image_bytes, number_of, shard


def rows(spec: str, exclude=None) -> SampleSource:
    return open_shards(parse_data_spec(f"webdataset:{spec}"), exclude, None)


def test_rows_of_all_shards(tmp_path):
    for part in range(3):
        shard(tmp_path / f"train-{part:03d}.tar", range(part * 100, part * 100 + 40), classes=12)
    shard(tmp_path / "val-000.tar", range(300, 310), classes=12)
    source = rows(f"{tmp_path}/train-{{000..002}}.tar?val={tmp_path}/val-000.tar")
    assert len(source.train) == 120 and len(source.held_out) == 10
    assert source.classes == tuple(str(number) for number in range(12)) and source.unnamed == 12  # 10 comes after 9
    assert source.sample_name(40) == "train-001.tar:0100.png" and source.labels[40] == 100 % 12
    assert source.content(40).read() == image_bytes(100)


def test_batches_hold_what_their_names_say(tmp_path, opened):
    shard(tmp_path / "a.tar", range(30))
    data = IndexedData(rows(str(tmp_path / "a.tar")), ImageLoader(8), batch=7, seed=0, workers=2)
    opened.append(data)
    batch = data.at(3)
    for image, label, name in zip(batch.images, batch.labels.tolist(), batch.names, strict=True):
        assert name == f"a.tar:{number_of(image):04d}.png" and label == number_of(image) % 2
    assert len(data.held_out()) == 1  # a hundredth, at least one


def test_names_of_numbers(tmp_path):
    shard(tmp_path / "a.tar", range(10))
    index = {"0": ["n01440764", "tench"], "1": ["n02129165", "lion"]}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    source = rows(str(tmp_path / "a.tar"))
    assert source.classes == ("tench", "lion") and source.unnamed == 0
    (tmp_path / "out.txt").write_text("n01440764")
    kept = rows(str(tmp_path / "a.tar"), tmp_path / "out.txt")
    assert kept.classes == ("lion",) and len(kept.train) + len(kept.held_out) == 5
    assert {kept.sample_name(row) for row in kept.train} <= {f"a.tar:{number:04d}.png" for number in range(1, 10, 2)}


def test_bad_members_are_counted(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(20):
            add(archive, f"{number}.png", image_bytes(number))
            add(archive, f"{number}.txt", b"caf\xe9" if number in (3, 4) else b"cat")
        add(archive, "../up.png", b"x")
    source = open_shards(parse_data_spec(f"webdataset:{tmp_path}/a.tar"), None, tmp_path / "bad.txt")
    assert source.corrupt_files.count == 3 and len(source.labels) == 18 and source.classes == ("cat",)
    assert len((tmp_path / "bad.txt").read_text().splitlines()) == 3


def test_too_many_bad_members(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(30):
            add(archive, f"../{number}.png", b"x")
    with pytest.raises(DataError, match=r"11 files are unreadable; the limit is 10.*a name that leads out"):
        rows(str(tmp_path / "a.tar"))


def test_samples_without_labels(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(4):
            add(archive, f"{number}.png", image_bytes(number))
    with pytest.raises(
        DataError, match=r"a\.tar:0\.png has no label, nor have 3 others \(a\.tar:1\.png, .*labels=none"
    ):
        rows(str(tmp_path / "a.tar"))
    assert rows(f"{tmp_path}/a.tar?labels=none").classes == ("unlabelled",)
    with pytest.raises(InputError, match="labels must be one of"):
        rows(f"{tmp_path}/a.tar?labels=caption")


def test_shard_in_both_splits_is_refused(tmp_path):
    shard(tmp_path / "a.tar", range(4))
    with pytest.raises(DataError, match="both trained on and held out"):
        rows(f"{tmp_path}/a.tar?val={tmp_path}/a.tar")


def test_no_samples(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "readme.md", b"x")
    with pytest.raises(DataError, match="holds no sample"):
        rows(str(tmp_path / "a.tar"))


def test_file_that_shrank_after_it_was_indexed(tmp_path, opened):
    path = shard(tmp_path / "a.tar", range(30))
    data = IndexedData(rows(str(path)), ImageLoader(8), batch=4, seed=0, workers=1)
    opened.append(data)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="files are unreadable"):
        for step in range(10):
            data.at(step)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        pytest.param("a-{000..002}.tar", ["a-000", "a-001", "a-002"], id="range"),
        pytest.param("a-{9..11}.tar", ["a-9", "a-10", "a-11"], id="no-zeros"),
        pytest.param("{b,a}-{0..1}.tar", ["b-0", "b-1", "a-0", "a-1"], id="two"),
        pytest.param("a-*.tar", ["a-000", "a-001", "a-002", "a-0", "a-1", "a-10", "a-11", "a-9"], id="star"),
        pytest.param("a-00?.tar", ["a-000", "a-001", "a-002"], id="question"),
    ],
)
def test_shard_patterns(tmp_path, pattern, names):
    for name in ("a-000", "a-001", "a-002", "a-9", "a-10", "a-11", "a-0", "a-1", "b-0", "b-1", "a", "b0", "b1"):
        (tmp_path / f"{name}.tar").touch()
    found = [path.stem for path in expand(str(tmp_path / pattern))]
    assert sorted(found) == sorted(names) if "*" in pattern else found == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("gone.tar", "no shard at"),
        ("a-{0..1}.tar", r"no shard at .*a-1\.tar"),
        ("z*.tar", "no file matches"),
        ("a-{3..1}.tar", "count upwards"),
        ("a-{0..99999999999}.tar", "count upwards"),
        ("{a,b}{0..99}{0..99}{0..99}.tar", "names over 100,000"),
        ("a-{0,0}.tar", "twice"),
        ("", "is a folder"),
    ],
)
def test_patterns_that_name_no_shards(tmp_path, pattern, message):
    (tmp_path / "a-0.tar").touch()
    with pytest.raises(DataError, match=message):
        expand(f"{tmp_path}/{pattern}")


@pytest.mark.parametrize("pattern", ["https://host/a.tar", "pipe:cat a.tar", "s3://b/a.tar"])
def test_remote_shards(pattern):
    with pytest.raises(DataError, match="not local"):
        expand(pattern)


DOTTED = [("1.cls", b"0"), ("1.png", image_bytes(1)), ("2.cls", b"1"), ("2.png", image_bytes(2)), ("3.x.png", b"x")]
PASSED = "; 2 files passed over: 1 .x.png (a.tar:3.x.png), 1 .md (a.tar:b/READ.md)"


def test_members_passed_over_are_named_in_every_title(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in [*DOTTED, ("b/READ.md", b"x")]:
            add(archive, name, content)
    assert rows(f"{tmp_path}/a.tar").title.endswith(PASSED)
    assert open_set(f"webdataset:{tmp_path}/a.tar").title.endswith("2 classes, 2 images" + PASSED)
    survey = survey_labelled(f"webdataset:{tmp_path}/a.tar")
    assert [one for one in survey.issues() if one] == [] and survey.title.endswith(PASSED)


def test_shard_of_names_with_dots_alone_says_what_it_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(3):
            add(archive, f"{number}.x.png", image_bytes(number))
    with pytest.raises(DataError, match=r"holds no sample: .*; 3 files passed over: 3 \.x\.png \(a\.tar:0\.x\.png\)"):
        rows(f"{tmp_path}/a.tar")
