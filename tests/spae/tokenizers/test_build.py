"""Folders of trained models: their files, and errors on files that do not fit."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from spae.errors import InputError, WeightsError
from spae.networks import count_parameters
from spae.pyramid import Pyramid
from spae.quantizers import ProjectedSAQ, ResidualQuantizer, StreamingAverageQuantizer, VectorQuantizer
from spae.tokenizers.build import build_model, load_model, saved_config
from spae.tokenizers.build import save_model as write_model
from spae.tokenizers.config import ModelConfig
from spae.tokenizers.model_folder import load_config


@pytest.mark.parametrize(
    ("fields", "quantizer", "layers"),
    [
        ({"quantizer": "saq"}, StreamingAverageQuantizer, 4),
        ({"quantizer": "saq", "latent_scale": 2.0}, StreamingAverageQuantizer, 4),
        ({"quantizer": "saq", "latent_scale": 2.0, "projected_layers": 2, "projected_dim": 3}, ProjectedSAQ, 4),
        ({"quantizer": "vq"}, VectorQuantizer, 1),
    ],
    ids=["saq", "saq with norm", "saq with projection", "vq"],
)
def test_saved_model_loads_the_same(tmp_path, tiny, save_model, fields, quantizer, layers):
    saved, config = save_model(tmp_path, **fields)
    loaded = load_model(tmp_path)
    assert load_config(tmp_path) == config
    assert isinstance(loaded.quantizer, quantizer) and loaded.quantizer.pyramid.depth == layers
    assert (loaded.latent_norm is not None) == ("latent_scale" in fields) and not loaded.training
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert loaded.latents(images).equal(saved.latents(images))
        assert loaded.decode(saved.latents(images)).equal(saved.decode(saved.latents(images)))
    assert count_parameters(loaded) == count_parameters(saved.autoencoder)


@pytest.mark.parametrize(
    ("fields", "kind", "layers", "learned"),
    [
        ({"quantizer": "saq", "pyramid": (1, 2, 4, 4, 4)}, StreamingAverageQuantizer, (1, 2, 4, 4, 4), False),
        ({"quantizer": "rq", "pyramid": (4, 4)}, ResidualQuantizer, (4, 4), False),
        ({"quantizer": "rq", "pyramid": (4, 4), "codebook": "learned"}, ResidualQuantizer, (4, 4), True),
        ({"quantizer": "rq", "l2_normalize": True, "latent_scale": 1.0}, ResidualQuantizer, (1, 2, 4, 4), False),
        ({"quantizer": "vq", "codebook": "frozen"}, VectorQuantizer, (4,), False),
        (
            {"quantizer": "vq", "codebook": "frozen", "l2_normalize": True, "network": "picto-lqae"},
            VectorQuantizer, (4,), False,
        ),
        (
            {"quantizer": "vq", "codebook": "learned", "network": "picto-256", "image_size": 64},
            VectorQuantizer, (4,), True,
        ),
        (
            {"quantizer": "saq", "network": "picto-video", "num_frames": 16, "pyramid": ((1, 1, 1), (4, 4, 4))},
            StreamingAverageQuantizer, ((1, 1, 1), (4, 4, 4)), False,
        ),
    ],
)  # fmt: skip
def test_every_kind_of_model_is_built_saved_and_loaded(tmp_path, tiny, recipe_of, fields, kind, layers, learned):
    config = saved_config("a", recipe_of(**fields).model, tiny)
    torch.manual_seed(0)
    model = build_model(config, tiny).eval()
    assert type(model.quantizer) is kind and model.quantizer.pyramid == Pyramid(layers)
    assert (model.quantizer.learning is not None) == learned and model.quantizer.l2_normalize == config.l2_normalize
    assert learned == any("codebook" in name for name in model.state_dict())
    model.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
    write_model(tmp_path, model.state_dict(), config)
    loaded = load_model(tmp_path)
    assert load_config(tmp_path) == config
    size, frames = config.image_size, config.num_frames
    images = torch.rand(2, 3, *((frames,) if frames else ()), size, size) * 2 - 1
    with torch.no_grad():
        one, other = model.encode(images), loaded.encode(images)
        assert all(a.equal(b) for a, b in zip(one.ids, other.ids, strict=True))
        decoded, terms = loaded.reconstruct(other.embeddings[-1], other, lambda count: torch.rand(2, count))
        assert decoded.equal(model.decode(one.embeddings[-1])) and decoded.shape == images.shape and terms == {}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"image_size": 64}, "network picto makes a grid of \\(8, 8\\) at image_size 64.*last layer is \\(4, 4\\)"),
        ({"image_size": 36}, "network picto does not take image_size 36"),
        (
            {"num_frames": 16, "pyramid": [[1, 1, 1], [4, 4, 4]]},
            "network picto does not take image_size 32 with num_frames 16",
        ),
        ({"network": "picto-video"}, "network picto-video does not take image_size 32 with num_frames 0"),
        ({"network": "pikto"}, "unknown network preset 'pikto': did you mean 'picto'"),
        ({"quantizer": "pq"}, "quantizer: Input should be 'saq', 'rq' or 'vq', got 'pq'"),
        ({"pyramid": [4, 2]}, "layers go from coarse to fine"),
        ({"codebook": "learned"}, "saq averages words of a frozen codebook"),
        ({"quantizer": "rq", "codebook": "learned", "latent_scale": 1.0}, "latent_scale must be 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(map(str, value)),
)
def test_parts_that_do_not_fit_are_refused(tiny, recipe_of, changed, words):
    with pytest.raises(InputError, match=words) as caught:
        build_model(recipe_of(**changed).model, tiny)
    assert "\n" not in str(caught.value)


def test_half_precision_is_read_as_float32(tiny_folder):
    weights = {name: value.half() for name, value in load_file(tiny_folder / "model.safetensors").items()}
    save_file(weights, tiny_folder / "model.safetensors")
    assert {value.dtype for value in load_model(tiny_folder).state_dict().values()} == {torch.float32}


def test_frozen_codebook_is_not_saved(tiny_folder, tiny):
    weights = load_file(tiny_folder / "model.safetensors")
    assert not any("quantizer" in name for name in weights)
    assert load_model(tiny_folder).quantizer.codebook.equal(tiny.embeddings)


def test_latent_width_is_that_of_the_codebook(tiny, recipe_of):
    for fields, width in (({"codebook_dim": 999}, 16), ({"quantizer": "vq", "codebook_dim": 24}, 24)):
        model = build_model(recipe_of(**fields).model, tiny)
        assert model.latents(torch.zeros(1, 3, 32, 32)).shape == (1, 16, width)


def test_config_holds_shape_name_and_vocabulary(tmp_path, tiny, save_model):
    _, config = save_model(tmp_path, latent_scale=1.0)
    stated = json.loads((tmp_path / "config.json").read_text())
    shape = {name: stated[name] for name in ModelConfig.model_fields}
    assert set(stated) == {*shape, "name", "vocabulary_sha256", "masked_lm_sha256"}
    assert stated["vocabulary_sha256"] == tiny.fingerprint == config.vocabulary_sha256
    assert ModelConfig.model_validate_json(json.dumps(shape)).latent_scale == 1.0


def refused(folder, rule):
    with pytest.raises(WeightsError, match=rule) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_folder_without_a_model_is_refused(tmp_path, tiny_folder):
    refused(tmp_path / "nowhere", "holds no config.json")
    (tiny_folder / "model.safetensors").unlink()
    refused(tiny_folder, "holds no model.safetensors")


@pytest.mark.parametrize("text", ["{", "", "3", "null", '{"name": '], ids=repr)
def test_broken_configuration_is_refused(tiny_folder, text):
    (tiny_folder / "config.json").write_text(text)
    refused(tiny_folder, "is not a model's configuration")


def test_configuration_that_is_not_text_is_refused(tiny_folder):
    (tiny_folder / "config.json").write_bytes(b"\xff\xfe\x00")
    refused(tiny_folder, "is not a model's configuration")


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize("missing", ["pyramid", "vocabulary_sha256"])
def test_missing_field_is_refused(tiny_folder, missing):
    config = json.loads((tiny_folder / "config.json").read_text())
    del config[missing]
    (tiny_folder / "config.json").write_text(json.dumps(config))
    refused(tiny_folder, f"{missing} is missing")


def test_another_vocabulary_is_refused(tiny_folder):
    change(tiny_folder, vocabulary_sha256="0" * 64)
    refused(tiny_folder, "trained with vocabulary 000000000000, this is")


def test_unknown_vocabulary_is_refused(tiny_folder):
    change(tiny_folder, vocabulary="elsewhere")
    refused(tiny_folder, "unknown vocabulary 'elsewhere'")


@pytest.mark.parametrize("damage", ["cut short", "other network", "not safetensors"])
def test_weights_that_do_not_fit_are_refused(tiny_folder, damage):
    path = tiny_folder / "model.safetensors"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "not safetensors":
        path.write_bytes(b"no")
    else:
        weights = load_file(path)
        weights.pop(next(iter(weights)))
        save_file(weights, path)
    refused(tiny_folder, "does not fit its config.json")
