"""Order of rows: each once an epoch, decided by seed and place alone."""

from __future__ import annotations

import numpy as np

from spae.data.datasets.epoch_order import EpochOrder, rng_of


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


def test_chance_is_each_rows_own():
    sampled = {rng_of(seed, step, row).random() for seed in range(3) for step in range(4) for row in range(5)}
    assert len(sampled) == 60
    assert rng_of(1, 2, 3).random() == rng_of(1, 2, 3).random()
