"""Headers of GGUF files that the gguf package writes, and invalid files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from llm_backends.errors import BackendInputError
from llm_backends.local.gguf_file import read_header


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file with a value of every kind and two tensors of 12 and 5 numbers."""
    path = tmp_path / "small.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_name("Ein Löwe")
    writer.add_float32("llama.some.float", 0.5)
    writer.add_bool("llama.some.bool", True)
    writer.add_int8("llama.some.int8", -3)
    writer.add_uint64("llama.some.uint64", 2**40)
    writer.add_float64("llama.some.float64", 0.1)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", ""])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5])
    writer.add_tensor("one", np.zeros((3, 4), np.float32))
    writer.add_tensor("two", np.zeros(5, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_values_and_weights(small: Path) -> None:
    header = read_header(small)
    assert header.architecture == "llama" and header.context_length == 4096 and header.parts == 1
    assert header.weights == 17
    assert header.values["general.name"] == "Ein Löwe"
    assert header.values["llama.some.float"] == 0.5 and header.values["llama.some.float64"] == 0.1
    assert header.values["llama.some.bool"] is True and header.values["llama.some.int8"] == -3
    assert header.values["llama.some.uint64"] == 2**40
    assert "tokenizer.ggml.tokens" not in header.values, "arrays are stepped over"


def test_a_file_cut_anywhere_in_its_header_is_refused(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    # Behind the last tensor's description comes padding, then numbers: those are not of the header.
    end = whole.index(b"two") + 3 + 4 + 8 + 4 + 8
    cut = tmp_path / "cut.gguf"
    for length in range(0, end, 7):
        cut.write_bytes(whole[:length])
        with pytest.raises(BackendInputError, match="whole GGUF file"):
            read_header(cut)
    cut.write_bytes(whole[:end])
    assert read_header(cut).weights == 17


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04 a zip file", id="another kind"),
        pytest.param(b"GGUF\x01\x00\x00\x00" + b"\x00" * 16, id="version 1"),
        pytest.param(b"GGUF\x00\x00\x00\x03" + b"\x00" * 16, id="big-endian"),
        pytest.param(b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, id="absurd counts"),
        pytest.param(b"GGUF\x03\x00\x00\x00" + b"\x00" * 8 + b"\x01" + b"\x00" * 7 + b"\xff" * 8, id="absurd length"),
        pytest.param(
            b"GGUF\x03\x00\x00\x00" + b"\x00" * 8 + b"\x01" + b"\x00" * 15 + b"\x63\x00\x00\x00", id="kind 99"
        ),
    ],
)
def test_invalid_gguf_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(data)
    with pytest.raises(BackendInputError, match="whole GGUF file"):
        read_header(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BackendInputError, match="readable GGUF file"):
        read_header(tmp_path / "none.gguf")
