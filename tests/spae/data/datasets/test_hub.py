"""Hugging Face sets from parquet and from disk, written by `datasets` itself; and cells that must not be followed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spae.data.class_names import TEST_CLASSES
from spae.data.datasets import hub_columns
from spae.data.datasets.hub import open_hub
from spae.data.datasets.hub_columns import cell_content
from spae.data.datasets.indexed import IndexedData
from spae.data.datasets.sample_source import SampleSource
from spae.data.spec import parse_data_spec
from spae.data.transforms import ImageLoader
from spae.errors import CorruptImage, DataError, InputError
from tests.spae.data.conftest import class_folders, image_bytes, number_of

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """No bars, and a cache of this test's own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def features(label: object) -> object:
    return datasets.Features({"img": datasets.Image(), "label": label, "note": datasets.Value("string")})


def table(numbers: range, label: object = None, value=lambda number: number % 3):
    label = label or datasets.ClassLabel(names=["cat", "sea_lavender", "dog"])
    columns = {
        "img": [{"bytes": image_bytes(number), "path": None} for number in numbers],
        "label": [value(number) for number in numbers],
        "note": ["x"] * len(numbers),
    }
    return datasets.Dataset.from_dict(columns, features=features(label))


def rows(spec: str, exclude: Path | None = None) -> SampleSource:
    return open_hub(parse_data_spec(f"hf:{spec}"), exclude, None)


def test_parquet_file(tmp_path, opened):
    table(range(30)).to_parquet(tmp_path / "train.parquet")
    source = rows(str(tmp_path / "train.parquet"))
    assert source.classes == ("cat", "sea lavender", "dog") and source.unnamed == 0
    assert len(source.train) == 29 and len(source.held_out) == 1 and source.sample_name(7) == "train/7"
    data = IndexedData(source, ImageLoader(8), batch=6, seed=0, workers=2)
    opened.append(data)
    batch = data.at(2)
    for image, label, name in zip(batch.images, batch.labels.tolist(), batch.names, strict=True):
        assert name == f"train/{number_of(image)}" and label == number_of(image) % 3


def test_saved_splits(tmp_path):
    parts = {"train": table(range(12)), "test": table(range(100, 104)), "validation": table(range(200, 206))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    source = rows(str(tmp_path / "saved"))
    assert len(source.train) == 12 and len(source.held_out) == 6 and source.sample_name(12) == "validation/0"
    assert source.content(12).read() == image_bytes(200)
    assert len(rows(f"{tmp_path / 'saved'}?val=test&split=validation").held_out) == 4
    with pytest.raises(DataError, match="no split 'valid': name one by "):
        rows(f"{tmp_path / 'saved'}?val=valid")
    with pytest.raises(DataError, match="both 'test'"):
        rows(f"{tmp_path / 'saved'}?val=test&split=test")


def test_folder_of_images(tmp_path):
    class_folders(tmp_path / "set" / "train", {"cat": 3, "dog": 3})
    source = rows(str(tmp_path / "set"))
    assert source.classes == ("cat", "dog")
    found = source.content(4)
    assert isinstance(found, Path) and found.read_bytes() == image_bytes(4)


def test_excluded_and_text_labels(tmp_path):
    table(range(12), datasets.Value("string"), lambda number: "abc"[number % 3]).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "out.txt").write_text("b")
    source = rows(str(tmp_path / "a.parquet"), tmp_path / "out.txt")
    assert source.classes == ("a", "c") and len(source.train) + len(source.held_out) == 8
    assert all(source.labels[row] == {0: 0, 2: 1}[row % 3] for row in source.train.tolist())


def test_excluded_from_an_imagenet_of_lemmas(tmp_path, monkeypatch):
    """As `disjoint` trains on imagenet-1k of the hub, whose ClassLabel names are the synonyms of WordNet."""
    lemmas = [f"{name}, also {number}" for number, name in enumerate(TEST_CLASSES.values())]
    label = datasets.ClassLabel(names=["tench, Tinca tinca", *lemmas, "toilet tissue, toilet paper, bathroom tissue"])
    table(range(44), label, lambda number: number % 22).to_parquet(tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    source = rows("a.parquet", Path("mini-imagenet-test"))
    assert source.classes == ("tench, Tinca tinca", "toilet tissue, toilet paper, bathroom tissue")


def test_number_labels_are_in_order(tmp_path):
    table(range(12), datasets.Value("int64"), lambda number: number).to_parquet(tmp_path / "a.parquet")
    source = rows(str(tmp_path / "a.parquet"))
    assert source.classes == tuple(map(str, range(12))) and source.unnamed == 12


def test_parquet_without_image_types(tmp_path):
    cells = pa.array([{"bytes": image_bytes(number), "path": "a.png"} for number in range(4)])
    pq.write_table(pa.table({"image": cells, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet")
    assert rows(str(tmp_path / "a.parquet")).content(3).read() == image_bytes(3)
    assert rows(f"{tmp_path / 'a.parquet'}?label=none").classes == ("unlabelled",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param("?image=photo", "has no column 'photo': it has img, label, note", id="image"),
        pytest.param("?label=kind", "has no column 'kind'", id="label"),
        pytest.param("?split=training", "no split 'training'", id="split"),
    ],
)
def test_unknown_columns_and_splits_are_refused(tmp_path, options, message):
    table(range(6)).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        rows(f"{tmp_path / 'a.parquet'}{options}")


def test_ambiguous_columns_are_refused(tmp_path):
    pq.write_table(pa.table({"x": [1, 2], "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"one column of images, it has none among x, label: name it by \?image=COLUMN"):
        rows(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    "content", [b"", b"no parquet", b"PAR1" + b"\0" * 100 + b"PAR1"], ids=["empty", "text", "torn"]
)
def test_no_parquet(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match="cannot be loaded") as caught:
        rows(str(tmp_path / "a.parquet"))
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=r"neither \.parquet nor \.arrow"):
        rows(str(tmp_path / "a.csv"))


def test_rows_without_a_label(tmp_path):
    table(range(6), value=lambda number: None if number == 3 else 0).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="must be one of the 3 classes, got None"):
        rows(str(tmp_path / "a.parquet"))


def test_bad_cells_are_counted_and_replaced(tmp_path, opened):
    cells = [{"bytes": image_bytes(number), "path": None} for number in range(20)]
    cells[3]["bytes"], cells[5]["bytes"] = b"no image", None
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"img": pa.array(cells, kind), "label": [0] * 20}), tmp_path / "a.parquet")
    data = IndexedData(rows(str(tmp_path / "a.parquet")), ImageLoader(8), batch=5, seed=0, workers=2)
    opened.append(data)
    names = [name for step in range(4) for name in data.at(step).names]
    assert not {"train/3", "train/5"} & set(names) and data.corrupt_files.count == 2


def test_a_path_in_a_cell_stays_in_the_folder(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "secret.png"
    home.mkdir()
    outside.write_bytes(image_bytes(1))
    (home / "a.png").write_bytes(image_bytes(2))
    (home / "link.png").symlink_to(outside)
    homes = (home.resolve(),)
    assert cell_content({"bytes": None, "path": str(home / "a.png")}, "x", homes) == (home / "a.png").resolve()
    for path in (str(outside), str(home / ".." / "secret.png"), str(home / "link.png"), "/etc/passwd", "a\0b"):
        with pytest.raises(CorruptImage, match=r"^row 3 "):
            cell_content({"bytes": None, "path": path}, "row 3", homes)
    for cell in (None, 3, {}, {"bytes": None, "path": None}):
        with pytest.raises(CorruptImage, match="row 3 is empty"):
            cell_content(cell, "row 3", homes)


def test_without_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r'pip install "spae-bench\[data\]"'):
        hub_columns.hub_library()
