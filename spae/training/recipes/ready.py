"""What a recipe needs that is not here, said before any work is done, with the setting that gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from spae.errors import InputError, UnknownName, WeightsError
from spae.training.recipe import Recipe

# Vocabularies that recipes name and that are made once by the user: the arguments of `python -m spae vocabulary`.
MADE_BY = {
    "roberta-base": "--masked-lm FacebookAI/roberta-base",
    "ada-002": "--encoding cl100k_base --embeddings text-embedding-ada-002",
}
# Schemes whose location is a file or folder of this machine.
LOCAL = ("folder", "video")


def check_ready(recipe: Recipe) -> None:
    """Nothing where all is here that the recipe names.

    Where all else is here, CLIP's weights are fetched, if the recipe names them by a tag.

    Raises:
        InputError: something is missing; all of it is named, each with the setting to give.
    """
    missing = list(_missing(recipe)) or list(_clip(recipe))
    if missing:
        raise InputError(f"recipe {recipe.name} lacks {'; '.join(missing)}")


def _missing(recipe: Recipe) -> Iterator[str]:
    """What is missing, each with its fix."""
    scheme, _, location = recipe.data.partition(":")
    where = location.partition("?")[0]
    if not recipe.data:
        what, setting = _wanted(recipe)
        yield f"its data ({what}): {setting}"
    elif scheme in LOCAL and where and not Path(where).exists():
        yield f"its data, there is no {where}: --set data={scheme}:PATH"
    if recipe.perceptual != "none":
        yield from _perceptual(recipe)
    if not _has_vocabulary(recipe.vocabulary):
        how = MADE_BY.get(recipe.vocabulary, "--causal-lm FOLDER_OR_NAME")
        yield (
            f"the vocabulary {recipe.vocabulary}: python -m spae vocabulary {recipe.vocabulary} {how}, or "
            "--set vocabulary=NAME"
        )
    if recipe.initial and not _initial(recipe.initial):
        yield f"the model it begins with, there is none in {recipe.initial}: --set initial=FOLDER of a trained one"


def _wanted(recipe: Recipe) -> tuple[str, str]:
    """What the recipe's own remark on its data begins with, and the setting that it names."""
    from spae.training.recipes.catalog import catalog

    facts = catalog().get(recipe.name)
    said = facts.data if facts is not None else ""
    if not said or said.startswith("as "):
        said = catalog()["image"].data
    setting = re.search(r"--set data=[a-z]+:[A-Z]+", said)
    return said.partition(", --set")[0].partition(";")[0], setting[0] if setting else "--set data=folder:PATH"


def _clip(recipe: Recipe) -> Iterator[str]:
    model, weights = recipe.clip_model, recipe.clip_pretrained
    if recipe.semantics != "open_clip" or model.startswith(("hf-hub:", "local-dir:")) or _exists(weights):
        return
    import open_clip

    if not open_clip.get_pretrained_cfg(model, weights):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        yield f"CLIP's weights, {weights} is neither a file nor a tag of {model} ({tags}): --set clip_pretrained=FILE"
        return
    try:
        open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, weights))
    except Exception as error:  # whatever the hub or the file system raise
        reason = " ".join(str(error).split())[:160]
        yield f"CLIP's weights, {model}/{weights} cannot be fetched ({reason}): --set clip_pretrained=FILE"


def _perceptual(recipe: Recipe) -> Iterator[str]:
    from spae.losses.perceptual import PERCEPTUAL, open_perceptual

    if recipe.perceptual not in PERCEPTUAL:
        raise UnknownName("perceptual loss", recipe.perceptual, ["none", *PERCEPTUAL])
    if recipe.perceptual_file:
        if not _exists(recipe.perceptual_file):
            yield f"weights of {recipe.perceptual}, there is no {recipe.perceptual_file}: --set perceptual_file=FILE"
        return
    try:
        # Reads a file of some megabytes where a package brings it, and says what to install where none does.
        open_perceptual(recipe.perceptual)
    except WeightsError as error:
        yield f"weights of {recipe.perceptual} ({error}): --set perceptual_file=FILE"


def _has_vocabulary(name: str) -> bool:
    from spae.vocabulary import VOCABULARIES, saved_vocabulary_path

    return name in VOCABULARIES or saved_vocabulary_path(name).is_file()


def _initial(source: str) -> bool:
    from spae.tokenizers.initial import initial_file

    return initial_file(source) is not None


def _exists(path: str) -> bool:
    return Path(path).is_file()
