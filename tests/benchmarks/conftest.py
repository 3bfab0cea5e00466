"""A run without weights: a tokenizer that reads words off an image's colours, and a scripted model."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import benchmarks.arguments
import benchmarks.plan
import benchmarks.reply_sources
from benchmarks.cli import run_command_line
from spae.errors import UnknownName
from spae.tokens import ImageTokens

Command = Callable[..., tuple[int, str, str]]
NAMES = ("ant", "lion", "vase", "crate", "school bus", "trifle")


class ColourTokenizer:
    """Five words in layers of 1 and 4, from the image's bytes alone."""

    depth = 2
    image_size = 8
    family = "colours"
    vocabulary = tuple(f"word{i}" for i in range(981))

    def __init__(self, name: str = "colours", depth: int = 2) -> None:
        self.name = name
        self.depth = depth
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()
        self.encoded = 0

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(image).resize((8, 8)))

    def encode(self, images: Sequence[np.ndarray], depth: int | None = None) -> list[ImageTokens]:
        self.encoded += len(images)
        return [self._tokens(image, depth or self.depth) for image in images]

    def _tokens(self, image: np.ndarray, depth: int) -> ImageTokens:
        value = int(self.prepare(image).astype(int).sum()) % 977
        layers = [(value,), (value + 1, value + 2, value + 3, value + 4)][:depth]
        words = tuple(tuple(f"word{i}" for i in layer) for layer in layers)
        return ImageTokens(tuple(layers), words, ((1, 1), (2, 2))[:depth])

    def decode(self, tokens: Sequence[ImageTokens], layers: Sequence[int] | None = None) -> list[np.ndarray]:
        shade = 60 * len(layers or range(self.depth))
        return [np.full((8, 8, 3), shade, np.uint8) for _ in tokens]


def make_photos(where: Path) -> Path:
    """The folder `photos` in `where`: six classes of seven images, ever the same."""
    random = np.random.default_rng(0)
    for name in NAMES:
        folder = where / "photos" / name.replace(" ", "_")
        folder.mkdir(parents=True)
        for i in range(7):
            Image.fromarray(random.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return where / "photos"


def tokenizers_by_name() -> dict[str, ColourTokenizer]:
    """Two tokenizers, new ones."""
    return {"colours": ColourTokenizer(), "flat": ColourTokenizer("flat", depth=1)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six classes of seven images."""
    return make_photos(tmp_path)


@pytest.fixture
def tokenizers(monkeypatch: pytest.MonkeyPatch) -> dict[str, ColourTokenizer]:
    """The tokenizers that `--tokenizer colours,flat` opens."""
    known = tokenizers_by_name()

    def open_tokenizer(name: str) -> ColourTokenizer:
        if name not in known:
            raise UnknownName("tokenizer", name, known)
        return known[name]

    monkeypatch.setattr(benchmarks.plan, "open_tokenizer", open_tokenizer)
    monkeypatch.setattr(benchmarks.arguments, "check_spec", open_tokenizer)
    return known


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and cache, and no committed replies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(benchmarks.reply_sources, "COMMITTED", tmp_path / "replies")
    return tmp_path


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes a script and gives its `--llm`."""

    def write(name: str = "script", **parts: object) -> str:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"default": " lion\n", "default_likelihood": -3.0} | parts))
        return f"scripted:{path}"

    return write


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `python -m benchmarks ...`: exit code, output and error output."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
        try:
            run_command_line()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
