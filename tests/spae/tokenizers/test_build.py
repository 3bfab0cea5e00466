"""Folders of trained models: what is in them, and what is said where it does not fit."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from spae.errors import WeightsError
from spae.networks import count_parameters
from spae.quantizers import StreamingAverageQuantizer, VectorQuantizer
from spae.tokenizers.build import SHAPE_FIELDS, build_model, load_config, load_model, model_config


@pytest.mark.parametrize(
    ("fields", "quantizer", "layers"),
    [
        ({"quantizer": "saq"}, StreamingAverageQuantizer, 4),
        ({"quantizer": "saq", "latent_spread": 2.0}, StreamingAverageQuantizer, 4),
        ({"quantizer": "vq"}, VectorQuantizer, 1),
    ],
    ids=["saq", "saq with norm", "vq"],
)
def test_a_saved_model_comes_back_the_same(tmp_path, tiny, save_model, fields, quantizer, layers):
    saved, config = save_model(tmp_path, **fields)
    loaded = load_model(tmp_path)
    assert load_config(tmp_path) == config
    assert isinstance(loaded.quantizer, quantizer) and loaded.quantizer.pyramid.depth == layers
    assert (loaded.latent_norm is not None) == ("latent_spread" in fields) and not loaded.training
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert loaded.latents(pictures).equal(saved.latents(pictures))
        assert loaded.decode(saved.latents(pictures)).equal(saved.decode(saved.latents(pictures)))
    assert count_parameters(loaded) == count_parameters(saved.autoencoder)


def test_half_precision_is_read_as_float32(tiny_folder):
    weights = {name: value.half() for name, value in load_file(tiny_folder / "model.safetensors").items()}
    save_file(weights, tiny_folder / "model.safetensors")
    assert {value.dtype for value in load_model(tiny_folder).state_dict().values()} == {torch.float32}


def test_the_frozen_codebook_is_not_in_the_file(tiny_folder, tiny):
    weights = load_file(tiny_folder / "model.safetensors")
    assert not any("quantizer" in name for name in weights)
    assert load_model(tiny_folder).quantizer.codebook.equal(tiny.embeddings)


def test_the_width_follows_the_codebook(tiny, recipe_of):
    for fields, width in (({"width": 999}, 16), ({"quantizer": "vq", "width": 24}, 24)):
        model = build_model(model_config(recipe_of(**fields).model_dump(), tiny), tiny)
        assert model.latents(torch.zeros(1, 3, 32, 32)).shape == (1, 16, width)


def test_the_configuration_names_shape_and_vocabulary_only(tiny, recipe_of):
    config = model_config(recipe_of().model_dump(), tiny)
    assert set(config) == {*SHAPE_FIELDS, "vocabulary_sha256"} and config["vocabulary_sha256"] == tiny.fingerprint


def refused(folder, rule):
    with pytest.raises(WeightsError, match=rule) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model(tmp_path, tiny_folder):
    refused(tmp_path / "nowhere", "holds no config.json")
    (tiny_folder / "model.safetensors").unlink()
    refused(tiny_folder, "holds no model.safetensors")


@pytest.mark.parametrize("text", ["{", "", "3", "null", '{"name": '], ids=repr)
def test_a_broken_configuration(tiny_folder, text):
    (tiny_folder / "config.json").write_text(text)
    refused(tiny_folder, "is not a model's configuration")


def test_a_configuration_that_is_not_text(tiny_folder):
    (tiny_folder / "config.json").write_bytes(b"\xff\xfe\x00")
    refused(tiny_folder, "is not a model's configuration")


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize("missing", ["pyramid", "vocabulary_sha256"])
def test_a_configuration_with_a_hole(tiny_folder, missing):
    config = json.loads((tiny_folder / "config.json").read_text())
    del config[missing]
    (tiny_folder / "config.json").write_text(json.dumps(config))
    refused(tiny_folder, f"lacks {missing}")


def test_another_vocabulary(tiny_folder):
    change(tiny_folder, vocabulary_sha256="0" * 64)
    refused(tiny_folder, "trained with vocabulary 000000000000, this is")


def test_an_unknown_vocabulary(tiny_folder):
    change(tiny_folder, vocabulary="elsewhere")
    refused(tiny_folder, "unknown vocabulary 'elsewhere'")


@pytest.mark.parametrize("damage", ["cut short", "other network", "not safetensors"])
def test_weights_that_do_not_fit(tiny_folder, damage):
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
