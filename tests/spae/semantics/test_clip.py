"""CLIP features by a tiny random model of open_clip; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from spae.errors import ShapeError, UnknownName, WeightsError
from spae.semantics import clip as module
from spae.semantics.clip import Clip, open_clip_model
from spae.semantics.pool import similarity

CONFIG = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny CLIP, as open_clip keeps models in folders."""
    import open_clip

    path = tmp_path_factory.mktemp("clip") / "tiny-clip"
    path.mkdir()
    torch.manual_seed(0)
    model = open_clip.CLIP(CONFIG["embed_dim"], CONFIG["vision_cfg"], CONFIG["text_cfg"])
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path / "open_clip_model.safetensors")
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    return path


@pytest.fixture(scope="module")
def tiny_clip(folder: Path) -> Clip:
    return open_clip_model(f"local-dir:{folder}", None)


def by_open_clip(folder: Path):
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


def test_text_features_are_open_clip_s(folder, tiny_clip):
    model, _, tokenizer = by_open_clip(folder)
    texts = ["a lion", "a vase on a table", "truck"]
    with torch.no_grad():
        expected = model.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(tiny_clip.text_features(texts, batch=2), expected)


def test_word_features_are_the_mean_over_eighty_templates(folder, tiny_clip, monkeypatch, tmp_path):
    import open_clip

    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    model, _, tokenizer = by_open_clip(folder)
    templates = open_clip.OPENAI_IMAGENET_TEMPLATES
    assert len(templates) == 80
    words = ("lion", "vase", "steam")
    expected = []
    for word in words:
        total = torch.zeros(8)
        for template in templates:
            with torch.no_grad():
                total += model.encode_text(tokenizer([template(word)]))[0]
        expected.append(total / 80 / (total / 80).norm())
    found = tiny_clip.word_features(words, batch=2)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-4)
    (kept,) = tmp_path.glob("*.npy")
    assert kept.name.startswith("clip-words-")


def test_word_features_are_computed_once_for_these_words_and_weights(tiny_clip, monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    first = tiny_clip.word_features(("lion", "vase"))

    def never(texts):
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr(tiny_clip, "_tokenize", never)
        assert tiny_clip.word_features(("lion", "vase")).equal(first)
        with pytest.raises(AssertionError, match="made again"):
            tiny_clip.word_features(("vase", "lion"))
        patch.setattr(tiny_clip, "weights_sha256", "another model")
        with pytest.raises(AssertionError, match="made again"):
            tiny_clip.word_features(("lion", "vase"))
        patch.undo()
    monkeypatch.setattr(module, "_templates", lambda: (lambda word: f"the {word}",))
    assert not tiny_clip.word_features(("lion", "vase")).equal(first)


def test_image_features_are_open_clip_s(folder, tiny_clip):
    from PIL import Image

    model, preprocess, _ = by_open_clip(folder)
    pixels = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.encode_image(
            preprocess(Image.fromarray(pixels[0].permute(1, 2, 0).numpy()))[None], normalize=True
        )
    torch.testing.assert_close(tiny_clip.image_features(pixels / 127.5 - 1), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(40, 40), (24, 40), (40, 20), (8, 8), (23, 38)], ids=str)
def test_other_sizes_are_scaled_and_cropped_as_open_clip_does(folder, tiny_clip, size):
    """Smooth images: open_clip rounds to 256 levels in between."""
    from PIL import Image

    _, preprocess, _ = by_open_clip(folder)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij")
    image = torch.stack([rows, columns, rows * columns]).mul(255).round().byte()
    expected = preprocess(Image.fromarray(image.permute(1, 2, 0).numpy()))
    found = tiny_clip._prepare(image[None] / 127.5 - 1)[0]
    assert found.shape == expected.shape == (3, 16, 16)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_a_video_is_the_mean_of_its_frames(tiny_clip):
    frames = torch.rand(2, 3, 3, 16, 16) * 2 - 1
    found = tiny_clip.video_features(frames)
    each = torch.stack([tiny_clip.image_features(frames[:, t]) for t in range(3)])
    torch.testing.assert_close(found, F.normalize(each.mean(0), dim=-1))


@pytest.mark.parametrize("frames", [0, 2])
def test_features_of_a_data_set_are_computed_once(tiny_clip, monkeypatch, tmp_path, frames):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    shape = (5, frames, 3, 16, 16) if frames else (5, 3, 16, 16)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return images[start:stop]

    whole = tiny_clip.video_features(images) if frames else tiny_clip.image_features(images)
    for _ in range(2):
        torch.testing.assert_close(tiny_clip.set_features("a set", 5, read, batch=2), whole)
    assert asked == [(0, 2), (2, 4), (4, 5)]
    tiny_clip.set_features("another set", 5, read, batch=5)
    assert len(asked) == 4


def test_scores_are_dot_products_of_features(tiny_clip, monkeypatch, tmp_path):
    """Eq. 6 on top: an image's best word has s = 1, its worst 0."""
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    scores = similarity(tiny_clip.image_features(torch.rand(2, 3, 16, 16)), tiny_clip.word_features(("a", "b", "c")))
    assert scores.shape == (2, 3) and scores.amax(1).tolist() == [1, 1] and scores.amin(1).tolist() == [0, 0]


def test_a_model_s_name_and_hash_hold_no_local_path(folder, tiny_clip, monkeypatch):
    import open_clip.factory

    assert tiny_clip.name == "tiny-clip" and len(tiny_clip.weights_sha256) == 64
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", CONFIG)
    other = open_clip_model("tiny", str(folder / "open_clip_model.safetensors"))
    assert other.name == "tiny/open_clip_model.safetensors"
    assert other.weights_sha256 == tiny_clip.weights_sha256, "the same weights under another name"


def test_a_tag_gets_the_activation_it_was_trained_with(monkeypatch):
    import open_clip

    asked = {}

    def create_model(model, pretrained, **options):
        asked.update(options, model=model, pretrained=pretrained)
        raise RuntimeError("far away\nand two lines")

    monkeypatch.setattr(open_clip, "create_model", create_model)
    for pretrained, quick in (("openai", True), ("laion2b_s32b_b82k", False)):
        with pytest.raises(WeightsError, match=f"CLIP ViT-L-14/{pretrained} cannot be opened") as caught:
            open_clip_model("ViT-L-14", pretrained)
        assert asked["force_quick_gelu"] is quick and asked["weights_only"] and "\n" not in str(caught.value)


def test_unknown_models_and_weights_are_refused(folder, tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'ViT-L-14'"):
        open_clip_model("ViT-L-144")
    with pytest.raises(WeightsError, match="ViT-L-14 needs weights"):
        open_clip_model("ViT-L-14", None)
    with pytest.raises(WeightsError, match="nowhere cannot be opened"):
        open_clip_model(f"local-dir:{tmp_path}/nowhere", None)


def test_shapes_are_checked(tiny_clip):
    with pytest.raises(ShapeError, match=r"\[B, 3, H, W\]"):
        tiny_clip.image_features(torch.zeros(3, 16, 16))
    with pytest.raises(ShapeError, match=r"\[B, T, 3, H, W\]"):
        tiny_clip.video_features(torch.zeros(2, 3, 16, 16))
