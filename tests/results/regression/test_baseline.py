"""The files of a baseline."""

from __future__ import annotations

import json

import pytest

from results.analysis.aggregate import aggregate
from results.regression.baseline import REPLIES, Baseline, BaselineError, is_baseline, read_baseline, write_baseline

from .test_drift import FACTS, line


@pytest.fixture
def baseline(key, values) -> Baseline:
    cells = aggregate([*values(key(), [1, 0, 1]), *values(key(tokenizer="vqgan", layers="1"), [None, None])])
    return Baseline(
        FACTS, tuple(cells), (line(1), line(0, reply=None, status="infeasible", value=None, prediction=None))
    )


@pytest.fixture
def folder(tmp_path, baseline):
    write_baseline(tmp_path, baseline)
    (tmp_path / REPLIES).write_text("")
    return tmp_path


def test_what_is_written_is_read(folder, baseline):
    read = read_baseline(folder)
    assert is_baseline(folder) and read.facts == baseline.facts and set(read.questions) == set(baseline.questions)
    assert [cell.model_copy(update={"cached": 0}) for cell in baseline.cells] == list(read.cells)


def test_bytes_do_not_depend_on_order_and_a_cell_is_a_line(folder, baseline, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write_baseline(other, Baseline(baseline.facts, baseline.cells, baseline.questions[::-1]))
    for name in ("baseline.json", "metrics.json", "records.jsonl"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    lines = (folder / "metrics.json").read_text().splitlines()
    assert len(lines) == len(baseline.cells) + 2
    assert all("cached" not in cell for cell in json.loads("\n".join(lines)))


def test_a_question_twice_or_cut_short_is_refused(folder):
    path = folder / "records.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[0] + "\n")
    with pytest.raises(BaselineError, match="holds a question twice"):
        read_baseline(folder)
    path.write_text(whole[:-1])
    with pytest.raises(BaselineError, match="is cut short"):
        read_baseline(folder)


def test_no_baseline_there(tmp_path):
    assert not is_baseline(tmp_path)
    with pytest.raises(BaselineError, match="has none: make one with `baseline RUN`"):
        read_baseline(tmp_path / "nowhere")
