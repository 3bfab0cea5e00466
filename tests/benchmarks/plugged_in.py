"""The real command line in a process of its own, with a tokenizer of another package, so that no torch is read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
CLASSES = ("ant", "crate", "lion", "vase", "trifle", "cuirass")
IMAGES = 12
PACKAGE = '''
import hashlib

import numpy as np

from spae.tokens import ImageTokens


class TinyWords:
    """One word an image, from its bytes."""

    name, family, depth, image_size, fingerprint, vocabulary = "tiny", "tiny", 1, 8, "0" * 64, ()

    def prepare(self, image):
        return np.asarray(image)[:8, :8]

    def encode(self, images, depth=None):
        words = [hashlib.sha256(image.tobytes()).hexdigest()[:8] for image in images]
        return [ImageTokens(((1,),), ((word,),), ((1, 1),)) for word in words]

    def decode(self, tokens, layers=None):
        return [np.zeros((8, 8, 3), np.uint8) for _ in tokens]
'''


class Program:
    """`python -m benchmarks` in a folder, with `--tokenizer tiny` and `--data photos` to hand.

    Args:
        home: working folder; gets the package and the images.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        package = home / "package"
        (package / "tiny_words-1.0.dist-info").mkdir(parents=True)
        (package / "tiny_words.py").write_text(PACKAGE)
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: tiny-words\nVersion: 1.0\n"),
            ("entry_points.txt", "[spae.tokenizers]\ntiny = tiny_words:TinyWords\n"),
        ):
            (package / "tiny_words-1.0.dist-info" / name).write_text(text)
        draw = np.random.default_rng(0)
        for name in CLASSES:
            folder = home / "photos" / name
            folder.mkdir(parents=True)
            for i in range(IMAGES):
                Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")

    def start(self, *arguments: object, cache: str = "cache", **variables: str) -> subprocess.Popen[str]:
        """Begins a command; its output goes to pipes."""
        own: Mapping[str, str] = {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self.home / 'package'}",
            "SPAE_CACHE": str(self.home / cache),
            "OMP_NUM_THREADS": "1",
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks", *map(str, arguments)],
            cwd=self.home, env=clean | own | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: object, cache: str = "cache", **variables: str) -> tuple[int, str, str]:
        """Exit code, output and error output of a whole command."""
        running = self.start(*arguments, cache=cache, **variables)
        try:
            out, err = running.communicate(timeout=1800)
        finally:
            running.kill()
        return running.returncode, out, err


def few_shot(url: str, limit: int, *more: object) -> tuple[object, ...]:
    """A `run` of two settings, each with `limit` questions."""
    return (
        "run", "--task", "miniimagenet-2way", "--tokenizer", "tiny", "--layers", "1", "--data", "photos",
        "--scoring", "exact", "--setting", "i1-s1-r0,i1-s3-r0", "--limit", limit, "--llm", "openai:m",
        "--llm-args", f"base_url={url}", *more,
    )  # fmt: skip
