"""The committed files of tokens are what the committed tokenizers give for the embedded images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.token_files import COMMITTED, committed_tokens
from spae.data.embedded.pictograms import PictogramSet
from spae.tokenizers.registry import open_tokenizer
from spae.tokenizers.store import image_sha256
from spae.tokenizers.token_file import TokenFile


@pytest.mark.parametrize("name", ["spae", "vqgan"])
def test_committed_tokens_are_those_of_the_committed_tokenizer(name: str) -> None:
    tokenizer, data = open_tokenizer(name), PictogramSet()
    file = TokenFile(COMMITTED / f"{name}.safetensors")
    assert file.tokenizer == tokenizer.fingerprint
    names = [name for one in data.classes for name in (*one.support, *one.query)]
    some = [data.image(names[int(row)]) for row in np.random.default_rng(0).choice(len(names), 12, replace=False)]
    encoded = tokenizer.encode(some)
    stored = file.get_many([image_sha256(one) for one in some], tokenizer.depth)
    ids = [layer for one in encoded for layer in one.ids]
    kept = [layer for one in some for layer in stored[image_sha256(one)].ids]
    same = np.concatenate([np.equal(one, other) for one, other in zip(ids, kept, strict=True)])
    # Another processor may round two all but equally near words the other way.
    assert same.mean() >= 0.98
    assert all(stored[image_sha256(one)].words[0] for one in some)


def test_every_image_of_the_main_job_has_its_tokens() -> None:
    data = PictogramSet()
    images = {image_sha256(data.image(name)) for one in data.classes for name in (*one.support, *one.query)}
    files = committed_tokens()
    assert {file.tokenizer for file in files} == {open_tokenizer(name).fingerprint for name in ("spae", "vqgan")}
    for file in files:
        assert set(file.get_many(sorted(images), 1)) == images


def test_export_writes_a_file_that_a_store_can_use(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "tokens.safetensors"
    result = CliRunner().invoke(app, ["cache", "export-tokens", "vqgan", str(out), "--data", str(photos)])
    assert result.exit_code == 0, result.output
    read = TokenFile(out)
    assert f"tokens of {len(read)} images" in result.output
    assert read.tokenizer == open_tokenizer("vqgan").fingerprint
    before = hashlib.sha256(out.read_bytes()).hexdigest()
    assert CliRunner().invoke(app, ["cache", "export-tokens", "vqgan", str(out), "--data", str(photos)]).exit_code == 0
    assert hashlib.sha256(out.read_bytes()).hexdigest() == before
