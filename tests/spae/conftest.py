"""A tiny vocabulary and tiny models, made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spae.networks.projected_norm import ProjectedNorm
from spae.tokenizers.build import build_model, config_text, saved_config
from spae.tokenizers.config import ModelConfig, SavedConfig
from spae.tokenizers.model import TokenizerModel
from spae.training.recipe import OptimizerConfig, Recipe, parse_recipe
from spae.vocabulary import VOCABULARIES, LexicalVocabulary

GROUP_OF = {
    name.partition(".")[2]: name.partition(".")[0]
    for name, _, _ in Recipe(
        name="any", model=ModelConfig(quantizer="saq"), optimizer=OptimizerConfig(steps=1)
    ).fields()
}
REAL_WORDS = ("lion", "cat", "vase", "truck", "tree", "house", "apple", "river")


@pytest.fixture(scope="session")
def tiny_words() -> LexicalVocabulary:
    """200 words, 16 wide: more than one block of the search, and not a whole number of them."""
    words = (*REAL_WORDS, *(f"w{a}{b}" for a in "abcdefghijklmnop" for b in "abcdefghijkl"))
    embeddings = torch.randn(200, 16, generator=torch.Generator().manual_seed(5)) * 0.3 + 0.1
    return LexicalVocabulary(words, embeddings, "a test", "0" * 64)


@pytest.fixture
def tiny(tiny_words: LexicalVocabulary, monkeypatch: pytest.MonkeyPatch) -> LexicalVocabulary:
    """The tiny vocabulary, registered as `tiny`."""
    monkeypatch.setitem(VOCABULARIES, "tiny", lambda: tiny_words)
    return tiny_words


@pytest.fixture(scope="session")
def image_batch() -> np.ndarray:
    """[6, 32, 32, 3] uint8: smooth blobs, so that images differ in more than noise."""
    random = np.random.default_rng(11)
    coarse = random.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)


def tiny_recipe(**fields: Any) -> Recipe:
    """A recipe of a few steps on the tiny vocabulary.

    Args:
        fields: by their own names, which are unique over the groups. Two defaults follow from others: vq learns its
            codebook, and thresholds are scored by label text.
    """
    values: dict[str, Any] = {
        "name": "tiny", "quantizer": "saq", "vocabulary": "tiny", "steps": 6, "batch_size": 4, "decode_batch_size": 4,
        "codebook_size": 20, "codebook_dim": 16, "precision": "no", "warmup_steps": 2,
    } | fields  # fmt: skip
    if values["quantizer"] == "vq":
        values.setdefault("codebook", "learned")
    if values.get("thresholds"):
        values.setdefault("scorer", "label_text")
    groups: dict[str, Any] = {"name": values.pop("name")}
    for field, value in values.items():
        groups.setdefault(GROUP_OF[field], {})[field] = value
    return parse_recipe(groups, "test")


@pytest.fixture
def recipe_of() -> Callable[..., Recipe]:
    """`tiny_recipe`."""
    return tiny_recipe


@pytest.fixture(scope="session")
def save_model(
    tiny_words: LexicalVocabulary, image_batch: np.ndarray
) -> Callable[..., tuple[TokenizerModel, SavedConfig]]:
    """Writes a random model as a finished run does; its latents are spread over the words by the norm."""

    def save(
        folder: Path, vocabulary: LexicalVocabulary = tiny_words, **fields: Any
    ) -> tuple[TokenizerModel, SavedConfig]:
        folder.mkdir(parents=True, exist_ok=True)
        recipe = tiny_recipe(**fields)
        config = saved_config(recipe.name, recipe.model, vocabulary)
        torch.manual_seed(3)
        model = build_model(config, vocabulary)
        # Half precision is what is stored, so the model held in memory has it too.
        model.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
        if model.latent_norm is not None:
            images = torch.from_numpy(image_batch).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.no_grad():
                latents = model.autoencoder.encode(images).flatten(0, 1)
            norm = model.latent_norm
            if isinstance(norm, ProjectedNorm):
                latents, projected, norm = latents[:, : -norm.width], latents[:, -norm.width :], norm.semantic
                model.latent_norm.get_buffer("reconstruction.running_mean").copy_(projected.mean(0).half())
                model.latent_norm.get_buffer("reconstruction.running_covariance").copy_(projected.T.cov().half())
            norm.get_buffer("running_mean").copy_(latents.mean(0).half())
            norm.get_buffer("running_var").copy_(latents.var(0))
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors"
        )
        (folder / "config.json").write_text(config_text(config), "utf-8")
        return model.eval(), config

    return save


@pytest.fixture
def tiny_folder(
    tmp_path: Path, tiny: LexicalVocabulary, save_model: Callable[..., tuple[TokenizerModel, SavedConfig]]
) -> Path:
    """The folder of a random SPAE on the tiny vocabulary."""
    save_model(tmp_path / "model", latent_scale=1.0)
    return tmp_path / "model"
