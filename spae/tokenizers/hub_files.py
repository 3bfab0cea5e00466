"""A model's files from the Hugging Face hub: by fixed names, of bounded size, from one commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from spae.errors import WeightsError

RECIPE_FILE = "recipe.json"
# Most bytes of each file. Ten times the largest of the paper's models, its vocabulary as long as any known.
LARGEST = {
    "config.json": 1_000_000,
    "model.safetensors": 8_000_000_000,
    "vocabulary.json": 256_000_000,
    "vocabulary.safetensors": 8_000_000_000,
    RECIPE_FILE: 1_000_000,
    "README.md": 1_000_000,
}
NAME = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


def hub_name(text: str) -> tuple[str, str | None] | None:
    """(`owner/name`, revision or None) of `owner/name[@revision]`; None of anything else, a path above all."""
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
    """The folder in the hub's cache that holds a model's files, fetched where they are not there.

    The sizes are asked for first, and nothing is fetched where one is too large. Without a network, the files of an
    earlier time are taken.

    Raises:
        WeightsError: there is no such model, it lacks a file or has one too large, or it is neither here nor reachable.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    api, asked = HfApi(), not local_files_only
    reason = ""
    try:
        # Without a network, this is what the name meant when it was last asked for; the hub's client says so.
        commit = api.resolve_revision(
            name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )
        if asked:
            try:
                _check_sizes(name, api.model_info(name, revision=commit.resolved, files_metadata=True, token=token))
            except (WeightsError, RepositoryNotFoundError, RevisionNotFoundError):
                raise
            except Exception as error:  # the hub cannot be asked
                asked, reason = False, _reason(error)
        return Path(
            snapshot_download(
                name, revision=commit, token=token, cache_dir=cache_dir, force_download=force_download and asked,
                local_files_only=not asked, allow_patterns=list(LARGEST),
            )
        )  # fmt: skip
    except WeightsError:
        raise
    except GatedRepoError as error:
        raise WeightsError(f"{name} asks for consent: give it on its page on the hub, and hf auth login") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"{name} is no folder here, and no model on the hub or a private one: check the name, or hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{name} has no revision {revision!r}: name a branch, a tag or a commit") from error
    except Exception as error:  # whatever else the hub's client raises becomes one line
        raise WeightsError(
            f"{name} cannot be fetched from the hub ({reason or _reason(error)}) and is not in the cache: check the "
            "network, or name a folder"
        ) from error


def _check_sizes(name: str, info: Any) -> None:
    """Refuses what is no model of this project, and files too large, before anything is fetched."""
    sizes = {file.rfilename: file.size for file in info.siblings or [] if file.rfilename in LARGEST}
    for needed in ("config.json", "model.safetensors"):
        if needed not in sizes:
            raise WeightsError(f"{name} on the hub holds no {needed}: name a model that save_pretrained wrote")
    for file, size in sizes.items():
        if size is None or size > LARGEST[file]:
            shown = "an unknown number of" if size is None else f"{size:,}"
            raise WeightsError(f"{name}: {file} may have {LARGEST[file]:,} bytes, got {shown}: it is not fetched")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:160] if lines else type(error).__name__
