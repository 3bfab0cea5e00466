"""A model's files from the Hugging Face hub: by fixed names, of bounded size, from one commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from spae.errors import WeightsError
from spae.network_environment import EnvironmentProblem, check_environment

RECIPE_FILE = "recipe.json"
# Limit of each file's bytes: ten times the largest of the paper's models, and the longest known vocabulary.
MAX_BYTES = {
    "config.json": 1_000_000,
    "model.safetensors": 8_000_000_000,
    "vocabulary.json": 256_000_000,
    "vocabulary.safetensors": 8_000_000_000,
    RECIPE_FILE: 1_000_000,
    "README.md": 1_000_000,
}
NAME = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


def hub_name(text: str) -> tuple[str, str | None] | None:
    """(`owner/name`, revision or None) of `owner/name[@revision]`; None for anything else, such as a path."""
    found = NAME.fullmatch(text)
    return None if found is None or ".." in text else (found["name"], found["revision"])


def fetch(
    name: str,
    revision: str | None,
    *,
    force_download: bool = False,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder with a model's files in the hub's cache, downloaded if missing.

    Sizes are checked first, and nothing is downloaded if one is too large. Without a network, cached files are used.

    Raises:
        WeightsError: no such model, a missing or too large file, or neither cached nor reachable.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    asked = not local_files_only
    if asked:
        try:
            check_environment(constants.ENDPOINT)
        except EnvironmentProblem as error:
            raise WeightsError(f"{name} cannot be downloaded from the hub: {error}") from None
    api = HfApi()
    reason = ""
    try:
        # Without a network, this is the commit of the last download; the hub's client warns.
        commit = api.resolve_revision(
            name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )
        if asked:
            try:
                _check_sizes(name, api.model_info(name, revision=commit.resolved, files_metadata=True, token=token))
            except (WeightsError, RepositoryNotFoundError, RevisionNotFoundError):
                raise
            except Exception as error:  # the hub is unreachable
                asked, reason = False, _reason(error)
        return Path(
            snapshot_download(
                name, revision=commit, token=token, cache_dir=cache_dir, force_download=force_download and asked,
                local_files_only=not asked, allow_patterns=list(MAX_BYTES),
            )
        )  # fmt: skip
    except WeightsError:
        raise
    except GatedRepoError as error:
        raise WeightsError(f"{name} asks for consent: give it on its page on the hub, and hf auth login") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"{name} is neither a folder nor a public model on the hub: check the name, or hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{name} has no revision {revision!r}: name a branch, a tag or a commit") from error
    except Exception as error:  # any other error of the hub's client becomes one line
        raise WeightsError(
            f"{name} cannot be downloaded from the hub ({reason or _reason(error)}) and is not in the cache: check the "
            "network, or name a folder"
        ) from error


def _check_sizes(name: str, info: Any) -> None:
    """Refuses other models and too large files before anything is downloaded."""
    sizes = {file.rfilename: file.size for file in info.siblings or [] if file.rfilename in MAX_BYTES}
    for needed in ("config.json", "model.safetensors"):
        if needed not in sizes:
            raise WeightsError(f"{name} on the hub holds no {needed}: name a model that save_pretrained wrote")
    for file, size in sizes.items():
        if size is None or size > MAX_BYTES[file]:
            shown = "an unknown number of" if size is None else f"{size:,}"
            raise WeightsError(f"{name}: {file} may have {MAX_BYTES[file]:,} bytes, got {shown}: it is not downloaded")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:160] if lines else type(error).__name__
