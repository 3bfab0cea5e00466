"""`python -m spae evaluate`: on images of a user, as a table and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from spae.cli import app
from spae.tokenizers.build import load_model
from spae.tokenizers.model import to_tensor
from spae.training import word_scores
from spae.training.evaluate import reconstruction_error


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "80", "NO_COLOR": "1"})


@pytest.fixture
def photos(tmp_path, image_batch):
    """Six images in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(image_batch):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_images_without_labels_have_an_error_alone(tiny_folder, photos, image_batch):
    done = run(tiny_folder, "--data", photos, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    expected = reconstruction_error(load_model(tiny_folder), to_tensor(np.stack(image_batch)))
    assert found["metrics"] == pytest.approx({f"images/{name}": value for name, value in expected.items()}, abs=1e-6)
    assert found["images"] == {"images": 6} and found["data"] == str(photos)
    assert "reconstructions: 6 of 6" in done.stderr


def test_class_folders_are_labels_and_a_bad_image_is_counted(tiny_folder, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(word_scores, "text_features", lambda texts: torch.eye(8)[[len(text) % 8 for text in texts]])
    for number, name in enumerate(("lion", "vase")):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for part in range(3):
            (photos / f"{3 * number + part}.png").rename(tmp_path / "classes" / name / f"{part}.png")
    bad = tmp_path / "classes" / "vase" / "2.png"
    bad.write_bytes(bad.read_bytes()[:90])
    done = run(tiny_folder, "--data", tmp_path / "classes")
    assert done.exit_code == 0, done.output
    assert "1 of 6 images cannot be used and are left out" in done.stderr
    for part in (
        "5 images",
        "squared error, layers 1-4",
        "similarity of the words, layer 1",
        "accurate words, layer 4",
    ):
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    limited = json.loads(run(tiny_folder, "--data", tmp_path / "classes", "--limit", 2, "--json").stdout)
    assert limited["images"] == {"images": 1}
