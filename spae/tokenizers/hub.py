"""Tokenizers to and from folders and the Hugging Face hub.

    folder or owner/name[@revision] -> files by fixed names -> tokenizer -> the same files -> folder or hub

Downloads are untrusted: only JSON and safetensors of bounded size, under the names below.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, ModelHubMixin

from spae.atomic import atomic_path
from spae.errors import InputError, WeightsError
from spae.tokenizers.config import check_portable
from spae.tokenizers.hub_files import RECIPE_FILE, fetch, hub_name
from spae.tokenizers.model_card import model_card, read_recipe
from spae.tokenizers.model_folder import MODEL_FILES, folder_fingerprint, load_config
from spae.tokenizers.own_vocabulary import VOCABULARY_FILE, model_vocabulary
from spae.vocabulary import VOCABULARIES


def pretrained_folder(
    source: str | Path,
    revision: str | None = None,
    *,
    force_download: bool = False,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder with a model's files, downloaded if `source` is a name on the hub; else as for `from_pretrained`."""
    wanted = None if isinstance(source, Path) or Path(source).is_dir() else hub_name(source)
    if wanted is None:
        return Path(source)
    if wanted[1] and revision and wanted[1] != revision:
        raise InputError(f"{source} names a revision, got revision={revision!r} beside it: drop one")
    folder = fetch(
        wanted[0], revision or wanted[1],
        force_download=force_download, token=token, cache_dir=cache_dir, local_files_only=local_files_only,
    )  # fmt: skip
    check_portable(load_config(folder), wanted[0])
    return folder


class HubTokenizer(ModelHubMixin):
    """Downloading, saving and publishing of a tokenizer, under the hub's usual method names.

    Attributes:
        fingerprint: by `folder_fingerprint`; the same for every copy of the model.
    """

    fingerprint: str
    _origin: Path | None = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        # The mixin's would copy every argument, embeddings included, into a configuration that is not used here.
        return object.__new__(cls)

    @classmethod
    @abstractmethod
    def _from_folder(cls, folder: Path, name: str | None) -> Self:
        """The tokenizer in a folder of MODEL_FILES."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        source: str | Path,
        name: str | None = None,
        *,
        revision: str | None = None,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """The tokenizer in a folder that `python -m spae train` or `save_pretrained` wrote, or on the hub.

        Args:
            source: the folder; as text also `owner/name` or `owner/name@revision` on the hub, unless such a folder
                exists. A Path is never a name on the hub.
            name: what to call it; the recipe's name by default.
            revision: of a name on the hub: a branch, a tag or a commit.
            force_download, token, cache_dir, local_files_only: as in huggingface_hub.

        Raises:
            WeightsError: not found, a file is missing, broken or too large, or it needs another vocabulary.
        """
        folder = pretrained_folder(
            source, revision,
            force_download=force_download, token=token, cache_dir=cache_dir, local_files_only=local_files_only,
        )  # fmt: skip
        made = cls._from_folder(folder, name)
        made._origin = folder
        return made

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        *,
        config: None = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write the files that `from_pretrained` reads, and a model card.

        The files are copied byte for byte, so that the fingerprint stays. A vocabulary that others could not open by
        name is included. An existing card is kept.

        Args:
            save_directory: created if missing.
            config: unused; the mixin's `push_to_hub` passes it.
            repo_id: named in a new card; where to publish, the folder's name by default.
            push_to_hub: publish, too, with `push_to_hub_kwargs`.

        Returns: the address of the commit, if published.

        Raises:
            InputError: the tokenizer was not read from a folder or the hub.
            WeightsError: its files have changed or are missing, or its configuration names a folder of this machine.
        """
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        self._save_pretrained(target)
        if not (target / "README.md").exists():
            card = str(self.generate_model_card(**({"repo_id": repo_id} | (model_card_kwargs or {}))))
            _write(target / "README.md", card)
        if push_to_hub:
            return self.push_to_hub(repo_id or target.name, **push_to_hub_kwargs)
        return None

    def _save_pretrained(self, save_directory: Path) -> None:
        origin = self._read_from()
        config = load_config(origin)
        check_portable(config, str(origin / "config.json"))
        if folder_fingerprint(origin) != self.fingerprint:
            raise WeightsError(f"{origin} has changed since its model was opened: open and save it again")
        if (origin / VOCABULARY_FILE).exists() or config.vocabulary not in VOCABULARIES:
            model_vocabulary(origin, config).save(save_directory / VOCABULARY_FILE)
        recipe = read_recipe(origin)
        if recipe:
            _write(save_directory / RECIPE_FILE, json.dumps(recipe, indent=2, sort_keys=True) + "\n")
        for file in ("README.md", *reversed(MODEL_FILES)):
            if (origin / file).exists() and not _same(origin / file, save_directory / file):
                with atomic_path(save_directory / file) as draft:
                    shutil.copyfile(origin / file, draft)
        if folder_fingerprint(save_directory) != self.fingerprint:
            raise WeightsError(f"{origin} changed while it was copied to {save_directory}: open and save it again")

    def push_to_hub(self, repo_id: str, **options: Any) -> str:  # type: ignore[override]
        """Publish on the hub: creates the repository if needed and uploads the files in one commit.

        Args:
            repo_id: `owner/name`.
            options: of huggingface_hub's `push_to_hub`: commit_message, private, token, branch, create_pr and more.

        Returns: the address of the commit.

        Raises:
            WeightsError: the hub cannot be reached or refuses; or as for `save_pretrained`.
        """
        card = {"repo_id": repo_id} | (options.pop("model_card_kwargs", None) or {})
        # First to a temporary folder: problems of the model show before the hub creates anything.
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, model_card_kwargs=card)
        try:
            return str(super().push_to_hub(repo_id, model_card_kwargs=card, **options))
        except (InputError, WeightsError, TypeError):
            raise
        except Exception as error:  # any error of the hub's client becomes one line
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise WeightsError(
                f"{repo_id} cannot be published on the hub ({reason}): check name and network, and hf auth login"
            ) from error

    def generate_model_card(self, *_: Any, repo_id: str | None = None, **__: Any) -> ModelCard:
        """A card with recipe, vocabulary, hashes and the last scores of training; the licence is to be filled in."""
        return model_card(self._read_from(), self.fingerprint, repo_id)

    def _read_from(self) -> Path:
        if self._origin is None:
            raise InputError(
                "a tokenizer is saved from the folder that it was read from, this one was built in memory: write "
                "its model with spae.tokenizers.build.save_model and open that folder"
            )
        return self._origin


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")
