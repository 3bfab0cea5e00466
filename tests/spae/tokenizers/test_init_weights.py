"""Weights that a run starts from: a trained folder, a checkpoint, committed weights, inflated image weights."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from spae.errors import WeightsError
from spae.network_presets import NETWORKS
from spae.tokenizers.build import build_model, load_model
from spae.tokenizers.init_weights import load_init_weights
from spae.tokenizers.model_folder import EMBEDDED
from spae.training.recipes import get_recipe
from spae.training.recipes.smoke import smoke
from spae.vocabulary import open_vocabulary

VIDEOS = {"network": "picto-video", "num_frames": 16, "pyramid": ((1, 1, 1), (4, 4, 4)), "latent_scale": 1.0}


@pytest.fixture
def made(tiny, recipe_of, monkeypatch):
    """Builds a random model of a tiny recipe, with few filters."""
    for preset in ("picto", "picto-video"):
        monkeypatch.setitem(NETWORKS, preset, (4, NETWORKS[preset][1]))

    def build(**fields):
        torch.manual_seed(9)
        return build_model(recipe_of(**fields).model, tiny)

    return build


@pytest.fixture
def folder(made, tiny_folder):
    """A trained folder with such few filters."""
    model = made(latent_scale=1.0)
    state = {name: torch.randn_like(value).contiguous() for name, value in model.state_dict().items()}
    save_file(state, tiny_folder / "model.safetensors")
    return tiny_folder


def test_a_folder_and_a_checkpoint_s_average(tmp_path, folder, made, tiny):
    weights = load_file(folder / "model.safetensors")
    model = made(latent_scale=1.0)
    load_init_weights(model, tiny, str(folder))
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())
    groups = {f"ema/{name}": value for name, value in weights.items()} | {"model/x": torch.zeros(1)}
    save_file(groups, tmp_path / "step-000004.safetensors")
    model = made(latent_scale=1.0)
    load_init_weights(model, tiny, str(tmp_path / "step-000004.safetensors"))
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("mode", ["central", "average"])
def test_images_inflated_see_a_still_clip_as_the_image(folder, made, tiny, mode):
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    image, videos = made(latent_scale=1.0).eval(), made(**VIDEOS).eval()
    load_init_weights(image, tiny, str(folder))
    load_init_weights(videos, tiny, str(folder), mode)
    still = images[:, :, None].expand(-1, -1, 16, -1, -1)
    with torch.no_grad():
        found = videos.autoencoder.encode(still).unflatten(1, (4, 16))
        expected = image.autoencoder.encode(images)[:, None].expand_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_committed_weights_by_their_name(tiny, made):
    with pytest.raises(WeightsError, match="picto_spae was trained for another vocabulary"):
        load_init_weights(made(), tiny, "picto_spae")


def test_weights_that_do_not_fit_are_refused(tmp_path, folder, made, tiny):
    for model, source, words in (
        (made(), str(tmp_path / "gone"), "there is none at"),
        (made(latent_scale=1.0), str(tmp_path), "there is none at"),
        (made(**VIDEOS), str(folder), "use the same network.*inflation=central"),
        (made(), str(folder), "latent_norm.running_mean is .*there, nothing here"),
    ):
        with pytest.raises(WeightsError, match=words) as caught:
            load_init_weights(model, tiny, source)
        assert "\n" not in str(caught.value)
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_init_weights(made(latent_scale=1.0), tiny, str(folder))


def test_a_learned_codebook_is_taken_along(tmp_path, made, tiny):
    source = made(quantizer="vq")
    kept = {name: value for name, value in source.state_dict().items() if not name.endswith(("usage", "sums"))}
    save_file({name: value + 1 for name, value in kept.items()}, tmp_path / "model.safetensors")
    model = made(quantizer="vq")
    load_init_weights(model, tiny, str(tmp_path))
    assert model.quantizer.codebook.equal(source.quantizer.codebook + 1)


@pytest.mark.slow
def test_smoke_run_of_video_starts_from_the_committed_model():
    """A still video's latents are those of the image, in all four frames of the grid."""
    recipe = smoke(get_recipe("video"))
    words = open_vocabulary(recipe.model.vocabulary)
    videos = build_model(recipe.model, words).eval()
    load_init_weights(videos, words, recipe.optimizer.init_from, recipe.optimizer.inflation)
    image = load_model(EMBEDDED / "picto_spae_plain")
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        found = videos.latents(images[:, :, None].expand(-1, -1, 16, -1, -1)).unflatten(1, (4, 16))
        expected = image.latents(images)[:, None].expand_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)
