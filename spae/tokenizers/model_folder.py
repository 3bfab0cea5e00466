"""The folder of a trained model: its files, configuration and fingerprint. Imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from spae.canonical import sha256_file
from spae.errors import WeightsError
from spae.regular_file import UnfitFile, read_bytes
from spae.tokenizers.config import SavedConfig, parse_config

MAX_CONFIG_BYTES = 1_000_000
MODEL_FILES = ("config.json", "model.safetensors")
EMBEDDED = Path(__file__).parent.parent / "weights"


def committed_folder(name: str) -> Path | None:
    """The folder of the committed weights of that name, such as "picto_spae"; None if there are none."""
    folder = EMBEDDED / name
    return folder if Path(name).name == name and folder.is_dir() else None


def folder_fingerprint(folder: Path) -> str:
    """sha256 over configuration, weights and, by its hash in the configuration, the vocabulary.

    Raises:
        WeightsError: a file is missing.
    """
    try:
        parts = [sha256_file(folder / file) for file in MODEL_FILES]
    except UnfitFile as error:
        raise WeightsError(f"{error.filename} cannot be read ({error}): name another folder") from error
    except OSError as error:
        name = Path(str(error.filename)).name
        raise WeightsError(f"{folder} holds no {name}: train it with python -m spae train") from error
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def load_config(folder: Path) -> SavedConfig:
    """The configuration in a model's folder. Raises WeightsError."""
    path = folder / "config.json"
    try:
        text = read_bytes(path, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no config.json: name a folder that `python -m spae train` wrote") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error}): name another folder") from error
    return parse_config(text, str(path))
