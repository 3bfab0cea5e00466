"""A small archive of questions in the published form, and ways to spoil it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FACTS = [
    ("fork", "lion", "Where is the fork?", "table"),
    ("vase", "crate", "What colour is the vase?", "blue"),
    ("ant", "bus", "How many ants are there?", "two"),
]


def rows(shots: int, form: str = "captions") -> list[dict[str, Any]]:
    """The questions of one file; `form` is "captions" (as published) or "questions" (a question for each example)."""
    made = []
    for number, (first, second, question, answer) in enumerate(FACTS):
        stem = f"guided_vqa_shots_{shots}_ways_2_id_{number}"
        row: dict[str, Any] = {"question_id": number}
        for place in range(1, 2 * shots + 1):
            name = (first, second)[(place - 1) % 2]
            row[f"image_{place}"] = f"{stem}_image_{place}.jpg"
            if form == "captions":
                row[f"caption_{place}"] = f"This is a {name}."
            else:
                row |= {f"question_{place}": f"Is it a {name}?", f"answer_{place}": "yes"}
        made.append(row | {"question_image": f"{stem}_question.jpg", "question": question, "answer": answer})
    return made


def write_archive(folder: Path, files: dict[int, list[Any]]) -> Path:
    """Writes `guided_vqa/` with a questions file for each number of shots, and every image they name."""
    root = folder / "guided_vqa"
    root.mkdir(parents=True)
    random = np.random.default_rng(0)
    for shots, content in files.items():
        (root / f"guided_vqa_shots_{shots}_ways_2_all_questions.json").write_text(json.dumps(content))
        for row in content:
            for key, name in row.items() if isinstance(row, dict) else ():
                if "image" in key and isinstance(name, str) and name.endswith(".jpg"):
                    Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(root / name)
    return root


def packed(root: Path) -> Path:
    """The same as a .tar.gz beside the folder."""
    path = root.with_suffix(".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(root.iterdir()):
            content = file.read_bytes()
            member = tarfile.TarInfo(f"{root.name}/{file.name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
