"""Models by folder and by hub name, with a stand-in for the hub: tests use no network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.folder import FolderSource, HubSource, open_hf, stated_context_length
from llm_backends.options import NoOptions
from llm_backends.protocol import CompletionRequest
from llm_backends.registry import open_backend

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_opens_by_its_path(tiny_llama: Path) -> None:
    model = open_backend(f"hf:{tiny_llama}")
    assert model.complete([CompletionRequest(prompt="This is a", max_new_tokens=2)])[0].text


def test_the_revision_follows_every_model_file(tiny_llama: Path, tmp_path: Path) -> None:
    copy = tmp_path / tiny_llama.name
    shutil.copytree(tiny_llama, copy)
    before = FolderSource(tiny_llama, "float32").identity
    (copy / "notes.txt").write_text("not a part of the model")
    assert FolderSource(copy, "float32").identity == before
    revisions = {before.revision}
    for name in ("model.safetensors", "config.json", "tokenizer.json", "generation_config.json"):
        path = copy / name
        path.write_bytes(path.read_bytes() + b" ")
        revisions.add(FolderSource(copy, "float32").identity.revision)
    assert len(revisions) == 5


def test_invalid_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="safetensors"):
        _ = FolderSource(tmp_path, "float32").identity
    with pytest.raises(BackendUnavailable, match=r"config\.json"):
        _ = FolderSource(tmp_path, "float32").context_length
    with pytest.raises(BackendInputError, match="is not one"):
        open_hf(str(tmp_path / "nothing"), dtype="float32", device="auto", options=NoOptions())
    with pytest.raises(BackendInputError, match="dtype"):
        open_hf(str(tmp_path), dtype="int8", device="auto", options=NoOptions())
    gone = FolderSource(tmp_path / "gone", "float32")
    with pytest.raises(BackendUnavailable, match="does not exist"):
        gone.folder()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 99}}, 99),
        ({}, None),
    ],
)
def test_context_length_from_the_config(tmp_path: Path, config: dict[str, object], expected: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert stated_context_length(tmp_path / "config.json") == expected


def test_a_hub_model_is_pinned_to_one_commit(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / COMMIT
    shutil.copytree(tiny_llama, snapshot)
    asked: list[tuple[str, str | None]] = []

    def config(name: str, *, filename: str, revision: str | None) -> str:
        asked.append((name, revision))
        return str(snapshot / filename)

    def whole(name: str, *, revision: str, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append((name, revision))
        assert "*.bin" not in allow_patterns
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", config)
    monkeypatch.setattr("huggingface_hub.snapshot_download", whole)
    model = open_hf("a/b@main", dtype="float32", device="auto", options=NoOptions())
    assert (
        model.identity.model == "a/b" and model.identity.revision == COMMIT and model.capabilities.context_length == 256
    )
    assert model.complete([CompletionRequest(prompt="This is a", max_new_tokens=1)])
    assert asked[0] == ("a/b", "main") and set(asked[1:]) == {("a/b", COMMIT)}


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **options: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(BackendUnavailable, match=r"no route to host.*hf:\./FOLDER"):
        _ = HubSource("a/b", "float32").identity
