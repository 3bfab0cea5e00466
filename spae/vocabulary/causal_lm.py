"""The vocabulary of a causal language model: the words of its text tokenizer and its input embeddings.

The model is not loaded: its structure tells which tensor holds the embeddings, and only that tensor is read.
V0 pieces of the text tokenizer, V words kept, C width.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spae.canonical import sha256_file
from spae.errors import WeightsError
from spae.hub_access import hub_problem
from spae.regular_file import MOST_INDEX, UnfitFile, check_folder, read_json
from spae.vocabulary.filters import WordFilter
from spae.vocabulary.gguf_file import read_gguf
from spae.vocabulary.lexical import LexicalVocabulary
from spae.vocabulary.pieces import words_of_pieces
from spae.vocabulary.round_trip import round_trip_rate

AS_IT_IS: dict[str, bool] = {"local_files_only": True, "trust_remote_code": False}
"""How transformers reads a folder: without asking the hub about it, and without asking whether to run its code."""
HUB_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# Downloaded of a model on the hub, beside the one file with its embeddings.
SMALL_FILES = ["*.json", "*.model", "*.txt", "*.tiktoken"]


def causal_lm_vocabulary(
    model: str | Path, keep: WordFilter | None = None, revision: str | None = None
) -> LexicalVocabulary:
    """T from a causal language model.

    Args:
        model: a .gguf file, a folder saved by transformers, or a name on the Hugging Face hub. Weights must be
            GGUF or safetensors.
        keep: which words are kept; WordFilter() by default.
        revision: of a model on the hub.

    Raises:
        InputError: the text tokenizer marks no spaces, or no word is left.
        WeightsError: no such model here or on the hub, or no readable embeddings.
    """
    keep = keep or WordFilter()
    path = Path(model)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise WeightsError(f"there is no file {path}: name a .gguf file, a folder, or a model on the hub")
        pieces, matrix = read_gguf(path)
        tokenizer = _gguf_tokenizer(path)
        encode = None if tokenizer is None else _encoder(tokenizer)
        return build_vocabulary(pieces, matrix, keep, f"{path.stem} input embeddings", sha256_file(path), encode)
    return folder_vocabulary(model, keep, revision, "AutoModelForCausalLM")


def folder_vocabulary(model: str | Path, keep: WordFilter, revision: str | None, kind: str) -> LexicalVocabulary:
    """T from a folder saved by transformers, or a name on the hub.

    Args:
        kind: the transformers class of such models ("AutoModelForCausalLM").

    Raises: as for `causal_lm_vocabulary`.
    """
    name = Path(model).expanduser().resolve().name if is_folder(model) else str(model)
    folder = model_folder(model, revision)
    # First: what is wrong with the configuration would be said of the text tokenizer, which reads it, too.
    embeddings = _embedding_name(folder, name, kind)
    tokenizer = _open(lambda: _auto().AutoTokenizer.from_pretrained(folder, **AS_IT_IS), name, "its tokenizer")
    file, key = _find(folder, embeddings, name)
    if not file.exists():
        if is_folder(model):
            raise WeightsError(f"{name}: its index names {file.name}, which is not in the folder: fetch it again")
        file = _fetch_one(str(model), revision, file.name)
    try:
        with safe_open(file, framework="pt") as tensors:
            matrix = tensors.get_tensor(key).float()
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{name}: {file.name} cannot be read ({error}): fetch it again") from error
    pieces = [str(piece) for piece in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))]
    source = f"{name} input embeddings"
    return build_vocabulary(pieces, matrix, keep, source, sha256_file(file), _encoder(tokenizer))


def model_folder(model: str | Path, revision: str | None = None) -> Path:
    """The folder itself, or the cached download of the hub's model of that name. Raises WeightsError."""
    if is_folder(model):
        folder = Path(model).expanduser()
        try:
            check_folder(folder)
        except UnfitFile as error:
            raise WeightsError(f"{error.filename} cannot be read ({error}): remove it") from error
        return folder
    if isinstance(model, Path) or not HUB_NAME.fullmatch(model):
        raise WeightsError(f"there is no folder {model}: name one, or a model of the hub as OWNER/NAME")
    return _fetch(model, revision)


def is_folder(model: str | Path) -> bool:
    """Whether a model is named by its folder."""
    return Path(model).expanduser().is_dir()


def build_vocabulary(
    pieces: Sequence[str],
    matrix: Tensor,
    keep: WordFilter,
    source: str,
    source_sha256: str,
    encode: Callable[[str], list[int]] | None,
) -> LexicalVocabulary:
    """T from pieces by id and their embeddings [V0 or more, C].

    Args:
        encode: text to ids, to measure the round trip rate; None leaves it unknown.

    Raises:
        InputError: the pieces mark no spaces, or no word is left.
        WeightsError: fewer embeddings than pieces, or non-finite ones.
    """
    if matrix.ndim != 2 or len(matrix) < len(pieces):
        raise WeightsError(
            f"{source}: {len(pieces)} pieces need as many embeddings, got {tuple(matrix.shape)}: these belong to "
            "different models"
        )
    words = words_of_pieces(pieces)
    tokens = keep.keep(words)
    embeddings = matrix[tokens].float().clone()
    if not embeddings.isfinite().all():
        raise WeightsError(f"{source}: embeddings must be finite: the file is damaged, or its format is not supported")
    kept = [words[token] for token in tokens]
    rate = None if encode is None else round_trip_rate(kept, tokens, encode)
    return LexicalVocabulary(
        tuple(kept), embeddings, source, source_sha256,
        tokens=tuple(tokens), filters=keep.describe(), round_trip_rate=rate,
    )  # fmt: skip


def _auto() -> Any:
    import transformers

    return transformers


def _open(load: Callable[[], Any], name: str, what: str) -> Any:
    """The result of `load`; any error of transformers or the hub becomes one line."""
    try:
        return load()
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{name}: {what} cannot be opened ({reason}): name a language model of that kind") from error


def _encoder(tokenizer: Any) -> Callable[[str], list[int]]:
    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    return encode


def _gguf_tokenizer(file: Path) -> Any | None:
    """The text tokenizer in a GGUF file; None if transformers does not support it."""
    with contextlib.suppress(Exception):
        return _auto().AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, **AS_IT_IS)
    return None


def _embedding_name(folder: Path, name: str, kind: str) -> str:
    """State-dict name of the input embeddings, from the model's structure without weights."""

    def build() -> str:
        config = _auto().AutoConfig.from_pretrained(folder, **AS_IT_IS)
        with torch.device("meta"):
            model = getattr(_auto(), kind).from_config(config)
        weight = model.get_input_embeddings().weight
        return next(key for key, parameter in model.named_parameters() if parameter is weight)

    return str(_open(build, name, "its configuration"))


def _find(folder: Path, wanted: str, name: str) -> tuple[Path, str]:
    """The file and key of the embeddings: the name that shares the longest suffix of parts with `wanted`.

    Files omit or add leading parts ("wte.weight" for "transformer.wte.weight").
    """
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if index.exists():
        files = _open(lambda: dict(read_json(index, MOST_INDEX)["weight_map"]), name, index.name)
        if not all(isinstance(file, str) and Path(file).name == file for file in files.values()):
            raise WeightsError(f"{name}: {index.name} must name files beside it: fetch it again")
    elif single.exists():
        try:
            with safe_open(single, framework="pt") as tensors:
                files = dict.fromkeys(tensors.keys(), single.name)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{name}: {single.name} cannot be read ({error}): fetch it again") from error
    else:
        raise WeightsError(f"{name} has no model.safetensors: convert its weights to safetensors or GGUF")
    shared = {key: _last_parts_shared(key, wanted) for key in files}
    most = max(shared.values(), default=0)
    best = [key for key, count in shared.items() if count == most]
    if most < 2 or len(best) > 1:
        raise WeightsError(f"{name}: its weights hold no single tensor {wanted}: use the weights of this configuration")
    return folder / files[best[0]], best[0]


def _last_parts_shared(first: str, second: str) -> int:
    pairs = zip(reversed(first.split(".")), reversed(second.split(".")), strict=False)
    count = 0
    for a, b in pairs:
        if a != b:
            break
        count += 1
    return count


def _fetch(model: str, revision: str | None) -> Path:
    """The small files of a model on the hub, and its weights if they are one file."""
    from huggingface_hub import snapshot_download

    problem = hub_problem()  # from here on its cache alone is read where there is one

    def download() -> Path:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=SMALL_FILES))
        if not (folder / "model.safetensors.index.json").exists():
            snapshot_download(model, revision=revision, allow_patterns=["model.safetensors"])
        return folder

    try:
        return Path(_open(download, model, "the model"))
    except WeightsError as error:
        reason = f"{model} is not in the hub's cache, and {problem}" if problem else f"of the hub: {error}"
        raise WeightsError(f"there is no folder {model} here, and {reason}") from error


def _fetch_one(model: str, revision: str | None, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(_open(lambda: hf_hub_download(model, file, revision=revision), model, file))
