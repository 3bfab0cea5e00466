"""Batches of a streamed Hugging Face data set.

B global batch, R rows of it asked for, S side.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spae.cache_folder import cache_folder
from spae.data.class_names import ClassText, KeptClasses, keep_classes
from spae.data.datasets.corrupt_files import CorruptFiles
from spae.data.datasets.hub import TRAINING_OPTIONS, choose_splits, class_text, homes, load_splits, undecoded
from spae.data.datasets.hub_columns import Columns, cell_content, connection_errors, find_columns
from spae.data.datasets.hub_stream import BLOCK, Row, RowReader, StreamBlocks
from spae.data.datasets.indexed import rng_of
from spae.data.datasets.protocol import EVALUATED, TrainingBatch
from spae.data.datasets.samples import UNLABELLED
from spae.data.spec import DataSpec
from spae.data.transforms import ImageLoader
from spae.errors import CorruptImage, DataError


class StreamData:
    """A `TrainingData` over a stream. Every process reads all rows and decodes its own.

    A corrupt row is replaced by the next good one of its batch.

    Args:
        blocks: the stream.
        held_out: rows of the split held out, in its own order.
        loader: decodes an image.
        Others as the attributes of `TrainingData`.
    """

    def __init__(
        self,
        blocks: StreamBlocks,
        held_out: Iterator[Row],
        loader: ImageLoader,
        *,
        name: str,
        title: str,
        fingerprint: str,
        kept: KeptClasses,
        homes: tuple[Path, ...],
        batch: int,
        seed: int,
        workers: int | None,
        corrupt_files: CorruptFiles,
    ) -> None:
        self.name, self.title, self.fingerprint, self.batch, self.seed = name, title, fingerprint, batch, seed
        self.classes, self.unnamed, self.corrupt_files = kept.texts, kept.unnamed, corrupt_files
        self._blocks, self._held_out, self._loader, self._homes = blocks, held_out, loader, homes
        self._held: list[Row] = []
        self._pool = ThreadPoolExecutor(workers or 8, thread_name_prefix="spae-data")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spae-stream")
        self._next: tuple[int, Future[list[Row]]] | None = None

    def at(self, step: int, rows: slice | None = None) -> TrainingBatch:
        """See `TrainingData.at`. Meanwhile the next batch is read, but not decoded."""
        if self._next is not None and self._next[0] == step:
            raw = self._next[1].result()
        else:
            if self._next is not None:
                self._next[1].cancel()
            raw = self._reader.submit(self._blocks.rows, step * self.batch, self.batch).result()
        self._next = (step + 1, self._reader.submit(self._blocks.rows, (step + 1) * self.batch, self.batch))
        wanted = range(self.batch)[rows if rows is not None else slice(None)]
        found = list(self._pool.map(lambda row: self._good(raw, step, row), wanted))
        self.corrupt_files.replaced([raw[row].name for row in wanted], [row.name for _, row in found])
        return self._decoded(found)

    def held_out(self, limit: int | None = EVALUATED) -> TrainingBatch:
        """The first rows of the split held out, read once."""
        missing = None if limit is None else max(0, limit - len(self._held))
        self._held += islice(self._held_out, missing)
        found = []
        for row in self._held[:limit]:
            try:
                found.append((self._load(row, None), row))
            except CorruptImage as error:
                self.corrupt_files.add(row.name, str(error))
        if not found:
            raise DataError(
                f"no held-out row of {self.name} can be used: {self.corrupt_files.summary() or 'it is empty'}"
            )
        return self._decoded(found)

    def close(self) -> None:
        """Stops reading after the rows at hand."""
        for pool in (self._reader, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)

    def _good(self, raw: list[Row], step: int, row: int) -> tuple[np.ndarray, Row]:
        for place in range(row, row + len(raw)):
            chosen = raw[place % len(raw)]
            self.corrupt_files.used()
            try:
                return self._load(chosen, rng_of(self.seed, step, row)), chosen
            except CorruptImage as error:
                self.corrupt_files.add(chosen.name, str(error))
        raise DataError(f"no row of step {step} of {self.name} can be used: {self.corrupt_files.summary()}")

    def _load(self, row: Row, rng: np.random.Generator | None) -> np.ndarray:
        return self._loader.load(cell_content(row.cell, row.name, self._homes), row.name, rng)

    def _decoded(self, found: list[tuple[np.ndarray, Row]]) -> TrainingBatch:
        pixels = np.stack([pixels for pixels, _ in found])
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 127.5 - 1
        labels = torch.tensor([row.label for _, row in found])
        return TrainingBatch(images, labels, tuple(row.name for _, row in found))


def open_stream(
    spec: DataSpec,
    loader: ImageLoader,
    *,
    batch: int,
    seed: int,
    exclude: Path | None,
    workers: int | None,
    corrupt_files_list: Path | None,
) -> StreamData:
    """Opens the stream; only the data set's description is read.

    Args:
        spec: options as `open_hub`, and `block`, rows shuffled together.

    Raises:
        InputError: `datasets` is not installed.
        DataError: no split to hold out, or labels without names: a stream is not read through to find them.
    """
    spec.only(*TRAINING_OPTIONS)
    splits = load_splits(spec, streaming=True)
    train, held = choose_splits(spec, splits)
    if not held:
        raise DataError(
            f"{spec.text} is streamed and has no split to hold out: name one by ?val=, of {', '.join(splits)}"
        )
    columns = find_columns(spec, splits[train].features)
    names = class_text(spec)
    labels, codes = _labels(spec, columns, names)
    kept = keep_classes(labels, names, exclude, spec.text, numbered=bool(columns.names))
    reader = RowReader(columns, {value: int(kept.place[number]) for value, number in codes.items()})
    training, aside = undecoded(splits[train], columns), undecoded(splits[held], columns)
    shards, block = int(training.num_shards), spec.number("block", BLOCK)
    wanted = repr((spec.text, _version(spec), kept.texts, columns, shards))
    fingerprint = hashlib.sha256(wanted.encode("utf-8", "surrogateescape")).hexdigest()
    journal = cache_folder() / "streams" / f"{fingerprint[:32]}-{seed}-{block}.jsonl"
    return StreamData(
        StreamBlocks(training, reader, seed=seed, block=block, journal=journal),
        (row for number, one in enumerate(aside) if (row := reader.row(one, f"{held}/{number}")) is not None),
        loader,
        name=spec.text,
        title=f"streamed, {shards:,} shards, {len(kept.texts):,} classes; {held} is held out",
        fingerprint=fingerprint,
        kept=kept,
        homes=homes(spec),
        batch=batch,
        seed=seed,
        workers=workers,
        corrupt_files=CorruptFiles(0, file=corrupt_files_list),
    )


def _labels(spec: DataSpec, columns: Columns, names: ClassText) -> tuple[list[str], dict[Any, int]]:
    """All classes, and what the label column may hold -> place among them."""
    if not columns.label:
        return [UNLABELLED], {}
    if columns.names:
        return list(columns.names), {number: number for number in range(len(columns.names))}
    # A file that names a number and an id of each class at once has one class, not two.
    labels = [one for one in names.names if not (one.isdigit() and one in names.other_ids)]
    if not labels:
        raise DataError(f"{spec.text} is streamed and names no classes: give ?classes=FILE or ?label=none")
    codes: dict[Any, int] = {}
    for number, label in enumerate(labels):
        for value in {label, names.other_ids.get(label, label)}:
            codes[value] = number
            if value.isdigit():
                codes[int(value)] = number
    return labels, codes


def _version(spec: DataSpec) -> str:
    """The state of the data: files of a folder by size and time, or a commit of the hub."""
    local = Path(spec.location)
    if local.exists():
        files = sorted(one for one in local.rglob("*") if one.is_file()) if local.is_dir() else [local]
        return repr([(str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in files])
    # Unknown when the hub does not answer: then a change upstream between a run and its resumption goes unnoticed.
    from huggingface_hub import HfApi

    with contextlib.suppress(ValueError, *connection_errors()):
        return str(HfApi().dataset_info(spec.location.partition(":")[0]).sha)
    return "unknown"
