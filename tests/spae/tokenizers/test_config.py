"""Validation of configurations that may come from anywhere."""

from __future__ import annotations

import json
import math

import pytest

from spae.errors import WeightsError
from spae.tokenizers.build import config_text
from spae.tokenizers.config import SavedConfig, check_portable, parse_config
from spae.tokenizers.model_folder import EMBEDDED
from spae.training.recipes import RECIPES, get_recipe

VALID = SavedConfig(name="a", quantizer="saq", vocabulary_sha256="0" * 64, masked_lm_sha256="").model_dump(mode="json")


def parsed(values: object) -> SavedConfig:
    return parse_config(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("name", ["picto_spae", "picto_spae_plain", "picto_vqgan", "picto_lqae_without_lm", "mnist"])
def test_committed_configurations_are_as_written_now(name):
    text = (EMBEDDED / name / "config.json").read_bytes()
    assert config_text(parse_config(text, "here")).encode() == text


@pytest.mark.parametrize("name", RECIPES)
def test_model_of_every_recipe_is_a_saved_configuration(name):
    recipe = get_recipe(name)
    config = parsed(VALID | recipe.model.model_dump(mode="json") | {"name": name})
    assert config.layers == recipe.model.layers


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ([], "valid dictionary|object"),
        ({"module": "os"}, "unknown field 'module'"),
        ({"x" * 9000: 1}, "unknown field"),
        ({"name": None}, "name: .* string"),
        ({"name": 3}, "name: .* string"),
        ({"name": "a/b"}, "never a path"),
        ({"name": "a\\b"}, "never a path"),
        ({"name": ".."}, "never a path"),
        ({"name": "~me"}, "never a path"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "\x1b[2J"}, "printable"),
        ({"name": "a" * 101}, "at most 100"),
        ({"vocabulary_sha256": 5}, "string"),
        ({"pyramid": "../x"}, "never a path"),
        ({"image_size": "32"}, "image_size: .* integer, got '32'"),
        ({"image_size": True}, "integer"),
        ({"image_size": 32.5}, "integer"),
        ({"image_size": -1}, "greater than 0"),
        ({"codebook_dim": 10**30}, "less than or equal to 16384"),
        ({"codebook_dim": 16_384, "codebook_size": 1 << 20}, "codebook_size x codebook_dim may be"),
        ({"num_frames": None}, "integer"),
        ({"latent_scale": math.nan}, "finite"),
        ({"latent_scale": math.inf}, "finite"),
        ({"latent_scale": 10**4000}, "finite"),
        ({"latent_scale": {}}, "latent_scale: .* number"),
        ({"pyramid": {"a": 1}}, "pyramid"),
        ({"pyramid": [1, "2"]}, "pyramid"),
        ({"pyramid": [[1, 1, 1, 1]]}, "pyramid"),
        ({"pyramid": [[]]}, "pyramid"),
        ({"pyramid": [[[1]]]}, "pyramid"),
        ({"pyramid": [0]}, "pyramid"),
        ({"pyramid": [True]}, "pyramid"),
        ({"pyramid": [1] * 33}, "at most 32"),
        ({"pyramid": [[256, 256, 256]]}, "262,144 cells at most, got 16,777,216"),
        ({"masked_lm_source": 3}, "masked_lm_source: .* string"),
    ],
    ids=lambda value: None,
)
def test_other_values_are_refused(config, rule):
    values = VALID | config if isinstance(config, dict) else config
    with pytest.raises(WeightsError, match=rule) as caught:
        parsed(values)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value) and len(str(caught.value)) < 700


@pytest.mark.parametrize("missing", VALID)
def test_missing_field_is_named(missing):
    with pytest.raises(WeightsError, match=f"{missing} is missing"):
        parsed({key: value for key, value in VALID.items() if key != missing})


def test_folder_of_a_language_model_stays_on_its_machine():
    for source in ("", "roberta-base", "FacebookAI/roberta-base"):
        check_portable(parsed(VALID | {"masked_lm_source": source}), "here")
    check_portable(parsed(VALID), "here")
    for source in ("/models/roberta", "./roberta", "../roberta", "a/b/c", "a/..", "C:\\roberta", "~/roberta"):
        config = parsed(VALID | {"masked_lm_source": source})
        with pytest.raises(WeightsError, match="must be a name on the hub"):
            check_portable(config, "here")
