"""Which columns of a Hugging Face data set hold images and labels, and what is in a cell.

The package `datasets` is needed (extra: data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from spae.data.spec import DataSpec
from spae.errors import CorruptImage, DataError, InputError

IMAGES = ("image", "img", "picture", "jpg", "jpeg", "png", "webp")
LABELS = ("label", "labels", "class", "cls", "fine_label")


def hub_library() -> Any:
    """The package `datasets`. Raises InputError that names the install line."""
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            'data hf: needs the package datasets, which is not installed: pip install "spae-bench[data]"'
        ) from error
    return datasets


def connection_errors() -> tuple[type[Exception], ...]:
    """What asking the hub raises: errors of the system, and of the HTTP client that `huggingface_hub` is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    # The client differs between versions (httpx, httpx2); a refused connection is its base error, no OSError.
    return (OSError, *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)))


@dataclass(frozen=True)
class Columns:
    """Columns of a table.

    Attributes:
        image: column of images.
        label: column of labels; "" for no labels.
        names: of the classes, if the column's type has them.
    """

    image: str
    label: str
    names: tuple[str, ...]


def find_columns(spec: DataSpec, features: Mapping[str, Any] | None) -> Columns:
    """The columns the user names, else the only ones that they can be.

    Args:
        spec: options `image`, `label` (`label=none`: one class).
        features: types of the columns; None for unknown.

    Raises:
        DataError: no such column, none that fits, or several.
    """
    library = hub_library()
    if not features:
        raise DataError(f"{spec.text} states no columns: name a set whose features are known")
    images = [name for name, kind in features.items() if isinstance(kind, library.Image)]
    # Parquet files not written by `datasets`: {"bytes": ..., "path": ...} or bytes, without the type of an image.
    images = images or [name for name in IMAGES if name in features and _holds_bytes(features[name])]
    image = _one(spec, "image", images, [name for name in IMAGES if name in images], features)
    if spec.options.get("label") == "none":
        return Columns(image, "", ())
    labels = [name for name, kind in features.items() if isinstance(kind, library.ClassLabel)]
    labels = labels or [name for name in LABELS if name in features]
    label = _one(spec, "label", labels, [name for name in LABELS if name in labels], features)
    kind = features[label]
    return Columns(image, label, tuple(kind.names) if isinstance(kind, library.ClassLabel) else ())


def _one(spec: DataSpec, option: str, fitting: list[str], usual: list[str], features: Mapping[str, Any]) -> str:
    if option in spec.options:
        if spec.options[option] not in features:
            raise DataError(f"{spec.text} has no column {spec.options[option]!r}: it has {', '.join(features)}")
        return spec.options[option]
    found = fitting if len(fitting) == 1 else usual[:1]
    if not found:
        seen = f"several ({', '.join(fitting)})" if fitting else f"none among {', '.join(features)}"
        raise DataError(f"{spec.text} must have one column of {option}s, it has {seen}: name it by ?{option}=COLUMN")
    return found[0]


def _holds_bytes(kind: Any) -> bool:
    if isinstance(kind, Mapping):
        return "bytes" in kind
    return getattr(kind, "dtype", "") in ("binary", "large_binary")


def cell_content(cell: Any, shown: str, homes: tuple[Path, ...]) -> Path | BytesIO:
    """The image of a cell that was not decoded: bytes, or a file.

    Args:
        cell: {"bytes": ..., "path": ...} or bytes.
        shown: the row's name in messages.
        homes: folders that a path in the cell may lead into; a table is data, and may name any file of this machine.

    Raises:
        CorruptImage: the cell is empty, or its path leads elsewhere.
    """
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes | bytearray):
        return BytesIO(content)
    path = cell.get("path") if isinstance(cell, Mapping) else None
    if not isinstance(path, str) or not path:
        raise CorruptImage(f"{shown} is empty: remove the row")
    if path.startswith("hf://"):
        from huggingface_hub import HfFileSystem

        try:
            return BytesIO(HfFileSystem().cat_file(path))
        except connection_errors() as error:
            raise CorruptImage(f"{shown} cannot be fetched ({error}): check the connection") from error
    try:
        file = Path(path).resolve()
        inside = any(file.is_relative_to(home) for home in homes)
    except (OSError, ValueError, RuntimeError) as error:
        raise CorruptImage(f"{shown} names a path that cannot be followed ({error}): remove the row") from error
    if not inside:
        raise CorruptImage(f"{shown} names {path[:200]!a}, which is not in the data set's folder: store its bytes")
    return file
