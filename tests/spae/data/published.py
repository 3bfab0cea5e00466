"""Published few-shot archives as their authors packed them, small: true names of files and fields, random images."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Rows = list[dict[str, Any]]
NAMES = ("lion", "vase", "ant", "king crab", "trifle", "crate")


def jpeg(seed: int) -> bytes:
    """An image of 16x12, another for each seed."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def questions(task: str, shots: int, ways: int, count: int) -> Rows:
    """`count` questions of one file; the answer goes round."""
    rows = []
    for q in range(count):
        classes = [NAMES[(q + way) % len(NAMES)] for way in range(ways)]
        stem = f"{task}_shots_{shots}_ways_{ways}_id_{q}"
        row: dict[str, Any] = {"question_id": q}
        for i in range(shots * ways):
            row[f"image_{i + 1}"] = f"{stem}_image_{i + 1}.jpg"
            row[f"caption_{i + 1}"] = f"This is a {classes[i % ways]}."
        row |= {"question": "This is a", "question_image": f"{stem}_question.jpg", "answer": classes[q % ways]}
        rows.append(row)
    return rows


class Archive:
    """An archive in the making: change `files` and `rows`, then pack or unpack it.

    Args:
        task: "real_name_mi".
        kinds: (shots, ways) of its files.
        count: questions of each.

    Attributes:
        rows: (shots, ways) -> questions.
        files: name -> bytes of the images.
    """

    def __init__(
        self, task: str = "real_name_mi", kinds: tuple[tuple[int, int], ...] = ((1, 2),), count: int = 4
    ) -> None:
        self.task = task
        self.rows = {kind: questions(task, *kind, count) for kind in kinds}
        named = [row[key] for rows in self.rows.values() for row in rows for key in row if "image" in key]
        self.files = {name: jpeg(seed) for seed, name in enumerate(named)}
        self.odd: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]] = []

    def contents(self) -> dict[str, bytes]:
        """Every file by its name in the archive."""
        lists = {
            f"{self.task}_shots_{shots}_ways_{ways}_all_questions.json": json.dumps(rows).encode()
            for (shots, ways), rows in self.rows.items()
        }
        return {f"{self.task}/{name}": content for name, content in {**self.files, **lists}.items()}

    def pack(self, folder: Path, mode: str = "w:gz", change: Callable[[dict[str, bytes]], None] | None = None) -> Path:
        """Writes `{task}.tar.gz` (or .tar) and returns its path; `odd` members stand last."""
        path = folder / f"{self.task}.tar{'.gz' if mode.endswith('gz') else ''}"
        contents = self.contents()
        if change is not None:
            change(contents)
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for name, content in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for one in self.odd:
                info, content = one if isinstance(one, tuple) else (one, b"")
                archive.addfile(info, io.BytesIO(content))
        return path

    def unpack(self, folder: Path) -> Path:
        """Writes the files as `tar -xzf` would and returns the folder."""
        for name, content in self.contents().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.task


def huge_png(width: int = 10_000, height: int = 10_000) -> bytes:
    """A PNG of a few bytes whose header claims 100 megapixels."""
    stream = io.BytesIO()
    Image.new("1", (1, 1)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)
