"""The manifest of a task whose samples are questions or captions: what was drawn, kept in one file.

Few-shot episodes have a manifest of their own (`tasks.episodes`), which checks what only episodes have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from llm_backends.protocol import Frozen
from spae.data.annotated import AnnotatedSet
from tasks.errors import ManifestError, TaskInputError
from tasks.protocol import Sample

S = TypeVar("S", bound=Sample)


class SampleManifest(Frozen, Generic[S]):
    """The samples of one task on one data set, so that every tokenizer and language model sees the same ones.

    Name the kind of sample to load one: `SampleManifest[VqaSample].load(path)`.
    """

    version: Literal[1] = 1
    task: str = Field(description="name of the task: 'real-fast-vqa'")
    data: str = Field(description="the data, as the user named it")
    data_fingerprint: str = Field(description="sha256 of the data the samples were drawn from")
    seed: int
    limit: int = Field(ge=1, description="samples per setting")
    settings: tuple[str, ...] = Field(min_length=1, description="in the order asked for")
    samples: tuple[S, ...] = Field(description="setting after setting, `limit` of each, in order")
    fingerprint: str = Field(description="sha256 over all of the above")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        wanted = [setting for setting in self.settings for _ in range(self.limit)]
        if [sample.setting for sample in self.samples] != wanted or len(set(self.settings)) != len(self.settings):
            raise ValueError(f"samples must be {self.limit} of each of {', '.join(self.settings)}, in order")
        if len({sample.id for sample in self.samples}) != len(self.samples):
            raise ValueError("sample ids must differ")
        for sample in self.samples:
            if sample.fingerprint != sample_digest(sample.model_dump(mode="json"), self.data_fingerprint):
                raise ValueError(f"sample {sample.id} does not match its fingerprint")
        if self.fingerprint != _digest(self.model_dump(mode="json", exclude={"fingerprint"})):
            raise ValueError("the content does not match its fingerprint")
        return self

    @classmethod
    def made(
        cls, *, task: str, data: str, data_fingerprint: str, seed: int, settings: Sequence[str], samples: Sequence[S]
    ) -> Self:
        """The manifest of samples that were drawn: the same number for each setting, setting after setting."""
        content: dict[str, Any] = {
            "version": 1,
            "task": task,
            "data": data,
            "data_fingerprint": data_fingerprint,
            "seed": seed,
            "limit": len(samples) // max(1, len(settings)),
            "settings": list(settings),
            "samples": [sample.model_dump(mode="json") for sample in samples],
        }
        return cls.model_validate({**content, "fingerprint": _digest(content)})

    def of(self, setting: str) -> tuple[S, ...]:
        """The samples of one setting, in order.

        Raises:
            TaskInputError: the setting was not drawn.
        """
        if setting not in self.settings:
            raise TaskInputError(
                f"this manifest has the settings {', '.join(self.settings)}, got {setting!r}: draw it anew"
            )
        return tuple(sample for sample in self.samples if sample.setting == setting)

    def taken_up(self, task: str, data: AnnotatedSet, settings: Sequence[str] | None, limit: int | None) -> Self:
        """The manifest that a draw of only these settings, and so many samples of each, would have given.

        Args:
            task: that is to ask them.
            data: the pictures that are to be asked about.
            settings: None takes all there are.
            limit: None takes all of each setting.

        Raises:
            ManifestError: it is of another task, or of other pictures.
            TaskInputError: a setting is not in it, or it has fewer samples of each.
        """
        if self.task != task:
            raise ManifestError(f"the manifest is of {self.task}, not of {task}: run that task")
        if data.fingerprint != self.data_fingerprint:
            raise ManifestError(
                f"the manifest was drawn from {self.data!r} with fingerprint {self.data_fingerprint[:12]}, "
                f"{data.name!r} has {data.fingerprint[:12]}: pass the data it was drawn from, or draw it anew"
            )
        kept = self.settings if settings is None else tuple(settings)
        count = self.limit if limit is None else limit
        if not 1 <= count <= self.limit:
            raise TaskInputError(f"this manifest has {self.limit} samples of each setting, got --limit {count}")
        return self.made(
            task=self.task,
            data=self.data,
            data_fingerprint=self.data_fingerprint,
            seed=self.seed,
            settings=kept,
            samples=[sample for setting in kept for sample in self.of(setting)[:count]],
        )

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all; makes the folder where there is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(_canonical(self.model_dump(mode="json")) + "\n", encoding="utf-8")
            part.replace(path)
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


def sample_digest(content: Mapping[str, Any], data_fingerprint: str) -> str:
    """The `fingerprint` of a sample: sha256 over its other fields, as JSON values, and the data's fingerprint."""
    return _digest(
        {**{name: value for name, value in content.items() if name != "fingerprint"}, "data": data_fingerprint}
    )


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
