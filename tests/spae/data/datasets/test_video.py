"""Videos as rows: class folders, and Kinetics' csv beside a folder of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from spae.data.datasets.indexed import IndexedData
from spae.data.datasets.sample_source import SampleSource
from spae.data.datasets.video import open_video
from spae.data.datasets.video_file import VideoLoader
from spae.data.spec import parse_data_spec
from spae.errors import DataError
from tests.spae.data.datasets.test_video_file import video

pytest.importorskip("av")
HEADER = "label,youtube_id,time_start,time_end,split\n"


def rows(path: Path, options: str = "", exclude: Path | None = None) -> SampleSource:
    return open_video(parse_data_spec(f"video:{path}{options}"), exclude, None)


def touched(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_class_folders(tmp_path, opened):
    for place, name in enumerate(("train/riding_a_bike/a.mp4", "train/abseiling/b.mp4", "val/abseiling/c.mp4")):
        video(tmp_path / name, 12 + place)
    source = rows(tmp_path, "?stride=2")
    assert source.classes == ("abseiling", "riding a bike") and source.unnamed == 0
    assert [source.sample_name(row) for row in source.held_out] == ["abseiling/c.mp4"]
    data = IndexedData(source, VideoLoader(16, 5, 2), batch=3, seed=0, workers=2)
    opened.append(data)
    batch = data.at(0)
    assert batch.images.shape == (3, 3, 5, 16, 16) and batch.labels.tolist() == [
        source.classes.index("abseiling" if "abseiling" in name else "riding a bike") for name in batch.names
    ]
    assert data.held_out().images.shape == (1, 3, 5, 16, 16)


def test_the_csv_of_kinetics(tmp_path):
    touched(tmp_path / "train", "abc_000010_000020.mp4", "-x_y_000000_000010.mp4", "only_id.mp4", "stray.mp4")
    touched(tmp_path / "val", "def_000003_000013.mp4")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.csv").write_text(
        HEADER + "riding a bike,abc,10,20,train\n" "abseiling,-x_y,0,10,train\n" "abseiling,only_id,5,15,train\n"
        "zumba,gone,5,15,train\n" "riding a bike,abc,10,20,train\n"
    )  # fmt: skip
    (tmp_path / "annotations" / "val.csv").write_text(HEADER + "abseiling,def,3,13,validate\n")
    source = rows(tmp_path)
    assert source.classes == ("abseiling", "riding a bike") and source.labels.tolist() == [0, 0, 1, 0]
    assert [source.sample_name(row) for row in source.train] == [
        "-x_y_000000_000010.mp4", "only_id.mp4", "abc_000010_000020.mp4"
    ]  # fmt: skip
    assert [source.sample_name(row) for row in source.held_out] == ["def_000003_000013.mp4"]
    assert source.content(3) == tmp_path / "val" / "def_000003_000013.mp4"
    assert "1 videos that the csv lists are missing" in source.title
    (tmp_path / "out.txt").write_text("abseiling")
    with pytest.raises(DataError, match="holds no sample of the classes that are trained on"):
        rows(tmp_path, exclude=tmp_path / "out.txt")


def test_ids_of_a_csv_that_are_paths_match_no_file(tmp_path):
    """An id that is a path gets nowhere."""
    touched(tmp_path / "set" / "train", "abc.mp4")
    touched(tmp_path, "secret.mp4")
    table = tmp_path / "set" / "train.csv"
    table.write_text(HEADER + "a,abc,0,1,train\n" + "a,../../secret,0,1,train\n" + f"b,{tmp_path}/secret,0,1,train\n")
    source = rows(tmp_path / "set")
    assert [source.sample_name(row) for row in source.train] == [
        "abc.mp4"
    ] and "2 videos that the csv lists are missing" in source.title


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"a,b\n1,2\n", "expected label,youtube_id", id="columns"),
        pytest.param(HEADER.encode() + b",abc,0,1,train\n", "line 2 has no printable label", id="no-label"),
        pytest.param(HEADER.encode() + b"caf\xe9,abc,0,1,train\n", "UTF-8 csv", id="latin-1"),
        pytest.param(HEADER.encode() + b"a,gone,0,1,train\n", "none of the videos", id="none-there"),
        pytest.param(HEADER.encode() + b'a,"abc\n', "UTF-8 csv", id="quote"),
    ],
)
def test_bad_csv(tmp_path, content, message):
    touched(tmp_path / "train", "abc.mp4")
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        rows(tmp_path)


def test_held_out_folder_without_labels(tmp_path):
    touched(tmp_path / "train", "abc.mp4")
    touched(tmp_path / "val", "def.mp4")
    (tmp_path / "train.csv").write_text(HEADER + "a,abc,0,1,train\n")
    with pytest.raises(DataError, match=r"has no csv of labels: name it by \?valcsv=FILE"):
        rows(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="no folder at"):
        rows(tmp_path / "gone")


def test_videos_too_short_for_the_stride_are_counted_named_and_not_silently_repeated(tmp_path, opened, caplog):
    for place, frames in enumerate((9, 9, 9, 9, 40)):
        video(tmp_path / "train" / "ants" / f"{place}.mp4", frames)
    video(tmp_path / "val" / "ants" / "v.mp4", 40)
    data = IndexedData(rows(tmp_path, "?stride=3"), VideoLoader(16, 8, 3), batch=4, seed=0, workers=2)
    opened.append(data)
    names = [name for step in range(2) for name in data.at(step).names]
    assert set(names) == {"ants/4.mp4"} and data.corrupt_files.repeated > 0
    assert "ants/0.mp4 has 9 frames, 22 are needed for 8 at stride 3" in data.corrupt_files.summary()
    assert sum("a batch shows other samples again" in record.getMessage() for record in caplog.records) == 1
