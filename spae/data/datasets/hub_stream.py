"""The rows of a streamed Hugging Face data set, shuffled by a seed, readable from any place.

Each epoch takes the shards in a new random order, and their rows in blocks of a few thousand that are shuffled one by
one. So the state of a run is the start of a block and a number; a shuffling buffer would have to be stored whole.
Starts of blocks (the shard, and the library's own state within it) are written to a small journal in the cache folder,
and a resumed run seeks to its block. Without the journal it reads all rows again from its first step. A block may span
two epochs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spae.atomic import append_lines, read_lines
from spae.data.datasets.hub_columns import Columns
from spae.errors import DataError

BLOCK = 2000


@dataclass(frozen=True)
class Row:
    """A row that was read and not decoded."""

    name: str
    cell: Any
    label: int


@dataclass(frozen=True)
class Place:
    """The start of a block: the state to resume reading from.

    Attributes:
        epoch: from 0.
        shard: place in the epoch's order of shards.
        row: rows of the shard read before.
        state: the library's own, within the shard; None at its beginning.
    """

    epoch: int = 0
    shard: int = 0
    row: int = 0
    state: Any = None


@dataclass(frozen=True)
class RowReader:
    """Makes rows of what the library yields.

    Attributes:
        columns: where images and labels are.
        codes: value of the label column -> place among the classes; -1 where the class is left out.
    """

    columns: Columns
    codes: Mapping[Any, int]

    def row(self, example: Mapping[str, Any], name: str) -> Row | None:
        """The row; None of a class that is left out. Raises DataError for a label that is no class."""
        if not self.columns.label:
            return Row(name, example[self.columns.image], 0)
        value = example[self.columns.label]
        if not isinstance(value, str | int) or value not in self.codes:
            raise DataError(
                f"{name} has the label {str(value)[:80]!r}, which is not one of the classes: name it in ?classes="
            )
        label = self.codes[value]
        return Row(name, example[self.columns.image], label) if label >= 0 else None


class StreamBlocks:
    """The stream cut into blocks of rows of the classes that stay.

    Args:
        dataset: an IterableDataset, images not decoded.
        reader: makes its rows.
        seed: of the run.
        block: rows of a block.
        journal: where starts of blocks are written; lines {"block": n, ...}.
    """

    def __init__(self, dataset: Any, reader: RowReader, *, seed: int, block: int, journal: Path) -> None:
        self._dataset, self._reader = dataset, reader
        self._seed, self._size, self._journal = seed, block, journal
        self._shards = max(1, int(dataset.num_shards))
        self._places: dict[int, Place] = {0: Place(), **self._written()}
        self._kept_blocks: dict[int, list[Row]] = {}

    def rows(self, first: int, count: int) -> list[Row]:
        """Rows `first` to `first + count - 1` of the run."""
        found: list[Row] = []
        while len(found) < count:
            number, place = divmod(first + len(found), self._size)
            found += self._block(number)[place : place + count - len(found)]
        return found

    def _block(self, number: int) -> list[Row]:
        if number not in self._kept_blocks:
            # Two blocks are kept: a batch may reach over the end of one.
            self._kept_blocks = {
                near: rows for near, rows in self._kept_blocks.items() if near in (number - 1, number + 1)
            }
            known = max(one for one in self._places if one <= number)
            for one in range(known, number):
                self._read(one)
            rows = self._read(number)
            order = np.random.Generator(np.random.PCG64([self._seed, number, 1])).permutation(len(rows))
            self._kept_blocks[number] = [rows[place] for place in order.tolist()]
        return self._kept_blocks[number]

    def _read(self, number: int) -> list[Row]:
        """A block in the order of the stream; where the next one begins is noted."""
        rows: list[Row] = []
        place = self._places[number]
        empty = 0
        while len(rows) < self._size:
            order = np.random.Generator(np.random.PCG64([self._seed, place.epoch])).permutation(self._shards)
            shard = int(order[place.shard])
            before = len(rows)
            place = self._read_shard(rows, shard, place)
            empty = empty + 1 if len(rows) == before else 0
            if empty > 2 * self._shards:
                raise DataError("the stream holds no row of the classes that stay: check split, label and exclude")
        if number + 1 not in self._places:
            self._places[number + 1] = place
            self._write(number + 1, place)
        return rows

    def _read_shard(self, rows: list[Row], shard: int, place: Place) -> Place:
        """Adds rows of a shard until the block is full or the shard ends; gives the place after them."""
        # A copy of its own, which begins at its beginning.
        part = self._dataset.shard(num_shards=self._shards, index=shard)
        if place.state is not None:
            part.load_state_dict(place.state)
        count = place.row
        for example in part:
            count += 1
            row = self._reader.row(example, f"shard {shard} row {count - 1}")
            if row is not None:
                rows.append(row)
            if len(rows) == self._size:
                return Place(place.epoch, place.shard, count, part.state_dict())
        last = place.shard + 1 == self._shards
        return Place(place.epoch + 1, 0) if last else Place(place.epoch, place.shard + 1)

    def _written(self) -> dict[int, Place]:
        """Starts that an earlier run recorded; a torn line is skipped."""
        found: dict[int, Place] = {}
        with contextlib.suppress(OSError):
            for line in read_lines(self._journal)[0]:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    record = json.loads(line)
                    place = Place(record["epoch"], record["shard"], record["row"], record["state"])
                    if isinstance(record["block"], int) and 0 <= place.shard < self._shards:
                        found[record["block"]] = place
        return found

    def _write(self, number: int, place: Place) -> None:
        line = json.dumps(
            {"block": number, "epoch": place.epoch, "shard": place.shard, "row": place.row, "state": place.state}
        )
        # Processes that share the journal write the same lines.
        with contextlib.suppress(OSError):
            self._journal.parent.mkdir(parents=True, exist_ok=True)
            append_lines(self._journal, [line], sync=False)
