"""Streams: every row once an epoch, the same at every entry, and no reading from the beginning after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from spae.cache_folder import cache_folder
from spae.data.datasets import hub_stream
from spae.data.datasets.hub_stream_data import StreamData, open_stream
from spae.data.datasets.protocol import TrainingData
from spae.data.spec import parse_data_spec
from spae.data.transforms import ImageLoader
from spae.errors import DataError
from tests.spae.data.conftest import number_of
from tests.spae.data.datasets.test_hub import datasets, table

ROWS = 60


@pytest.fixture(scope="module")
def parquet(tmp_path_factory) -> Path:
    """Four shards of fifteen rows, and a split held out."""
    folder = tmp_path_factory.mktemp("set")
    datasets.disable_progress_bars()
    for part in range(4):
        table(range(part * 15, part * 15 + 15)).to_parquet(folder / f"train-{part:05d}-of-00004.parquet")
    table(range(100, 107)).to_parquet(folder / "test-00000-of-00001.parquet")
    return folder


def stream(folder: Path, opened: list[TrainingData], options: str = "", exclude: Path | None = None) -> StreamData:
    spec = parse_data_spec(f"hf:{folder}?streaming=yes&block=16{options}")
    data = open_stream(
        spec, ImageLoader(8), batch=4, seed=3, exclude=exclude, workers=2, corrupt_files_list=None
    )  # fmt: skip
    opened.append(data)
    return data


def numbers(data: StreamData, steps: range) -> list[int]:
    return [number_of(image) for step in steps for image in data.at(step).images]


def test_every_row_once_an_epoch_shuffled(parquet, opened):
    data = stream(parquet, opened)
    assert isinstance(data, TrainingData) and data.classes == ("cat", "sea lavender", "dog")
    seen = numbers(data, range(28))  # seven blocks: the last of an epoch reaches into the next
    assert sorted(seen[:48]) != seen[:48] and len(set(seen[:48])) == 48
    counts = [seen.count(number) for number in range(ROWS)]
    assert min(counts) >= 1 and max(counts) == 2 and sum(counts) == 112
    for label, image in zip(data.at(27).labels.tolist(), data.at(27).images, strict=True):
        assert label == number_of(image) % 3


def test_the_same_from_any_step(parquet, opened, own_cache, monkeypatch):
    whole = stream(parquet, opened)
    batches = [whole.at(step) for step in range(24)]
    # Afterwards (the beginnings of blocks are known), without them, and backwards.
    later = stream(parquet, opened)
    monkeypatch.setenv("SPAE_CACHE", str(own_cache / "other"))
    for data, steps in ((later, (17, 18, 3, 23)), (stream(parquet, opened), (21, 5, 0, 22))):
        for step in steps:
            found = data.at(step)
            assert found.names == batches[step].names and torch.equal(found.images, batches[step].images)
            assert torch.equal(data.at(step, slice(1, 3)).images, found.images[1:3])


def test_a_resumed_run_goes_straight_to_its_block(parquet, opened, monkeypatch):
    numbers(stream(parquet, opened), range(24))
    (journal,) = (cache_folder() / "streams").glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["block"] for line in lines] == list(range(1, len(lines) + 1)) and journal.stat().st_size < 10_000
    read = []
    row = hub_stream.RowReader.row
    monkeypatch.setattr(hub_stream.RowReader, "row", lambda self, *a: read.append(1) or row(self, *a))
    stream(parquet, opened).at(20)  # row 80: the beginning of block 5
    assert len(read) <= 16 * 2 + 4


def test_a_journal_cut_by_a_kill(parquet, opened):
    expected = numbers(stream(parquet, opened), range(20))
    (journal,) = (cache_folder() / "streams").glob("*.jsonl")
    journal.write_text(journal.read_text()[:-30] + '\n{"block": "x"}\n[1]\nnonsense')
    assert numbers(stream(parquet, opened), range(20)) == expected


def test_left_out_classes(parquet, opened, tmp_path):
    (tmp_path / "out.txt").write_text("sea lavender")
    data = stream(parquet, opened, exclude=tmp_path / "out.txt")
    assert data.classes == ("cat", "dog")
    assert all(number % 3 != 1 for number in numbers(data, range(10)))
    assert all(number_of(image) % 3 != 1 for image in data.held_out().images)


def test_held_out(parquet, opened):
    data = stream(parquet, opened)
    assert [number_of(image) for image in data.held_out(3).images] == [100, 101, 102]
    assert [number_of(image) for image in data.held_out().images] == list(range(100, 107))
    assert len(data.held_out(3)) == 3


def test_bad_rows_give_their_place_to_the_next_good_one_of_the_batch(tmp_path, opened):
    good = table(range(40))
    cells = [dict(cell) for cell in good.cast_column("img", datasets.Image(decode=False))["img"]]
    for number in (7, 20):
        cells[number]["bytes"] = b"no image"
    columns = {"img": cells, "label": good["label"][:], "note": good["note"][:]}
    bad = datasets.Dataset.from_dict(columns, features=good.features)
    for name, one in (("good", good), ("bad", bad)):
        (tmp_path / name).mkdir()
        one.to_parquet(tmp_path / name / "train-00000-of-00001.parquet")
        table(range(100, 102)).to_parquet(tmp_path / name / "test-00000-of-00001.parquet")
    whole, damaged = stream(tmp_path / "good", opened), stream(tmp_path / "bad", opened)
    for step in range(10):
        wanted, found = whole.at(step), damaged.at(step)
        seen = [number_of(image) for image in wanted.images]
        after = [next(one for one in seen[place:] + seen[:place] if one not in (7, 20)) for place in range(4)]
        assert [number_of(image) for image in found.images] == after
    assert damaged.corrupt_files.count == 2


def test_no_split_to_hold_out(tmp_path, opened):
    table(range(6)).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match="has no split to hold out"):
        stream(tmp_path, opened)


def test_labels_that_nothing_names(tmp_path, opened):
    for name in ("train", "test"):
        table(range(6), datasets.Value("int64"), lambda number: number % 2).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"names no classes: give \?classes=FILE"):
        stream(tmp_path, opened)
    (tmp_path / "names.json").write_text('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}')
    data = stream(tmp_path, opened, f"&classes={tmp_path / 'names.json'}")
    assert data.classes == ("tench", "goldfish")
    assert data.at(0).labels.tolist() == [number_of(image) % 2 for image in data.at(0).images]
