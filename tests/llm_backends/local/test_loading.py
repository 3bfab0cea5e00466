"""Device names, and the memory for batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.loading import (
    CPU_BATCH_BYTES,
    batch_cells,
    checked_device,
    checked_dtype,
    find_device,
    load_model,
)
from llm_backends.protocol import CompletionRequest
from llm_backends.registry import open_backend


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1", "mps", "xpu:0"])
def test_names_of_devices(name: str) -> None:
    assert checked_device(name) == name


@pytest.mark.parametrize("name", ["", "GPU", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "0", "cpu cpu"])
def test_invalid_device_names_are_refused(name: str) -> None:
    with pytest.raises(BackendInputError, match="a device is auto, cpu"):
        checked_device(name)


def test_a_wrong_dtype() -> None:
    with pytest.raises(BackendInputError, match=r"float32, bfloat16, float16, got 'int8'"):
        checked_dtype("int8")


def test_auto_is_cuda_if_available() -> None:
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["nonsense", "cuad", "cuda:x"])
def test_a_misspelt_device_is_refused_at_once(name: str, tiny_llama: Path) -> None:
    with pytest.raises(BackendInputError, match="a device is auto, cpu, cuda"):
        open_backend(f"hf:{tiny_llama}", device=name)


@pytest.mark.parametrize("name", ["cuda:77"])
def test_a_missing_device_is_unavailable(name: str, tiny_llama: Path) -> None:
    with pytest.raises(BackendUnavailable, match="use --device cpu") as raised:
        open_backend(f"hf:{tiny_llama}", device=name).complete([CompletionRequest(prompt="a", max_new_tokens=1)])
    assert "\n" not in str(raised.value)


def test_a_device_belongs_to_a_local_model(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('{"default": "x"}')
    with pytest.raises(BackendInputError, match="--device is for local models"):
        open_backend(f"scripted:{tmp_path / 'script.json'}", device="cpu")


def test_a_batch_takes_its_share_of_memory() -> None:
    cpu = torch.device("cpu")
    assert batch_cells(cpu, 46_080) == CPU_BATCH_BYTES // 46_080
    assert batch_cells(cpu, 0) == 1


def test_half_precision_loads_as_asked(tiny_llama: Path) -> None:
    assert load_model(tiny_llama, "bfloat16", "cpu").dtype == torch.bfloat16


def test_an_invalid_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(BackendUnavailable, match="does not load as a causal model"):
        load_model(tmp_path, "float32", "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_an_accelerator_replies_as_the_processor(tiny_llama: Path) -> None:
    asked = [CompletionRequest(prompt=prompt, max_new_tokens=8) for prompt in ("This is a", "Input: cat\nOutput:", "x")]
    replies = [open_backend(f"hf:{tiny_llama}", device=device).complete(asked) for device in ("cpu", "cuda")]
    assert replies[0] == replies[1]
