"""Configurations from anywhere: what is let in."""

from __future__ import annotations

import json
import math

import pytest

from spae.errors import WeightsError
from spae.tokenizers.build import SHAPE_FIELDS
from spae.tokenizers.lexical import EMBEDDED
from spae.tokenizers.stated_config import check_config, check_portable
from spae.training.recipes import RECIPES, get_recipe

KNOWN = (*SHAPE_FIELDS, "vocabulary_sha256", "masked_lm_sha256")


@pytest.mark.parametrize("name", ["picto_spae", "picto_spae_plain", "picto_vqgan"])
def test_committed_configurations_pass(name):
    config = json.loads((EMBEDDED / name / "config.json").read_text())
    assert check_config(config, KNOWN, "here") == config


def test_the_shape_of_every_recipe_passes():
    for name in RECIPES:
        recipe = get_recipe(name).model_dump(mode="json")
        check_config({key: recipe[key] for key in SHAPE_FIELDS}, KNOWN, "here")


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ([], "must be a JSON object"),
        ({"module": "os"}, "unknown field 'module'"),
        ({"x" * 9000: 1}, "unknown field"),
        ({"name": None}, "name must be text"),
        ({"name": 3}, "name must be text"),
        ({"name": "a/b"}, "never a path"),
        ({"name": "a\\b"}, "never a path"),
        ({"name": ".."}, "never a path"),
        ({"name": "~me"}, "never a path"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "\x1b[2J"}, "printable"),
        ({"name": "a" * 101}, "at most 100"),
        ({"vocabulary_sha256": 5}, "must be text"),
        ({"pyramid": "../x"}, "never a path"),
        ({"size": "32"}, "whole number"),
        ({"size": True}, "whole number"),
        ({"size": 32.0}, "whole number"),
        ({"size": -1}, "whole number"),
        ({"width": 10**30}, "whole number from 0 to 16384"),
        ({"frames": None}, "whole number"),
        ({"latent_scale": math.nan}, "finite"),
        ({"latent_scale": math.inf}, "finite"),
        ({"latent_scale": 10**4000}, "finite"),
        ({"latent_scale": {}}, "must be a name, a number or a list"),
        ({"pyramid": {"a": 1}}, "must be a name, a number or a list"),
        ({"pyramid": [1, "2"]}, "lists at most"),
        ({"pyramid": [[1, 1, 1, 1]]}, "lists at most"),
        ({"pyramid": [[]]}, "lists at most"),
        ({"pyramid": [[[1]]]}, "lists at most"),
        ({"pyramid": [0]}, "lists at most"),
        ({"pyramid": [True]}, "lists at most"),
        ({"pyramid": [1] * 33}, "33 layers"),
        ({"pyramid": [[256, 256, 256]]}, "lists at most"),
        ({"masked_lm_source": 3}, "must be a model's name or folder"),
    ],
    ids=lambda value: None,
)
def test_what_is_refused(config, rule):
    with pytest.raises(WeightsError, match=rule) as caught:
        check_config(config, KNOWN, "here")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_folder_stays_on_its_machine():
    for source in ("", "roberta-base", "FacebookAI/roberta-base"):
        check_portable({"masked_lm_source": source}, "here")
    check_portable({}, "here")
    for source in ("/models/roberta", "./roberta", "../roberta", "a/b/c", "a/..", "C:\\roberta", "~/roberta"):
        assert check_config({"masked_lm_source": source}, KNOWN, "here"), "where it was trained it may be"
        with pytest.raises(WeightsError, match="must be a name on the hub"):
            check_portable({"masked_lm_source": source}, "here")
