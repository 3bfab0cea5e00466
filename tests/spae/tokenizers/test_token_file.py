"""Files of tokens: what they give back, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from spae.errors import InputError
from spae.tokenizers.store import TokenStore
from spae.tokenizers.token_file import TokenFile, write_token_file
from spae.tokens import ImageTokens

GRIDS = ((1, 1), (1, 2))
ONE = ImageTokens(((7,), (2, 3)), (("a",), ("b", "é")), GRIDS)
TWO = ImageTokens(((7,), (3, 9)), (("a",), ("é", "</b>")), GRIDS)
IMAGES = {"ab" * 32: ONE, "01" * 32: TWO}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_token_file(tmp_path / "t.safetensors", "fingerprint", IMAGES)
    return tmp_path / "t.safetensors"


def test_tokens_come_back_by_image(file: Path) -> None:
    read = TokenFile(file)
    assert (read.tokenizer, len(read)) == ("fingerprint", 2)
    assert read.get_many([*IMAGES, "ff" * 32], 2) == IMAGES
    assert read.get_many(["ab" * 32], 1) == {"ab" * 32: ONE.first_layers(1)}
    assert read.get_many(["ab" * 32], 3) == {}


def test_equal_tokens_give_equal_bytes(file: Path, tmp_path: Path) -> None:
    write_token_file(tmp_path / "again.safetensors", "fingerprint", dict(reversed(IMAGES.items())))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_store_looks_into_files_of_the_same_tokenizer_after_its_own(file: Path, tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "own", files=[TokenFile(file)])
    store.put_many("fingerprint", {"ab" * 32: TWO})
    assert store.get_many("fingerprint", ["ab" * 32, "01" * 32, "ff" * 32], 2) == {"ab" * 32: TWO, "01" * 32: TWO}
    assert store.get_many("other", ["01" * 32], 2) == {}
    stats = store.stats()
    assert (stats.hits, stats.misses, stats.entries) == (2, 2, 1)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        pytest.param({"ids": np.zeros((1, 3), np.int32)}, "{}", id="no facts"),
        pytest.param({"ids": np.zeros((1, 3), np.int32)}, "[]", id="facts are a list"),
        pytest.param({"ids": np.zeros((1, 3), np.int32)}, "not JSON", id="not JSON"),
        pytest.param({"ids": np.zeros((1, 3), np.int32)}, None, id="no images"),
        pytest.param(
            {"ids": np.zeros((1, 2), np.int32), "images": np.zeros((1, 32), np.uint8)}, None, id="too few ids"
        ),
        pytest.param(
            {"ids": np.full((1, 3), 5, np.int32), "images": np.zeros((1, 32), np.uint8)}, None, id="id without a word"
        ),
    ],
)
def test_damaged_file_is_one_error(tmp_path: Path, tensors: dict[str, np.ndarray], metadata: str | None) -> None:
    facts = '{"tokenizer": "t", "grids": [[1, 1], [1, 2]], "join": " ", "words": {"0": "a"}}'
    save_file(tensors, tmp_path / "bad.safetensors", {"tokens": facts if metadata is None else metadata})
    with pytest.raises(InputError, match=r"bad\.safetensors"):
        TokenFile(tmp_path / "bad.safetensors").get_many(["00" * 32], 2)


def test_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a file of tokens"):
        TokenFile(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "tokens", [{}, IMAGES | {"00" * 32: ImageTokens(((1,),), (("a",),), ((1, 1),))}], ids=["none", "two pyramids"]
)
def test_images_of_one_pyramid_are_needed(tmp_path: Path, tokens: dict[str, ImageTokens]) -> None:
    with pytest.raises(InputError, match="one pyramid"):
        write_token_file(tmp_path / "t.safetensors", "t", tokens)
