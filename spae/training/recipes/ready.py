"""Fails before any work on a recipe whose data, weights or vocabulary are missing, naming the setting for each.

Everything that can be known without work is checked here, in seconds: paths and their formats, names, packages, and the
hub, which is asked once and not retried. Whatever is missing is named in one message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from spae.errors import DataError, InputError, WeightsError, did_you_mean
from spae.hub_access import cached_on_hub, hub_problem
from spae.near_paths import no_path
from spae.regular_file import MOST_INDEX, read_json
from spae.tokenizers.model_folder import init_weights_file
from spae.training.recipe import Recipe

# Vocabularies of recipes that the user builds once, and the arguments of `python -m spae vocabulary` for it.
BUILT_BY = {
    "roberta-base": "--masked-lm FacebookAI/roberta-base",
    "ada-002": "--encoding cl100k_base --embeddings text-embedding-ada-002",
}
DATA_SETTING = "--set data.source=SCHEME:PATH"
CLIP_SETTING = "--set semantics.clip_pretrained=FILE, or semantics.clip_model=local-dir:FOLDER"
CLIP_CONFIG = "open_clip_config.json"
CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
WEIGHT_ENDINGS = (".safetensors", ".bin", ".pt", ".pth")
LANGUAGE_MODEL_FILE = "model.safetensors"


def check_ready(recipe: Recipe) -> None:
    """Fail if anything is missing that the recipe names.

    If nothing is missing, CLIP's weights are downloaded, when the recipe names them by a tag.

    Raises:
        InputError: names everything that is missing, each with its setting; or as `Recipe.check_parts`.
    """
    recipe.check_parts(f"recipe {recipe.name}")
    missing = list(_missing(recipe))
    # The download itself decides; where something else stops the run, whether it would fail is reported all the same.
    missing += _clip_out_of_reach(recipe) if missing else _download_clip(recipe)
    if missing:
        raise InputError(f"recipe {recipe.name} lacks {'; '.join(missing)}")


def _missing(recipe: Recipe) -> Iterator[str]:
    """What is missing, each with its fix."""
    yield from _data(recipe)
    yield from _excluded_classes(recipe)
    yield from _perceptual(recipe)
    yield from _vocabulary(recipe)
    yield from _masked_lm(recipe)
    yield from _start(recipe)
    yield from _label_text(recipe)
    yield from _clip(recipe)


def _data(recipe: Recipe) -> Iterator[str]:
    from spae.training.data_schemes import check_source

    if not recipe.data.source:
        what, setting = _wanted(recipe)
        yield f"its data ({what}): {setting}"
        return
    spec = check_source(recipe.data.source, recipe.model.num_frames, recipe.data.exclude_classes)
    where, setting = spec.location, DATA_SETTING.replace("SCHEME", spec.scheme)
    path = Path(where)
    if spec.scheme in ("folder", "video") or (spec.scheme == "mnist" and where):
        if not path.exists():
            yield f"its data, {no_path(path)}: {setting}"
        elif not path.is_dir():
            yield f"its data, {path} is no folder: {setting}"
    elif spec.scheme == "webdataset":
        from spae.data.datasets.webdataset import expand

        try:
            expand(where)
        except (DataError, InputError) as error:
            yield f"its data ({error}): {setting}"
    elif spec.scheme == "hf":
        if find_spec("datasets") is None:
            yield "the package datasets, which hf: data need: pip install 'spae-bench[data]'"
        elif not path.exists() and (path.is_absolute() or where.startswith((".", "~"))):
            yield f"its data, {no_path(path)}: --set data.source=hf:PATH or hf:OWNER/NAME"
    if spec.scheme == "video" and find_spec("av") is None:
        yield "the package av, which videos need: pip install 'spae-bench[data]'"
    names = spec.path("classes")
    if names is not None and not names.is_file():
        yield f"the names of its classes, {no_path(names)}: --set data.source='{spec.scheme}:PATH?classes=FILE'"


def _excluded_classes(recipe: Recipe) -> Iterator[str]:
    if not recipe.data.exclude_classes:
        return
    from spae.data.class_names import read_exclusions

    try:
        read_exclusions(Path(recipe.data.exclude_classes))
    except DataError as error:
        yield f"the list of classes to leave out ({error}): --set data.exclude_classes=FILE"


def _wanted(recipe: Recipe) -> tuple[str, str]:
    """The data that the recipe's docstring asks for, and the setting that names them."""
    from spae.training.recipes.catalog import catalog

    facts = catalog().get(recipe.name)
    stated = facts.data if facts is not None else ""
    if not stated or stated.startswith("as "):
        stated = catalog()["image"].data
    setting = re.search(r"--set data.source=[a-z]+:[A-Z]+", stated)
    return stated.partition(", --set")[0].partition(";")[0], setting[0] if setting else "--set data.source=folder:PATH"


def _perceptual(recipe: Recipe) -> Iterator[str]:
    name, file = recipe.appearance.perceptual, recipe.appearance.perceptual_file
    if name == "none":
        return
    from spae.losses.perceptual import open_perceptual

    if file and not Path(file).is_file():
        yield f"weights of {name}, {no_path(Path(file))}: --set appearance.perceptual_file=FILE"
        return
    try:
        # Seconds at most, for some hundred megabytes; it is the only way to know whose weights a file holds.
        open_perceptual(name, Path(file) if file else None)
    except WeightsError as error:
        yield f"weights of {name} ({error}): --set appearance.perceptual_file=FILE"


def _vocabulary(recipe: Recipe) -> Iterator[str]:
    from spae.vocabulary import VOCABULARIES, saved_vocabulary_path
    from spae.vocabulary.smollm2 import smollm2_file

    name = recipe.model.vocabulary
    if name in ("smollm2", "smollm2-minilm"):
        yield from _packaged("its vocabulary", smollm2_file)
    if name in VOCABULARIES:
        return
    try:
        path = saved_vocabulary_path(name)
    except InputError:
        path = None
    if path is None or not path.is_file():
        how = BUILT_BY.get(name, "--causal-lm FOLDER_OR_NAME")
        saved = [file.stem for file in path.parent.glob("*.safetensors")] if path is not None else []
        hint = did_you_mean(name, [*VOCABULARIES, *saved])
        yield f"the vocabulary {name}: {hint}python -m spae vocabulary {name} {how}, or --set model.vocabulary=NAME"


def _masked_lm(recipe: Recipe) -> Iterator[str]:
    if recipe.model.masked_lm == "none":
        return
    source, setting = recipe.model.masked_lm_source, "--set model.masked_lm_source=FOLDER or a name on the hub"
    path = Path(source)
    if not source:
        yield f"its masked language model: {setting}"
    elif path.is_dir():
        if not (path / LANGUAGE_MODEL_FILE).is_file():
            yield f"its masked language model, {path} holds no {LANGUAGE_MODEL_FILE}: {setting}"
    elif path.is_absolute() or source.startswith((".", "~")) or path.exists():
        yield f"its masked language model, {no_path(path, 'folder')}: {setting}"
    elif not cached_on_hub(source, LANGUAGE_MODEL_FILE) and (problem := hub_problem()):
        yield f"its masked language model, {source} is no folder and not in the hub's cache, and {problem}: {setting}"


def _start(recipe: Recipe) -> Iterator[str]:
    start = recipe.optimizer.init_from
    if start and init_weights_file(start) is None:
        yield f"the model it starts from, there is none in {start}: --set optimizer.init_from=FOLDER of a trained one"


def _label_text(recipe: Recipe) -> Iterator[str]:
    from spae.packaged import packaged_file
    from spae.semantics.label_text import MINILM

    if recipe.semantics.scorer == "label_text" or recipe.model.vocabulary == "smollm2-minilm":
        yield from _packaged("the text encoder of labels", lambda: packaged_file(*MINILM))


def _clip(recipe: Recipe) -> Iterator[str]:
    """What is missing of CLIP, without downloading anything."""
    model, weights = recipe.semantics.clip_model, recipe.semantics.clip_pretrained
    if recipe.semantics.scorer != "open_clip":
        return
    kind, _, place = model.rpartition(":")
    if kind == "local-dir":
        yield from _clip_folder(Path(place))
        return
    if kind == "hf-hub":
        return
    import open_clip

    if model not in open_clip.list_models():
        yield (
            f"CLIP, open_clip has no model {model!r}: {did_you_mean(model, open_clip.list_models())}"
            "--set semantics.clip_model=NAME, hf-hub:OWNER/NAME or local-dir:FOLDER"
        )
    elif _clip_file(weights):
        yield from _clip_file_problem(Path(weights))
    elif not open_clip.get_pretrained_cfg(model, weights):
        known = open_clip.list_pretrained_tags_by_model(model)
        yield (
            f"CLIP's weights, {weights} is neither a file nor a tag of {model} ({', '.join(known) or 'none'}): "
            f"{did_you_mean(weights, known)}--set semantics.clip_pretrained=FILE"
        )


def _clip_out_of_reach(recipe: Recipe) -> Iterator[str]:
    """CLIP's weights, if they are neither in the hub's cache nor to be had."""
    place = _clip_on_hub(recipe)
    if place is not None and not cached_on_hub(*place) and (problem := hub_problem()):
        yield f"CLIP's weights, {place[0]} is not in the hub's cache, and {problem}: {CLIP_SETTING}"


def _clip_on_hub(recipe: Recipe) -> tuple[str, ...] | None:
    """The repository and file names of CLIP's weights; None if they come from elsewhere or are wrong."""
    model, weights = recipe.semantics.clip_model, recipe.semantics.clip_pretrained
    kind, _, place = model.rpartition(":")
    if recipe.semantics.scorer != "open_clip" or kind == "local-dir":
        return None
    if kind == "hf-hub":
        return place.partition("@")[0], *CLIP_WEIGHTS
    if _clip_file(weights):
        return None
    import open_clip

    repository, _, file = str(open_clip.get_pretrained_cfg(model, weights).get("hf_hub", "")).rpartition("/")
    return (repository, *((file,) if file else CLIP_WEIGHTS)) if repository else None


def _clip_file(weights: str) -> bool:
    """Whether the weights are meant as a file, there or not: tags have neither folders nor endings."""
    return Path(weights).is_file() or "/" in weights or Path(weights).suffix in WEIGHT_ENDINGS


def _clip_file_problem(file: Path) -> Iterator[str]:
    if not file.is_file():
        yield f"CLIP's weights, {no_path(file)}: --set semantics.clip_pretrained=FILE"
    elif file.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:120]
            yield f"CLIP's weights, {file} cannot be read ({reason}): --set semantics.clip_pretrained=FILE"


def _clip_folder(folder: Path) -> Iterator[str]:
    setting = "--set semantics.clip_model=local-dir:FOLDER"
    if not folder.is_dir():
        yield f"CLIP, {no_path(folder, 'folder')}: {setting}"
        return
    try:
        read_json(folder / CLIP_CONFIG, MOST_INDEX)
    except OSError:
        yield f"CLIP, {folder} holds no {CLIP_CONFIG}: {setting}"
    except ValueError:
        yield f"CLIP, {folder / CLIP_CONFIG} is not JSON: {setting}"
    if not any(file.suffix in WEIGHT_ENDINGS for file in folder.iterdir()):
        yield f"CLIP's weights, {folder} holds none ({', '.join(CLIP_WEIGHTS)}): {setting}"


def _download_clip(recipe: Recipe) -> Iterator[str]:
    """Fetch CLIP's weights, named by a tag; what failed if they cannot be had."""
    model, weights = recipe.semantics.clip_model, recipe.semantics.clip_pretrained
    place = _clip_on_hub(recipe)
    if place is None:
        return
    problem = "" if cached_on_hub(*place) else hub_problem()  # offline, the hub's client fails at once
    if model.startswith("hf-hub:"):
        if problem:
            yield f"CLIP's weights, {model} cannot be fetched ({problem}): {CLIP_SETTING}"
        return
    import open_clip

    try:
        open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, weights))
    except (OSError, ValueError, RuntimeError) as error:
        reason = problem or " ".join(str(error).split())[:160]
        yield f"CLIP's weights, {model}/{weights} cannot be fetched ({reason}): --set semantics.clip_pretrained=FILE"


def _packaged(what: str, find: Callable[[], object]) -> Iterator[str]:
    """A model file of an installed package; its error names the command that installs it."""
    try:
        find()
    except WeightsError as error:
        yield f"{what} ({error})"
