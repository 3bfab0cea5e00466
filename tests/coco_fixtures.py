"""Small data in COCO's true formats: captions_*.json and COCO-QA's text files, with images to match."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

THINGS = ("cat", "dog", "bus", "kite", "bench", "pizza", "zebra", "clock", "train", "boat", "horse", "bear", "vase")


def write_image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def file_name(split: str, number: int) -> str:
    return f"COCO_{split}_{number:012d}.jpg"


def caption_json(split: str, numbers: range) -> dict[str, Any]:
    """Five captions an image, interleaved as the published files have them: not image by image."""
    images = [{"license": 3, "file_name": file_name(split, n), "height": 10, "width": 12, "id": n} for n in numbers]
    captions = [
        {"image_id": n, "id": 1000 * turn + n, "caption": f"A {THINGS[n % len(THINGS)]} {verb} number {n}.\n"}
        for turn, verb in enumerate(("sits by", "stands near", "is next to", "in front of", "with"))
        for n in reversed(numbers)
    ]
    return {"info": {"year": 2014}, "images": images, "licenses": [], "type": "captions", "annotations": captions}


def write_captions(home: Path, split: str = "val2014", numbers: range = range(1, 16)) -> Path:
    """annotations/captions_<split>.json and <split>/ under `home`; returns the JSON's path."""
    for n in numbers:
        write_image(home / split / file_name(split, n), n)
    path = home / "annotations" / f"captions_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(caption_json(split, numbers)), encoding="utf-8")
    return path


def write_coco_qa(home: Path, train: int = 26, test: int = 13) -> Path:
    """train/ and test/ of COCO-QA's text files, and train2014/ and val2014/ of images; returns `home`."""
    for split, images, first, count in (("train", "train2014", 100, train), ("test", "val2014", 500, test)):
        folder = home / split
        folder.mkdir(parents=True)
        numbers = range(first, first + count)
        for n in numbers:
            write_image(home / images / file_name(images, n), n)
        things = [THINGS[n % len(THINGS)] for n in numbers]
        columns = {
            "questions.txt": [f"what is the thing number {n} next to the road" for n in numbers],
            "answers.txt": things,
            "img_ids.txt": [str(n) for n in numbers],
            "types.txt": ["0" for _ in numbers],
        }
        for name, lines in columns.items():
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return home
