"""`hf:PATH_OR_NAME`: a causal model from a local folder or from the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.backend import LocalBackend
from llm_backends.local.loading import checked_dtype
from llm_backends.local.model_config import read_config, text_config
from llm_backends.options import NoOptions
from llm_backends.protocol import Identity
from spae.canonical import sha256_file
from spae.regular_file import UnfitFile, check_folder

WANTED = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer.json")


def open_hf(argument: str, *, dtype: str, device: str, options: NoOptions) -> LocalBackend:
    """The folder of that name, if it exists, else a model of the hub; `NAME@REVISION` pins one.

    Raises:
        BackendInputError: the dtype is unknown, or the argument looks like a path and is not a folder.
    """
    path = Path(argument).expanduser()
    if path.is_dir():
        return LocalBackend(FolderSource(path, dtype), device=device)
    if argument.startswith((".", "/", "~")) or argument.count("/") > 1:
        raise BackendInputError(f"hf:PATH takes a model folder, {argument} is not one: check the path")
    return LocalBackend(HubSource(argument, dtype), device=device)


class FolderSource:
    """A model folder as `save_pretrained` writes it.

    Args:
        folder: holds config.json, tokenizer.json and *.safetensors.
        dtype: arithmetic to load it in.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder = folder.resolve()
        self._dtype = checked_dtype(dtype)

    @cached_property
    def identity(self) -> Identity:
        """The folder's name; the revision is a sha256 over the names and bytes of its model files."""
        files = sorted({path for pattern in WANTED for path in self.folder().glob(pattern)})
        if not any(path.suffix == ".safetensors" for path in files):
            raise BackendUnavailable(
                f"a model folder needs *.safetensors, {self._folder} has none: save it with save_pretrained"
            )
        digest = hashlib.sha256()
        for path in files:
            digest.update(f"{path.name}\n{sha256_file(path)}\n".encode())
        return Identity(kind="transformers", model=self._folder.name, revision=digest.hexdigest(), dtype=self._dtype)

    @cached_property
    def context_length(self) -> int | None:
        """From config.json."""
        return stated_context_length(self.folder() / "config.json")

    def folder(self) -> Path:
        """The folder itself."""
        if not self._folder.is_dir():
            raise BackendUnavailable(f"model folder {self._folder} does not exist: check the path")
        try:
            check_folder(self._folder)
        except UnfitFile as error:
            raise BackendUnavailable(f"{error.filename} cannot be read ({error}): remove it") from error
        return self._folder

    def folder_if_ready(self) -> Path | None:
        """The folder itself."""
        return self.folder()


class HubSource:
    """A model of the Hugging Face hub, pinned to the commit that its name resolves to at first use.

    Args:
        name: `owner/model` or `owner/model@revision`.
        dtype: arithmetic to load it in.
    """

    def __init__(self, name: str, dtype: str) -> None:
        self._name, _, revision = name.partition("@")
        self._revision = revision or None
        self._dtype = checked_dtype(dtype)

    @cached_property
    def identity(self) -> Identity:
        """The revision is the commit; this downloads config.json, not the weights."""
        return Identity(kind="transformers", model=self._name, revision=self._config.parent.name, dtype=self._dtype)

    @cached_property
    def context_length(self) -> int | None:
        """From config.json."""
        return stated_context_length(self._config)

    def folder(self) -> Path:
        """Downloads what is not in the hub's cache yet."""
        return self._snapshot(local_files_only=False)

    def folder_if_ready(self) -> Path | None:
        """The hub's cached folder, if it is complete."""
        try:
            return self._snapshot(local_files_only=True)
        except BackendUnavailable:
            return None

    @cached_property
    def _config(self) -> Path:
        from huggingface_hub import hf_hub_download

        return self._fetched(hf_hub_download, filename="config.json", revision=self._revision)

    def _snapshot(self, *, local_files_only: bool) -> Path:
        from huggingface_hub import snapshot_download

        commit = self.identity.revision
        return self._fetched(
            snapshot_download, revision=commit, allow_patterns=list(WANTED), local_files_only=local_files_only
        )

    def _fetched(self, fetch: Callable[..., str], **options: object) -> Path:
        try:
            return Path(fetch(self._name, **options))
        except (OSError, ValueError) as error:  # what the hub's client raises derives from these
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise BackendUnavailable(
                f"{self._name} cannot be fetched from the hub ({reason}): check the name and the network, "
                "or give a folder (hf:./FOLDER)"
            ) from error


def stated_context_length(config: Path) -> int | None:
    """Context length in tokens, from a config.json; None if it is not stated.

    Raises:
        BackendUnavailable: no readable config.json.
    """
    stated = text_config(read_config(config))
    for name in ("max_position_embeddings", "n_positions"):
        value = stated.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None
