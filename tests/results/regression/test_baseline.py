"""The files of a baseline."""

from __future__ import annotations

import json

import pytest

from results.analysis.aggregate import aggregate
from results.errors import BaselineError
from results.regression.baseline import (
    FILES,
    REPLIES,
    ScorerOutcomes,
    is_baseline,
    of_run,
    read_baseline,
    write_baseline,
)
from results.store import RunStore
from spae.canonical import sha256_file

SCORERS = (ScorerOutcomes(task="t", scoring="exact", outcomes={"nothing": "empty"}),)


@pytest.fixture
def run(tmp_path, key, values):
    """The folder of a run with two cells."""
    store = RunStore.create(tmp_path / "run", {"seed": 0})
    store.append([*values(key(), [1, 0, 1]), *values(key(tokenizer="vqgan", layers="1"), [None, None])])
    store.close()
    return store.folder


@pytest.fixture
def folder(tmp_path, run):
    folder = tmp_path / "baseline"
    folder.mkdir()
    (folder / REPLIES).write_text("{}\n")
    write_baseline(run, folder, SCORERS)
    return folder


def test_written_baseline_is_read_as_the_run_it_was_made_of(folder, run):
    read = read_baseline(folder)
    store = RunStore.open(run)
    assert is_baseline(folder) and sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert read == of_run(run, folder / REPLIES, SCORERS)
    assert (read.config, list(read.records), list(read.cells)) == (
        store.config, store.records, aggregate(store.records),
    )  # fmt: skip
    assert read.facts.replies_sha256 == sha256_file(folder / REPLIES)


def test_summary_has_a_cell_per_line_without_cache_counts(folder):
    lines = (folder / "summary.json").read_text().splitlines()
    assert len(lines) == len(read_baseline(folder).cells) + 2
    assert all("cached" not in cell for cell in json.loads("\n".join(lines)))


def test_equal_runs_give_equal_bytes(folder, run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / REPLIES).write_bytes((folder / REPLIES).read_bytes())
    write_baseline(run, other, SCORERS)
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_torn_last_record_is_refused(folder):
    path = folder / "records.jsonl"
    path.write_text(path.read_text()[:-1])
    with pytest.raises(BaselineError, match="is cut short"):
        read_baseline(folder)


def test_folder_without_a_baseline_is_refused(tmp_path):
    assert not is_baseline(tmp_path)
    with pytest.raises(BaselineError, match="has none: make one with `baseline RUN`"):
        read_baseline(tmp_path / "nowhere")
