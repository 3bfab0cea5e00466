"""A matrix made batch by batch: whole, resumed after a stop, mapped, and refused when it does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spae.errors import ShapeError, WeightsError
from spae.row_file import rows_on_disk

MATRIX = np.arange(33, dtype=np.float32).reshape(11, 3)


class Maker:
    """Gives rows of MATRIX, and fails once at row `stop_at`."""

    def __init__(self, stop_at=None):
        self.asked, self.stop_at = [], stop_at

    def __call__(self, start, stop):
        if start == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append((start, stop))
        return MATRIX[start:stop]


def test_made_once_in_batches_and_read_from_then_on(tmp_path):
    maker, path = Maker(), tmp_path / "a" / "m.npy"
    assert rows_on_disk(path, 11, maker, 4).equal(torch.from_numpy(MATRIX))
    assert maker.asked == [(0, 4), (4, 8), (8, 11)]
    assert rows_on_disk(path, 11, maker, 2).equal(torch.from_numpy(MATRIX)) and len(maker.asked) == 3
    assert np.load(path).dtype == np.float32 and {one.name for one in path.parent.iterdir()} <= {"m.npy", "m.npy.lock"}


def test_what_is_read_can_be_written_to_without_changing_the_file(tmp_path):
    rows_on_disk(tmp_path / "m.npy", 11, Maker(), 4).zero_()
    assert rows_on_disk(tmp_path / "m.npy", 11, Maker(), 4).equal(torch.from_numpy(MATRIX))


@pytest.mark.parametrize("stop_at", [0, 4, 8])
def test_a_stopped_filling_goes_on_where_it_was(tmp_path, stop_at):
    with pytest.raises(KeyboardInterrupt):
        rows_on_disk(tmp_path / "m.npy", 11, Maker(stop_at), 4)
    assert not (tmp_path / "m.npy").exists()
    second = Maker()
    assert rows_on_disk(tmp_path / "m.npy", 11, second, 4).equal(torch.from_numpy(MATRIX))
    assert second.asked[0][0] == stop_at


@pytest.mark.parametrize("count", ["", "0", "99", "-4", "four"])
def test_a_count_that_makes_no_sense_starts_anew(tmp_path, count):
    with pytest.raises(KeyboardInterrupt):
        rows_on_disk(tmp_path / "m.npy", 11, Maker(8), 4)
    (tmp_path / "m.npy.done").write_text(count)
    again = Maker()
    assert rows_on_disk(tmp_path / "m.npy", 11, again, 4).equal(torch.from_numpy(MATRIX)) and again.asked[0] == (0, 4)


@pytest.mark.parametrize(
    "made",
    [np.zeros((3, 3)), np.zeros(4), np.full((4, 3), np.nan), np.zeros((4, 2, 2))],
    ids=["too few", "flat", "not finite", "deep"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, made):
    with pytest.raises(ShapeError, match="rows 0 to 3 must be finite"):
        rows_on_disk(tmp_path / "m.npy", 8, lambda start, stop: made, 4)


def test_a_width_that_changes_is_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"rows 4 to 7 must be finite \[4, 3\], got \(4, 5\)"):
        rows_on_disk(tmp_path / "m.npy", 8, lambda start, stop: np.zeros((4, 5 if start else 3)), 4)


def test_another_file_in_its_place_is_refused(tmp_path):
    np.save(tmp_path / "m.npy", MATRIX[:5])
    with pytest.raises(WeightsError, match="must hold 11 rows of float32"):
        rows_on_disk(tmp_path / "m.npy", 11, Maker(), 4)
    np.save(tmp_path / "m.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match="is not a matrix"):
        rows_on_disk(tmp_path / "m.npy", 11, Maker(), 4)
