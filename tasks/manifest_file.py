"""A manifest as a file: JSON with a fingerprint over all that is in it, and one over each sample."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from spae.canonical import Frozen
from tasks.errors import ManifestError


class ManifestFile(Frozen):
    """What every kind of manifest has in common."""

    version: Literal[1] = 1
    task: str = Field(description="name of the task: 'real-fast-vqa'")
    data: str = Field(description="the data, as the user named it")
    data_fingerprint: str = Field(description="sha256 of the data the samples were drawn from")
    seed: int

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all; makes the folder where there is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(_canonical(self.model_dump(mode="json")) + "\n", encoding="utf-8")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote, and checks every fingerprint.

        Raises:
            ManifestError: the file is missing, not JSON, or not a whole and unaltered manifest.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ManifestError(f"manifest {path} cannot be read ({error.strerror}): check the path") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise ManifestError(
                f"manifest {path} is broken ({where}: {first['msg']}): delete it and draw it anew"
            ) from error

    def check_drawn_from(self, name: str, fingerprint: str) -> None:
        """Raises ManifestError where the data of that name and fingerprint are others than it was drawn from."""
        if fingerprint != self.data_fingerprint:
            raise ManifestError(
                f"the manifest was drawn from {self.data!r} with fingerprint {self.data_fingerprint[:12]}, "
                f"{name!r} has {fingerprint[:12]}: pass the data it was drawn from, or draw it anew"
            )


def sample_digest(content: Mapping[str, Any], data_fingerprint: str) -> str:
    """The `fingerprint` of a sample: sha256 over its other fields, as JSON values, and the data's fingerprint."""
    return content_digest(
        {**{name: value for name, value in content.items() if name != "fingerprint"}, "data": data_fingerprint}
    )


def content_digest(content: Mapping[str, Any]) -> str:
    """sha256 over JSON values."""
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
