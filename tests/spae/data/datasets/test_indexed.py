"""Batches by number: the same whoever asks, when and how often; bad rows replaced; threads that end."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
import torch

from spae.data.datasets.indexed import EpochOrder, IndexedData, rng_of
from spae.data.datasets.protocol import TrainingData
from spae.errors import DataError
from tests.spae.data.conftest import Samples, indexed, number_of


def same(one, other) -> bool:
    return one.names == other.names and torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_batch_holds_the_images_it_names(opened):
    data = indexed(Samples(20), opened, batch=6)
    batch = data.at(0)
    assert isinstance(data, TrainingData) and len(batch) == 6
    assert batch.images.shape == (6, 3, 8, 8) and batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64 and batch.images.min() >= -1 and batch.images.max() <= 1
    for image, label, name in zip(batch.images, batch.labels.tolist(), batch.names, strict=True):
        number = number_of(image)
        assert name == f"sample {number}" and label == number % 2


def test_every_training_row_once_an_epoch_and_no_held_out_one(opened):
    data = indexed(Samples(14), opened, batch=5)
    names = [name for step in range(12) for name in data.at(step).names]
    epochs = [names[start : start + 12] for start in range(0, 60, 12)]
    assert all(sorted(epoch) == sorted(f"sample {row}" for row in range(12)) for epoch in epochs)


def test_any_order_of_steps_and_any_split_of_rows_gives_the_same(opened):
    first = indexed(Samples(30), opened)
    batches = [first.at(step) for step in range(9)]
    again = indexed(Samples(30), opened, workers=1, ahead=0)
    assert all(same(again.at(step), batches[step]) for step in (8, 2, 3, 0, 7, 7))
    for step in (4, 5):
        for part in (slice(0, 2), slice(2, 4), slice(1, 4, 2)):
            piece = again.at(step, part)
            assert torch.equal(piece.images, batches[step].images[part]) and piece.names == batches[step].names[part]


def test_seeds_differ(opened):
    assert not same(indexed(Samples(30), opened).at(0), indexed(Samples(30), opened, seed=1).at(0))


def test_corrupt_samples_are_replaced_by_the_next_good_one(opened):
    bad = {3, 4, 11}
    data, whole = indexed(Samples(20, bad), opened), indexed(Samples(20), opened)
    order = [int(name.split()[1]) for step in range(9) for name in whole.at(step).names]
    epoch = order[:18]
    for place in range(18):
        step, row = divmod(place, 4)
        expected = next(number for number in epoch[place:] + epoch[:place] if number not in bad)
        found = data.at(step)
        assert found.names[row] == f"sample {expected}" and number_of(found.images[row]) == expected
    assert data.corrupt_files.count == 3 and set(data.corrupt_files.named) == {f"sample {number}" for number in bad}
    # A process that has only ever seen this step replaces alike.
    assert same(indexed(Samples(20, bad), opened).at(3), data.at(3))


def test_too_many_corrupt_samples_raise(opened):
    data = indexed(Samples(40, bad=range(10, 20), limit=4), opened)
    with pytest.raises(DataError, match="5 files are unreadable; the limit is 4"):
        for step in range(10):
            data.at(step)


def test_batch_of_copies_is_counted_and_said(opened, caplog):
    """Six of seven cannot be used: every row of the batch shows the seventh."""
    data = indexed(Samples(8, bad=range(6), held=1), opened, batch=6)
    for step in range(3):
        assert set(data.at(step).names) == {"sample 6"}
    (said,) = (record.getMessage() for record in caplog.records)
    assert re.match(
        r"a batch shows other samples again in the place of \d of its 6 that cannot be used: .*sample \d", said
    )
    repeated = 18 - sum(name == "sample 6" for step in range(3) for name in whole_names(opened, step))
    assert data.corrupt_files.repeated == repeated > 10
    assert f"in their place {repeated} rows show another sample again" in data.corrupt_files.summary()


def whole_names(opened, step):
    return indexed(Samples(8, held=1), opened, batch=6).at(step).names


def test_replacement_that_stands_alone_in_its_batch_is_no_repetition(opened, caplog):
    data = indexed(Samples(20, bad=[3]), opened, batch=1)
    for step in range(18):
        data.at(step)
    assert data.corrupt_files.count == 1 and data.corrupt_files.repeated == 0 and not caplog.records


def test_fewer_samples_than_a_batch_are_said(opened, caplog):
    indexed(Samples(5, held=2), opened, batch=4)
    assert [record.getMessage() for record in caplog.records] == [
        "samples has 3 samples to train on, a batch has 4: it shows some of them more than once"
    ]


def test_no_good_row_at_all(opened):
    with pytest.raises(DataError, match=r"no sample of samples can be used: image sample \d does not decode"):
        indexed(Samples(6, bad=range(6)), opened).at(0)


def test_errors_of_threads_reach_the_caller(opened):
    class Broken(Samples):
        def content(self, number):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        indexed(Broken(9), opened).at(0)


def test_held_out_is_the_same_at_every_call_and_spread_evenly(opened):
    data = indexed(Samples(40, bad=[34], held=20), opened)
    whole = data.held_out(None)
    assert [number_of(image) for image in whole.images] == [row for row in range(20, 40) if row != 34]
    assert data.corrupt_files.count == 1 and same(whole, data.held_out(None))
    assert data.held_out(3).names == ("sample 20", "sample 30", "sample 39")


def test_nothing_held_out_is_an_error(opened):
    with pytest.raises(DataError, match="holds nothing out"):
        indexed(Samples(5, held=0), opened).held_out()


def test_memory_ahead_is_bounded(opened):
    class Counted(Samples):
        asked = 0

        def content(self, number):
            Counted.asked += 1
            return super().content(number)

    data = indexed(Counted(400), opened, batch=10, ahead=2)
    data.at(0)
    data._pool.shutdown(wait=True)
    assert Counted.asked == 30  # this step and two ahead, whatever time passes


def test_close_ends_the_threads_and_may_be_called_again():
    data = indexed(Samples(30), [])
    data.at(0)
    data.close()
    data.close()
    assert not any(thread.name.startswith("spae-data") and thread.is_alive() for thread in data._pool._threads)
    assert threading.active_count() >= 1
    with pytest.raises(DataError, match="was closed"):
        data.at(1)


def test_source_without_samples_is_refused():
    source = Samples(4)
    source.train = np.arange(0)
    with pytest.raises(DataError, match="no sample to train on"):
        IndexedData(source, None, batch=2, seed=0)  # type: ignore[arg-type]


def taken(order: EpochOrder, first: int, count: int) -> list[int]:
    return [int(rows[place]) for rows, place in (order.place(first + i) for i in range(count))]


def test_every_row_once_an_epoch_and_epochs_differ():
    rows = np.array([3, 5, 8, 13, 21, 34, 55])
    order = EpochOrder(rows, seed=4)
    epochs = [taken(order, epoch * 7, 7) for epoch in range(5)]
    assert all(sorted(epoch) == rows.tolist() for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_pure_function_of_seed_and_place():
    rows = np.arange(50)
    assert taken(EpochOrder(rows, 1), 0, 200)[130:] == taken(EpochOrder(rows, 1), 130, 70)
    assert taken(EpochOrder(rows, 1), 0, 50) != taken(EpochOrder(rows, 2), 0, 50)


def test_every_row_has_its_own_random_generator():
    sampled = {rng_of(seed, step, row).random() for seed in range(3) for step in range(4) for row in range(5)}
    assert len(sampled) == 60
    assert rng_of(1, 2, 3).random() == rng_of(1, 2, 3).random()
