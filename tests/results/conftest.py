"""A made-up run with the shape of a real one: two tokenizers, seven settings, images, words, prompts."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter

from results.analysis.settings import FEW_SHOT
from results.record import Call, CellKey, Record
from results.report.example import (
    DataNote,
    Example,
    Examples,
    ReconstructedImage,
    Reconstruction,
    ShownImage,
    WordLayer,
    png_text,
    save_examples,
)
from results.run_facts import RunFacts
from results.store import RunStore

CLASSES = ("lion", "school bus", "mixing bowl", "electric guitar", "hourglass")
COLOURS = ("#d98c2b", "#e3b505", "#4d7ea8", "#a23b3b", "#4f8a5b")
NEAR = (
    "lion tiger mane animal wild leopard cat beast",
    "bus school transport vehicle road yellow driver travel",
    "bowl dish kitchen cook mix soup food plate",
    "guitar music string band rock sound jazz song",
    "glass time sand clock hour wait minute timer",
)
FAR = ["paper", "engine", "river", "velvet", "seventh", "harbor", "nothing", "doubtful", "marble", "winter", "ladder"]
RATES = {"spae": (0.55, 0.64, 0.78, 0.82, 0.63, 0.66, 0.61), "vqgan": (0.2, 0.22, 0.18, 0.21, 0.25, 0.2, 0.22)}
ACCURACY = {"name": "accuracy", "unit": "percent of 1", "higher_is_better": True, "low": 0.0, "high": 1.0}
CONFIG = {
    "task": "miniimagenet-5way", "seed": 0, "limit": 30, "llm": "SmolLM2",
    "tokenizers": {name: {"fingerprint": name[0] * 64, "depth": 4, "family": name} for name in ("spae", "vqgan")},
    "metrics": {"miniimagenet-5way": [ACCURACY]},
}  # fmt: skip


def cell_key(**changes: Any) -> CellKey:
    """A cell; `changes` override its fields."""
    fields: dict[str, Any] = {
        "task": "miniimagenet-5way", "setting": "i1-s1-r0", "tokenizer": "spae", "tokenizer_fingerprint": "5" * 64,
        "layers": "1-2", "model": "SmolLM2-135M-Instruct", "model_revision": "a" * 64, "dtype": "bfloat16",
        "data": "pictograms", "data_fingerprint": "d" * 64, "prompt_style": "gpt", "scoring": "ranked", "seed": 0,
    }  # fmt: skip
    return CellKey(**{**fields, **changes})


def record_of(key: CellKey, number: int = 0, **changes: Any) -> Record:
    """A scored, right record of `key`; `changes` override its fields."""
    fields: dict[str, Any] = {
        "sample_id": f"{key.setting}/{number}", "sample_fingerprint": f"{number:064x}", "prompt": "Input:\nOutput:",
        "choices": CLASSES, "target": "lion", "reply": " lion", "prediction": "lion", "status": "scored",
        "scores": {"accuracy": 1.0},
    }  # fmt: skip
    return Record.of(key, **{**fields, **changes})


def scored(key: CellKey, values: list[float | None]) -> list[Record]:
    """A record per value, in order; None is infeasible."""
    return [
        record_of(key, i, scores={"accuracy": value}) if value is not None
        else record_of(key, i, scores={}, status="infeasible", reply=None, prediction=None, explanation="too long")
        for i, value in enumerate(values)
    ]  # fmt: skip


def png(kind: int, blur: float = 0.0, size: int = 64) -> str:
    """An image of class `kind`, more washed out the larger `blur`."""
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    shapes = (draw.ellipse, draw.rectangle, draw.pieslice, draw.rounded_rectangle, draw.polygon)
    if kind == 4:
        draw.polygon([(14, 6), (50, 6), (32, 32), (50, 58), (14, 58), (32, 32)], fill=COLOURS[4])
    elif kind == 2:
        draw.pieslice((8, -14, 56, 54), 0, 180, fill=COLOURS[2], outline="#223")
    else:
        shapes[kind]((10, 12, 54, 52), fill=COLOURS[kind], outline="#223")  # type: ignore[operator]
        draw.ellipse((22, 24, 30, 32), fill="#223")
        draw.ellipse((36, 24, 44, 32), fill="#223")
    out = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(blur)).resize((32, 32)).save(out, "PNG")
    return png_text(out.getvalue())


def pyramid(kind: int, tokenizer: str, seed: int) -> tuple[WordLayer, ...]:
    """Words near the class for SPAE, any words for the others."""
    draw = random.Random(f"{tokenizer}{kind}{seed}")
    words = NEAR[kind].split() if tokenizer == "spae" else FAR
    sides = (1, 2, 4, 4) if tokenizer == "spae" else (4,)
    return tuple(
        WordLayer(rows=n, columns=n, words=tuple(draw.choice(words if n < 3 else [*words, *FAR]) for _ in range(n * n)))
        for n in sides
    )


def example(tokenizer: str, setting: str = "i1-s1-r0", value: float | None = 1.0, **changes: Any) -> Example:
    """An example episode of five classes, one shot, asking about the first class."""
    layers = "1-2" if tokenizer == "spae" else "1"
    asked = [*range(5), 0]
    images = tuple(
        ShownImage(
            role="query" if i == 5 else "support", label=CLASSES[k], png=png(k), pyramid=pyramid(k, tokenizer, i)
        )
        for i, k in enumerate(asked)
    )
    lines = [f"For each of the following input output pairs, output is one of {list(CLASSES)}"]
    for shown in images:
        text = " ".join(word for layer in shown.pyramid[:2] for word in layer.words)
        lines += ["###", f"Input: {text}", "Output:" + (f" {shown.label}" if shown.role == "support" else "")]
    fields: dict[str, Any] = {
        "task": "miniimagenet-5way", "setting": setting, "sample_id": f"{setting}/3", "tokenizer": tokenizer,
        "layers": layers, "model": "SmolLM2-135M-Instruct", "scoring": "ranked", "images": images,
        "prompt": "\n".join(lines), "reply": " lion" if value else " hourglass",
        "prediction": "lion" if value else "hourglass", "target": "lion",
        "status": "scored" if value is not None else "empty",
        "scores": {} if value is None else {"accuracy": value},
    }  # fmt: skip
    return Example(**{**fields, **changes})


def book() -> Examples:
    """Examples of two episodes and the reconstructed images of both tokenizers."""

    def reconstructed(tokenizer: str, mse: tuple[float, ...], grids: tuple[tuple[int, int], ...]) -> Reconstruction:
        blurs = [18.0 * error for error in mse]
        images = tuple(
            ReconstructedImage(label=CLASSES[k], original=png(k), by_layer=tuple(png(k, 40 * b / 18) for b in blurs))
            for k in range(4)
        )
        return Reconstruction(tokenizer=tokenizer, data="pictograms", grids=grids, count=300, mse=mse,
                              mean_image_mse=0.2504, images=images)  # fmt: skip

    return Examples(
        data=(DataNote(name="pictograms", title="650 everyday concepts in 7 styles, style emojione held out",
                       embedded=True),),
        samples=(example("spae"), example("vqgan", value=0.0), example("spae", "i1-s3-r0", 0.0),
                  example("vqgan", "i1-s3-r0", None, reply="", prediction=None)),
        reconstructions=(
            reconstructed("spae", (0.221, 0.172, 0.0961, 0.0688), ((1, 1), (2, 2), (4, 4), (4, 4))),
            reconstructed("vqgan", (0.0752,), ((4, 4),)),
        ),
    )  # fmt: skip


def fake_records(episodes: int = 30) -> list[Record]:
    """All seven settings of both tokenizers; the last settings of vqgan have prompts that do not fit."""
    draw = random.Random(1)
    made = []
    for tokenizer, rates in RATES.items():
        for setting, rate in zip(FEW_SHOT, rates, strict=True):
            key = cell_key(setting=setting, tokenizer=tokenizer, layers="1-2" if tokenizer == "spae" else "1",
                           tokenizer_fingerprint=tokenizer[0] * 64)  # fmt: skip
            values: list[float | None] = [float(draw.random() < rate) for _ in range(episodes)]
            if tokenizer == "vqgan" and setting == "i1-s5-r0":
                values = [None] * episodes
            elif tokenizer == "vqgan" and setting == "i1-s1-r5":
                values[: episodes // 6] = [None] * (episodes // 6)
            made += scored(key, values)
    return made


@pytest.fixture
def facts() -> RunFacts:
    """Accuracy is described for three tasks; spae is the reference tokenizer."""
    tasks = ("miniimagenet-2way", "miniimagenet-5way", "real-fast-vqa")
    return RunFacts.of({"tokenizers": ["spae", "vqgan"], "metrics": {task: [ACCURACY] for task in tasks}})


@pytest.fixture
def key() -> Callable[..., CellKey]:
    return cell_key


@pytest.fixture
def of() -> Callable[..., Record]:
    return record_of


@pytest.fixture
def values() -> Callable[..., list[Record]]:
    return scored


@pytest.fixture
def show() -> Callable[..., Example]:
    return example


def write_fake_run(folder: Path, episodes: int = 30) -> Path:
    """The made-up run on disk."""
    store = RunStore.create(folder, CONFIG, resume=False)
    records = fake_records(episodes)
    store.append(records, [Call(record=r.id, cached=i % 4 > 0, seconds=0.25) for i, r in enumerate(records) if r.reply])
    save_examples(folder, book())
    return folder


@pytest.fixture
def fake_run(tmp_path: Path) -> Path:
    return write_fake_run(tmp_path / "run")
