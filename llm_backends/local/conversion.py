"""Conversion of GGUF files to model folders, once, in the cache folder.

transformers takes about 20 s to read even a small GGUF file, so it is converted to fp32 safetensors. The folder is
written beside its final place and renamed, so a killed conversion never looks complete.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_backends.errors import BackendUnavailable
from llm_backends.protocol import Identity
from spae.canonical import sha256_file

LAYOUT = 1
"""Increased when the converted files change, so that an older conversion is not reused."""
FILES = ("config.json", "model.safetensors", "tokenizer.json")
INDEX = "model.safetensors.index.json"
"""Replaces model.safetensors if a model is written in shards."""
CONVERSION_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What transformers and gguf raise for a file that is not as they expect."""


@dataclass(frozen=True)
class Convertible:
    """A GGUF file to convert.

    Attributes:
        title: for people ("SmolLM2-135M-Instruct").
        stem: of the folder's name.
        sha256: of the GGUF file; another one is refused.
        find: returns the GGUF file, given a folder for temporary files. Raises BackendUnavailable.
        fix: what to do about another file: an install line.
        megabytes: approximate size of the converted folder.
        facts: written beside the model: package, licence.
    """

    title: str
    stem: str
    sha256: str
    find: Callable[[Path], Path]
    fix: str
    megabytes: int
    facts: Mapping[str, str]

    def target(self, cache: Path) -> Path:
        """The folder of its conversion."""
        return cache / f"{self.stem}-{self.sha256[:12]}-v{LAYOUT}"


class ConvertedSource:
    """A `ModelSource` whose folder is converted from a GGUF file.

    Args:
        model: the file.
        dtype: arithmetic to load the weights in, checked.
        context_length: in tokens; None if unknown.
    """

    def __init__(self, model: Convertible, dtype: str, context_length: int | None) -> None:
        self._model = model
        self._dtype = dtype
        self._context_length = context_length

    @property
    def identity(self) -> Identity:
        """The revision is the sha256 of the GGUF file, which conversion checks."""
        return Identity(kind="transformers", model=self._model.title, revision=self._model.sha256, dtype=self._dtype)

    @property
    def context_length(self) -> int | None:
        """As given."""
        return self._context_length

    def folder(self) -> Path:
        """The converted model; converts it if needed."""
        return converted_folder(self._model)

    def folder_if_ready(self) -> Path | None:
        """The converted model, if it exists."""
        target = self._model.target(cache_folder())
        return target if is_complete(target) else None


def cache_folder() -> Path:
    """The folder of converted models: $SPAE_CACHE, else $XDG_CACHE_HOME/spae, else ~/.cache/spae."""
    if own := os.environ.get("SPAE_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "spae"
    return Path.home() / ".cache" / "spae"


def converted_folder(
    model: Convertible,
    *,
    cache: Path | None = None,
    convert: Callable[[Path, Path], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """The folder of the converted model; converts it if needed, one process at a time.

    Args:
        model: the GGUF file.
        cache: folder of conversions; None for `cache_folder()`.
        convert: writes the model folder (second) from the GGUF file (first); None for `convert_gguf`.
        say: prints a line of progress; None for stderr.

    Raises:
        BackendUnavailable: the file is missing, is not the expected one or cannot be converted, or the cache cannot be
            written.
    """
    tell = say or _to_stderr
    cache = cache or cache_folder()
    target = model.target(cache)
    if is_complete(target):
        return target
    from filelock import FileLock, Timeout

    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / f"{target.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tell(f"another process is preparing {model.title}, waiting for it")
            lock.acquire()
        try:
            if not is_complete(target):  # another process may have converted it meanwhile
                for left in cache.glob(f"{target.name}.making-*"):  # of a killed process: this one has the lock
                    shutil.rmtree(left, ignore_errors=True)
                _convert_into(target, model, convert or convert_gguf, tell)
        finally:
            lock.release()
    except OSError as error:
        raise BackendUnavailable(
            f"{model.title} needs a cache folder with about {model.megabytes} MB free, {cache} fails ({error}): "
            "set SPAE_CACHE to another folder"
        ) from error
    return target


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Writes the model and tokenizer of a GGUF file into an existing folder, weights as fp32 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    home, name = str(gguf.parent), gguf.name
    AutoTokenizer.from_pretrained(home, gguf_file=name, local_files_only=True).save_pretrained(folder)
    read = AutoModelForCausalLM.from_pretrained(home, gguf_file=name, dtype=torch.float32, local_files_only=True)
    # A model read from GGUF counts as quantised and cannot be saved; a fresh one with its weights can.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(folder)


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a complete model."""
    return not missing_files(folder)


def missing_files(folder: Path) -> list[str]:
    """The files that a folder lacks of a complete model."""
    present = [name for name in (*FILES, INDEX) if (folder / name).is_file()]
    return [name for name in FILES if name not in present and not (name == FILES[1] and INDEX in present)]


def package_folder(package: str) -> Path | None:
    """The folder of an installed package, found without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def _convert_into(
    target: Path, model: Convertible, convert: Callable[[Path, Path], None], tell: Callable[[str], None]
) -> None:
    building = Path(tempfile.mkdtemp(prefix=f"{target.name}.making-", dir=target.parent))
    parts = Path(tempfile.mkdtemp(prefix=f"{target.name}.making-parts-", dir=target.parent))
    try:
        gguf = model.find(parts)
        found = sha256_file(gguf)
        if found != model.sha256:
            raise BackendUnavailable(
                f"{gguf.name} must have sha256 {model.sha256[:12]}..., got {found[:12]}...: {model.fix}"
            )
        tell(f"preparing {model.title} once, about 20 s and {model.megabytes} MB, in {target}")
        try:
            convert(gguf, building)
        except CONVERSION_ERRORS as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BackendUnavailable(
                f"{gguf.name} cannot be converted by transformers ({type(error).__name__}: {reason}): fetch the file "
                "again, or take the model's own folder (hf:FOLDER)"
            ) from error
        missing = missing_files(building)
        if missing:
            raise BackendUnavailable(
                f"converting {gguf.name} must write {', '.join(FILES)}, {', '.join(missing)} is missing: "
                "install the pinned transformers"
            )
        source = {"source": gguf.name, "sha256": found, **model.facts}
        (building / "source.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
        building.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)  # only ever an incomplete one, emptied by hand
        building.replace(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(parts, ignore_errors=True)
    tell(f"{model.title} is ready")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
