"""Tokenizers to and from folders and the Hugging Face hub.

    folder or owner/name[@revision] -> files by fixed names -> tokenizer -> the same files -> folder or hub

What is fetched is data from strangers: JSON and safetensors of bounded size under the names below, nothing else.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, ModelHubMixin

from spae.cache_folder import atomic_path
from spae.errors import InputError, WeightsError
from spae.tokenizers.build import load_config
from spae.tokenizers.hub_files import RECIPE_FILE, fetch, hub_name
from spae.tokenizers.model_card import model_card, read_recipe
from spae.tokenizers.own_vocabulary import VOCABULARY_FILE, model_vocabulary
from spae.tokenizers.pretrained import MODEL_FILES, folder_fingerprint
from spae.tokenizers.stated_config import check_portable
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
    """The folder with a model's files, fetched where `source` is a name on the hub. As for `from_pretrained`."""
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
    """What makes a tokenizer one that can be fetched, saved and published, under the hub's usual names.

    Attributes:
        fingerprint: as `folder_fingerprint` has it; the same wherever the model was copied to.
    """

    fingerprint: str
    _origin: Path | None = None

    def __new__(cls, *_: Any, **__: Any) -> Self:
        # The mixin's own would copy every argument, embeddings and all, into a configuration that is not used here.
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
            force_download, token, cache_dir, local_files_only: as everywhere in huggingface_hub.

        Raises:
            WeightsError: it is not there, a file is missing, broken or too large, or it needs another vocabulary.
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
        """Write all that `from_pretrained` reads, and a model card.

        The files are those the tokenizer was read from, byte for byte, so that its fingerprint stays. A vocabulary that
        others could not open by name goes along. A card that is there is kept.

        Args:
            save_directory: made where it is not there.
            config: not taken; here because the mixin's `push_to_hub` passes it on.
            repo_id: named in a new card; where to publish, the folder's name by default.
            push_to_hub: publish as well, with `push_to_hub_kwargs`.

        Returns: the address of the commit where it was published.

        Raises:
            InputError: the tokenizer was not read from a folder or the hub.
            WeightsError: its files have changed or are gone, or its configuration names a folder of this machine.
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
            raise WeightsError(f"{origin} has changed since its model was opened: open it again and save that")
        if (origin / VOCABULARY_FILE).exists() or config["vocabulary"] not in VOCABULARIES:
            model_vocabulary(origin, config).save(save_directory / VOCABULARY_FILE)
        recipe = read_recipe(origin)
        if recipe:
            _write(save_directory / RECIPE_FILE, json.dumps(recipe, indent=2, sort_keys=True) + "\n")
        for file in ("README.md", *reversed(MODEL_FILES)):
            if (origin / file).exists() and not _same(origin / file, save_directory / file):
                with atomic_path(save_directory / file) as draft:
                    shutil.copyfile(origin / file, draft)
        if folder_fingerprint(save_directory) != self.fingerprint:
            raise WeightsError(f"{origin} changed while it was copied to {save_directory}: open it again and save that")

    def push_to_hub(self, repo_id: str, **options: Any) -> str:  # type: ignore[override]
        """Publish on the hub: a repository is made where there is none, and the files go up in one commit.

        Args:
            repo_id: `owner/name`.
            options: of huggingface_hub's `push_to_hub`: commit_message, private, token, branch, create_pr and more.

        Returns: the address of the commit.

        Raises:
            WeightsError: the hub cannot be reached or does not take it; or as for `save_pretrained`.
        """
        card = {"repo_id": repo_id} | (options.pop("model_card_kwargs", None) or {})
        # First to a folder of its own: what is wrong with the model shows before the hub is asked to make anything.
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, model_card_kwargs=card)
        try:
            return str(super().push_to_hub(repo_id, model_card_kwargs=card, **options))
        except (InputError, WeightsError, TypeError):
            raise
        except Exception as error:  # whatever the hub's client raises becomes one line
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise WeightsError(
                f"{repo_id} cannot be published on the hub ({reason}): check name and network, and hf auth login"
            ) from error

    def generate_model_card(self, *_: Any, repo_id: str | None = None, **__: Any) -> ModelCard:
        """A card with recipe, vocabulary, hashes and the training log's last scores; the licence is left to fill in."""
        return model_card(self._read_from(), self.fingerprint, repo_id)

    def _read_from(self) -> Path:
        if self._origin is None:
            raise InputError(
                "a tokenizer is saved from the folder that it was read from, this one was put together by hand: write "
                "its model with spae.tokenizers.build.save_model and open that folder"
            )
        return self._origin


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")
