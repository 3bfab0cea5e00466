"""A recipe names everything it lacks before any work, each with its setting."""

from __future__ import annotations

import pytest

from spae.errors import InputError
from spae.training.recipes import get_recipe
from spae.training.recipes.ready import check_ready


def lacks(name: str, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        check_ready(get_recipe(name).with_settings(list(settings)))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"recipe {name} lacks ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "image",
            [
                "ImageNet ILSVRC2012",
                "--set data.source=folder:PATH",
                "resnet50",
                "--set appearance.perceptual_file=FILE",
            ],
        ),
        ("ablation_vq", ["ImageNet ILSVRC2012", "--set data.source=folder:PATH"]),
        ("imagenet21k", ["ImageNet-21k", "--set data.source=folder:PATH"]),
        (
            "video",
            ["Kinetics-600", "--set data.source=video:PATH", "runs/train/image", "--set optimizer.init_from=FOLDER"],
        ),
        ("gpt", ["python -m spae vocabulary ada-002 --encoding cl100k_base --embeddings text-embedding-ada-002"]),
        ("lqae", ["python -m spae vocabulary roberta-base --masked-lm FacebookAI/roberta-base"]),
        ("mnist_full", ["all of MNIST", "--set data.source=mnist:FOLDER"]),
    ],
)
def test_recipe_names_all_it_lacks(monkeypatch, tmp_path, name, words):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    message = lacks(name)
    assert all(word in message for word in words), message


def test_settings_that_are_given_are_not_asked_for(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    data, weights = tmp_path / "imagenet", tmp_path / "resnet50.safetensors"
    data.mkdir()
    weights.write_bytes(b"here")
    given = [f"data.source=folder:{data}", f"appearance.perceptual_file={weights}"]
    assert "data.source=folder" not in lacks("image", given[0]) and "perceptual_file" not in lacks("image", given[1])
    check_ready(get_recipe("ablation_frozen_codebook").with_settings(given))
    assert f"there is no {tmp_path}/gone" in lacks("image", f"data.source=folder:{tmp_path}/gone?classes=x", given[1])
    assert "there is no nofile" in lacks("image", given[0], "appearance.perceptual_file=nofile")


def test_clip_is_downloaded_last(monkeypatch, tmp_path):
    import open_clip

    (tmp_path / "resnet50.pth").write_bytes(b"here")
    given = [f"data.source=folder:{tmp_path}", f"appearance.perceptual_file={tmp_path}/resnet50.pth"]

    def away(cfg):
        raise OSError("no way\nto the hub")

    monkeypatch.setattr(open_clip, "download_pretrained", away)
    assert "cannot be fetched (no way to the hub): --set semantics.clip_pretrained=FILE" in lacks("image", *given)
    assert "neither a file nor a tag of ViT-L-14 (openai" in lacks("image", *given, "semantics.clip_pretrained=openay")
    (tmp_path / "clip.safetensors").write_bytes(b"here")
    check_ready(get_recipe("image").with_settings([*given, f"semantics.clip_pretrained={tmp_path}/clip.safetensors"]))
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: str(tmp_path))
    check_ready(get_recipe("image").with_settings(given))
