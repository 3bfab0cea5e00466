"""A recipe names everything it lacks before any work, each with its setting."""

from __future__ import annotations

import huggingface_hub.constants
import open_clip
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from spae import hub_access
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


@pytest.fixture
def offline(monkeypatch):
    """The hub is out of reach: asked once, never retried."""
    asked = []

    def away(endpoint):
        asked.append(endpoint)
        return f"{endpoint} cannot be reached (no way)"

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_access, "_problem", away)
    return asked


@pytest.fixture
def resnet(tmp_path_factory):
    """A file that holds a ResNet-50."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in torchvision.models.resnet50(weights=None).state_dict().items()}
    path = tmp_path_factory.mktemp("resnet") / "resnet50.safetensors"
    save_file({name: torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()}, path)
    return path


def test_settings_that_are_given_are_not_asked_for(monkeypatch, tmp_path, resnet, offline):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "imagenet"
    data.mkdir()
    given = [f"data.source=folder:{data}", f"appearance.perceptual_file={resnet}"]
    asks = "--set data.source", "--set appearance.perceptual_file"
    assert asks[0] not in lacks("image", given[0]) and asks[1] not in lacks("image", given[1])
    check_ready(get_recipe("ablation_frozen_codebook").with_settings(given))
    gone = lacks("image", f"data.source=folder:{tmp_path}/imagenet2?classes=x", given[1])
    assert f"there is no {tmp_path}/imagenet2, did you mean {tmp_path}/imagenet?" in gone and "there is no x" in gone
    assert "there is no nofile" in lacks("image", given[0], "appearance.perceptual_file=nofile")


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        (
            "image",
            ["appearance.perceptual_file=HERE"],
            ["HERE must hold tensors by name"],
        ),
        (
            "image",
            ["semantics.clip_model=ViT-L-41"],
            ["open_clip has no model 'ViT-L-41'", "did you mean 'ViT-L-1", "--set semantics.clip_model"],
        ),
        ("image", ["semantics.clip_pretrained=openay"], ["neither a file nor a tag", "did you mean 'openai'"]),
        ("image", ["semantics.clip_pretrained=gone.pt"], ["CLIP's weights, there is no gone.pt"]),
        ("image", ["semantics.clip_pretrained=HERE"], ["CLIP's weights, HERE cannot be read"]),
        ("image", ["semantics.clip_model=local-dir:gone"], ["CLIP, there is no folder gone", "local-dir:FOLDER"]),
        ("image", ["semantics.clip_model=local-dir:."], ["holds no open_clip_config.json"]),
        ("image", [], ["CLIP's weights", "cannot be reached (no way)", "semantics.clip_pretrained=FILE"]),
        ("image", ["semantics.clip_model=hf-hub:me/clip"], ["me/clip is not in the hub's cache", "cannot be reached"]),
        ("image", ["data.exclude_classes=gone.txt", "data.source=folder:."], ["classes to leave out", "gone.txt"]),
        ("image", ["data.source=webdataset:x-{0..1}.tar"], ["its data", "x-", "data.source=webdataset:PATH"]),
        ("image", ["data.source=hf:/nope/set"], ["there is no /nope/set", "data.source=hf:"]),
        ("image", ["model.vocabulary=smollm"], ["the vocabulary smollm: did you mean 'smollm2'?"]),
        ("mnist_full", ["data.source=mnist:/nope"], ["there is no /nope", "data.source=mnist:PATH"]),
        ("lqae", [], ["FacebookAI/roberta-base is no folder", "cannot be reached", "model.masked_lm_source=FOLDER"]),
        ("lqae", ["model.masked_lm_source=/nope"], ["there is no folder /nope", "model.masked_lm_source=FOLDER"]),
        ("lqae", ["model.masked_lm_source=."], ["holds no model.safetensors", "model.masked_lm_source=FOLDER"]),
    ],
)
def test_all_that_is_missing_is_in_the_first_round(monkeypatch, tmp_path, offline, recipe, settings, words):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.safetensors").write_bytes(b"here")
    message = lacks(recipe, *(one.replace("HERE", "here.safetensors") for one in settings))
    assert all(word.replace("HERE", "here.safetensors") in message for word in words), message
    asked_for = {"image": "appearance.perceptual_file", "lqae": "spae vocabulary roberta-base", "mnist_full": "mnist"}
    assert asked_for[recipe] in message, "with everything else"
    assert len(offline) <= 1


def test_hub_that_is_out_of_reach_is_asked_once_and_then_offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in hub_access.hub_problem()
    assert huggingface_hub.constants.HF_HUB_OFFLINE and "offline" in hub_access.hub_problem()


def test_clip_is_downloaded_last(monkeypatch, tmp_path, resnet, offline):
    given = [f"data.source=folder:{tmp_path}", f"appearance.perceptual_file={resnet}"]
    fetched = []
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: fetched.append(cfg) or str(tmp_path))
    lacks("image", given[0])
    assert not fetched
    check_ready(get_recipe("image").with_settings(given))
    assert len(fetched) == 1

    def away(cfg):
        raise OSError("no way\nto the hub")

    monkeypatch.setattr(open_clip, "download_pretrained", away)
    monkeypatch.setattr(hub_access, "_problem", lambda endpoint: "")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert "cannot be fetched (no way to the hub): --set semantics.clip_pretrained=FILE" in lacks("image", *given)
    save_file({"w": torch.zeros(1)}, tmp_path / "clip.safetensors")
    check_ready(get_recipe("image").with_settings([*given, f"semantics.clip_pretrained={tmp_path}/clip.safetensors"]))
