"""`gguf:FILE`: a causal model from one GGUF file, run by transformers in fp32 after one conversion.

The weights are what the file's quantisation left of them; the arithmetic is that of `--dtype`. `llamacpp:FILE` runs the
same file by llama.cpp's own arithmetic, under another identity.
"""

from __future__ import annotations

import re
from pathlib import Path

from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.local.backend import LocalBackend
from llm_backends.local.conversion import ConvertedSource, Convertible, sha256_of
from llm_backends.local.gguf_header import GgufHeader, read_header
from llm_backends.local.loading import checked_dtype


def open_gguf(argument: str, dtype: str, device: str = "auto") -> LocalBackend:
    """The backend of a file; its bytes are read once for their sha256, its weights at the first question.

    Raises:
        BackendInputError: the dtype or device is unknown, or the argument names no whole GGUF file.
    """
    path, header = checked_gguf(argument)
    model = Convertible(
        title=path.stem,
        stem=re.sub(r"[^a-z0-9.-]+", "-", path.stem.lower()).strip("-.")[:60] or "gguf",
        sha256=sha256_of(path),
        find=lambda parts: _readable(path, header),
        fix="the file changed since it was opened: give the command again",
        megabytes=4 * header.weights // 10**6,
        facts={},
    )
    return LocalBackend(ConvertedSource(model, checked_dtype(dtype), header.context_length), device=device)


def checked_gguf(argument: str) -> tuple[Path, GgufHeader]:
    """A file and its header.

    Raises:
        BackendInputError: it is no GGUF file, or one part of several.
    """
    path = Path(argument).expanduser().resolve()
    if not path.is_file():
        raise BackendInputError(f"a GGUF file is needed, {argument} is none: check the path")
    header = read_header(path)
    if header.parts > 1:
        raise BackendInputError(
            f"one whole GGUF file is needed, {path.name} is one of {header.parts} parts: "
            "join them with llama-gguf-split --merge"
        )
    return path, header


def _readable(path: Path, header: GgufHeader) -> Path:
    """The same path. Raises BackendUnavailable where transformers does not know the architecture."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    known = sorted({str(name) for name in GGUF_SUPPORTED_ARCHITECTURES})
    # Written with a dash in files and with a line below in code, or run together ("qwen2moe").
    plain = {re.sub("[-_]", "", name) for name in known}
    if re.sub("[-_]", "", header.architecture) not in plain:
        raise BackendUnavailable(
            f"transformers reads GGUF files of the architectures {', '.join(known)}; {path.name} is "
            f"{header.architecture!r}: use llamacpp:{path}, or the model's own folder (hf:FOLDER)"
        )
    return path
