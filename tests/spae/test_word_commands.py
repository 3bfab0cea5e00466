"""`python -m spae tokenize` and `decode`, end to end on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from spae.cli import app
from spae.tokenizers.build import load_model
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.model import to_tensor
from tests.spae.test_regular_file import special_file


def run(*arguments, text=None):
    return CliRunner().invoke(app, [str(one) for one in arguments], input=text, env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture
def photos(tmp_path, image_batch, monkeypatch):
    """Six images, 32x32; the working folder is beside them."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(image_batch):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def pixels(path):
    return np.asarray(Image.open(path))


def own_reconstruction(folder, images, layers):
    """The model's reconstructions, without words in between."""
    model = load_model(folder)
    with torch.no_grad():
        quantized = model.encode(to_tensor(np.stack(images)))
        decoded = model.decode(model.quantizer.decode_ids(quantized.ids[:layers]))
    return ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("layers", [1, 3, 4])
def test_words_decode_to_the_models_own_reconstruction(photos, tiny_folder, image_batch, layers):
    done = run("tokenize", photos, "--tokenizer", tiny_folder, "--out", "words.json")
    assert done.exit_code == 0 and "written: words.json" in done.stderr
    done = run("decode", "words.json", "--tokenizer", tiny_folder, "--layers", f"1-{layers}", "--out", "back.png")
    assert done.exit_code == 0, done.output
    sheet, expected = pixels("back.png"), own_reconstruction(tiny_folder, image_batch, layers)
    assert sheet.shape == (2 * 34 - 2, 3 * 34 - 2, 3)
    for i, image in enumerate(expected):
        top, left = i // 3 * 34, i % 3 * 34
        assert sheet[top : top + 32, left : left + 32].tobytes() == image.tobytes()


def test_one_image_through_a_pipe(photos, tiny_folder, image_batch):
    words = run("tokenize", photos / "2.png", "--tokenizer", tiny_folder, "--json")
    assert words.exit_code == 0
    done = run("decode", "-", "--tokenizer", tiny_folder, "--out", "deep/back.png", text=words.stdout)
    assert done.exit_code == 0 and "written: deep/back.png (1 of 32x32, layers 1-4)" in done.output
    assert pixels("deep/back.png").tobytes() == own_reconstruction(tiny_folder, image_batch[2:3], 4)[0].tobytes()


def test_words_are_those_of_an_evaluation(photos, tiny_folder, image_batch):
    """Images of any size are resized as benchmarks do."""
    large = np.asarray(Image.fromarray(image_batch[0]).resize((301, 200)))
    Image.fromarray(large).save("large.png")
    (expected,) = LexicalTokenizer.from_pretrained(tiny_folder).encode([large])
    found = json.loads(run("tokenize", "large.png", "--tokenizer", tiny_folder, "--json").stdout)
    (image,) = found["images"]
    assert image["image"] == "large.png" and found["grids"] == [[1, 1], [2, 2], [4, 4], [4, 4]]
    assert [tuple(layer["ids"]) for layer in image["tokens"]] == list(expected.ids)
    assert [tuple(layer["words"]) for layer in image["tokens"]] == list(expected.words)


def test_plain_text_where_there_is_no_terminal(photos, tiny_folder):
    done = run("tokenize", photos / "0.png", "--tokenizer", tiny_folder, "--layers", "1-2")
    (expected,) = LexicalTokenizer.from_pretrained(tiny_folder).encode([pixels(photos / "0.png")])
    lines = done.stdout.splitlines()
    assert lines[0] == str(photos / "0.png") and lines[1:4:2] == ["  layer 1, 1 x 1", "  layer 2, 2 x 2"]
    assert lines[2].split() == list(expected.words[0]) and " ".join(lines[4:]).split() == list(expected.words[1])
    assert run("tokenize", photos / "0.png", "--tokenizer", tiny_folder, "--layers", "2", "--json").exit_code == 0


def test_show_writes_a_figure_for_each_image(photos, tiny_folder):
    Image.open(photos / "0.png").save(photos / "0.bmp")
    done = run("tokenize", photos / "0.png", photos / "0.bmp", "--tokenizer", tiny_folder, "--show", "--layers", "1-2")
    assert done.exit_code == 0
    for name in ("0.png", "0-2.png"):
        assert f"written: runs/pyramids/{name}" in done.stderr and min(pixels(f"runs/pyramids/{name}").shape[:2]) > 100
    run("tokenize", photos / "0.png", "--tokenizer", tiny_folder, "--show", "--out", "here/words.txt")
    assert pixels("here/words-pyramids/0.png").size and "layer 4, 4 x 4" in Path("here/words.txt").read_text("utf-8")


def test_unreadable_images_are_named_and_the_others_tokenized(photos, tiny_folder):
    (photos / "1.png").write_bytes(b"not an image")
    (photos / "3.png").write_bytes((photos / "3.png").read_bytes()[:60])
    done = run("tokenize", photos, "gone.png", "--tokenizer", tiny_folder, "--json", "--show")
    assert done.exit_code == 2
    assert "there is no image or folder gone.png" in done.stderr
    for name in ("1.png", "3.png"):
        assert f"image {photos / name} does not decode" in done.stderr
    assert "error: 3 could not be read, 4 tokenized" in done.stderr
    assert [one["image"][-5:] for one in json.loads(done.stdout)["images"]] == ["0.png", "2.png", "4.png", "5.png"]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["tokenize", "gone.png"], "there is no image or folder gone.png"),
        (["tokenize", "photos", "--layers", "1-9"], "there is no layer 5, only 1-4"),
        (["tokenize", "photos", "--layers", "x"], "--layers takes layers from 1"),
        (["decode", "gone.json", "--out", "x.png"], "gone.json cannot be read"),
        (["decode", "photos", "--out", "x.png"], "photos cannot be read"),
        (["decode", "bad.json", "--out", "x.png"], "tokens must be JSON"),
        (["decode", "bad.json", "--out", "x.gif"], "--out must end in .png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(photos, tiny_folder, arguments, rule):
    Path("bad.json").write_text('{"format": 1')
    done = run(*arguments, "--tokenizer", tiny_folder)
    assert done.exit_code == 2 and rule in done.stderr and "Traceback" not in done.output
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())


def test_an_unknown_tokenizer(photos):
    done = run("tokenize", photos, "--tokenizer", "spea")
    assert done.exit_code == 2 and "did you mean 'spae'" in done.stderr and "hf:OWNER/NAME" in done.stderr


def test_another_tokenizers_words_decode_with_a_note(photos, tiny_folder, tmp_path, save_model):
    save_model(tmp_path / "other")
    run("tokenize", photos, "--tokenizer", tiny_folder, "--out", "words.json")
    done = run("decode", "words.json", "--tokenizer", tmp_path / "other", "--out", "back.png")
    assert done.exit_code == 0 and "note: these tokens were made by another tokenizer" in done.stderr


def test_a_grid_has_a_bound(photos, tiny_folder, monkeypatch):
    monkeypatch.setattr("spae.word_commands.MAX_GRID_IMAGES", 5)
    run("tokenize", photos, "--tokenizer", tiny_folder, "--out", "words.json")
    done = run("decode", "words.json", "--tokenizer", tiny_folder, "--out", "back.png")
    assert done.exit_code == 2 and "one PNG holds 5 images, got 6" in done.stderr


def test_words_do_not_depend_on_how_many_there_are(photos, tiny_folder, monkeypatch):
    whole = run("tokenize", photos, "--tokenizer", tiny_folder).stdout
    monkeypatch.setattr("spae.word_commands.BATCH", 4)
    assert run("tokenize", photos, "--tokenizer", tiny_folder).stdout == whole


@pytest.mark.parametrize("command", ["tokenize", "decode"])
def test_help_has_examples_and_imports_nothing_heavy(command):
    done = run(command, "--help")
    assert done.exit_code == 0 and f"python -m spae {command} " in done.output and "--tokenizer" in done.output
    code = (
        "import sys; from typer.testing import CliRunner; from spae.cli import app;"
        f"assert CliRunner().invoke(app, ['{command}', '--help']).exit_code == 0;"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'PIL', 'huggingface_hub', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_special_files_are_one_line(tmp_path):
    path = special_file(tmp_path / "x.png", "a named pipe")
    special_file(tmp_path / "model" / "config.json", "a device")
    for arguments in (["tokenize", path], ["decode", path, "--out", tmp_path / "y.png"]):
        done = run(*arguments)
        assert done.exit_code == 2 and "it is a named pipe, expected an ordinary file" in done.stderr, done.output
    done = run("tokenize", path, "--tokenizer", tmp_path / "model")
    assert done.exit_code == 2 and "it is a device" in done.stderr and done.stderr.count("\n") == 1
