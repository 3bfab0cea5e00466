"""Fails before any work on a recipe whose data, weights or vocabulary are missing, naming the setting for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from spae.errors import InputError, UnknownName, WeightsError
from spae.tokenizers.init_weights import init_weights_file
from spae.training.recipe import Recipe

# Vocabularies of recipes that the user builds once, and the arguments of `python -m spae vocabulary` for it.
BUILT_BY = {
    "roberta-base": "--masked-lm FacebookAI/roberta-base",
    "ada-002": "--encoding cl100k_base --embeddings text-embedding-ada-002",
}
# Schemes whose location is a local file or folder.
LOCAL = ("folder", "video")


def check_ready(recipe: Recipe) -> None:
    """Fail if anything is missing that the recipe names.

    If nothing else is missing, CLIP's weights are downloaded, when the recipe names them by a tag.

    Raises:
        InputError: names everything that is missing, each with its setting.
    """
    missing = list(_missing(recipe)) or list(_clip(recipe))
    if missing:
        raise InputError(f"recipe {recipe.name} lacks {'; '.join(missing)}")


def _missing(recipe: Recipe) -> Iterator[str]:
    """What is missing, each with its fix."""
    scheme, _, location = recipe.data.source.partition(":")
    where = location.partition("?")[0]
    if not recipe.data.source:
        what, setting = _wanted(recipe)
        yield f"its data ({what}): {setting}"
    elif scheme in LOCAL and where and not Path(where).exists():
        yield f"its data, there is no {where}: --set data.source={scheme}:PATH"
    if recipe.appearance.perceptual != "none":
        yield from _perceptual(recipe)
    vocabulary, start = recipe.model.vocabulary, recipe.optimizer.init_from
    if not _has_vocabulary(vocabulary):
        how = BUILT_BY.get(vocabulary, "--causal-lm FOLDER_OR_NAME")
        yield (
            f"the vocabulary {vocabulary}: python -m spae vocabulary {vocabulary} {how}, or --set model.vocabulary=NAME"
        )
    if start and init_weights_file(start) is None:
        yield f"the model it starts from, there is none in {start}: --set optimizer.init_from=FOLDER of a trained one"


def _wanted(recipe: Recipe) -> tuple[str, str]:
    """The data that the recipe's docstring asks for, and the setting that names them."""
    from spae.training.recipes.catalog import catalog

    facts = catalog().get(recipe.name)
    stated = facts.data if facts is not None else ""
    if not stated or stated.startswith("as "):
        stated = catalog()["image"].data
    setting = re.search(r"--set data.source=[a-z]+:[A-Z]+", stated)
    return stated.partition(", --set")[0].partition(";")[0], setting[0] if setting else "--set data.source=folder:PATH"


def _clip(recipe: Recipe) -> Iterator[str]:
    model, weights = recipe.semantics.clip_model, recipe.semantics.clip_pretrained
    if recipe.semantics.scorer != "open_clip" or model.startswith(("hf-hub:", "local-dir:")) or _exists(weights):
        return
    import open_clip

    if not open_clip.get_pretrained_cfg(model, weights):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        yield (
            f"CLIP's weights, {weights} is neither a file nor a tag of {model} ({tags}): "
            "--set semantics.clip_pretrained=FILE"
        )
        return
    try:
        open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, weights))
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        yield f"CLIP's weights, {model}/{weights} cannot be fetched ({reason}): --set semantics.clip_pretrained=FILE"


def _perceptual(recipe: Recipe) -> Iterator[str]:
    from spae.losses.perceptual import PERCEPTUAL, open_perceptual

    name, file = recipe.appearance.perceptual, recipe.appearance.perceptual_file
    if name not in PERCEPTUAL:
        raise UnknownName("perceptual loss", name, ["none", *PERCEPTUAL])
    if file:
        if not _exists(file):
            yield f"weights of {name}, there is no {file}: --set appearance.perceptual_file=FILE"
        return
    try:
        # Reads a file of some megabytes if a package brings it, else names the package to install.
        open_perceptual(name)
    except WeightsError as error:
        yield f"weights of {name} ({error}): --set appearance.perceptual_file=FILE"


def _has_vocabulary(name: str) -> bool:
    from spae.vocabulary import VOCABULARIES, saved_vocabulary_path

    return name in VOCABULARIES or saved_vocabulary_path(name).is_file()


def _exists(path: str) -> bool:
    return Path(path).is_file()
