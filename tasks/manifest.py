"""Manifests: the samples of a task in one JSON file, with a fingerprint over all of it and one over each sample.

`SampleManifest` holds questions and captions. Few-shot episodes have a manifest of their own
(`tasks.fewshot.episodes`), which checks what only episodes have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from spae.atomic import atomic_path
from spae.canonical import Frozen, sha256_json
from spae.data.protocol import ImageSet
from spae.regular_file import MOST_INDEX, read_json_text
from tasks.errors import ManifestError, TaskInputError
from tasks.protocol import Sample

S = TypeVar("S", bound=Sample)


class ManifestFile(Frozen):
    """What every kind of manifest has in common."""

    version: Literal[1] = 1
    task: str = Field(description="name of the task: 'real-fast-vqa'")
    data: str = Field(description="the data, as the user named it")
    data_fingerprint: str = Field(description="sha256 of the data the samples were taken from")
    seed: int

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all; creates the folder if needed."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        with atomic_path(path) as draft:
            draft.write_text(content + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote, and checks every fingerprint.

        Raises:
            ManifestError: the file is missing, not JSON, or not a whole and unaltered manifest.
        """
        try:
            return cls.model_validate_json(read_json_text(path, MOST_INDEX))
        except OSError as error:
            raise ManifestError(f"manifest {path} cannot be read ({error.strerror}): check the path") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise ManifestError(
                f"manifest {path} is broken ({where}: {first['msg']}): delete it and sample it again"
            ) from error

    def check_source(self, task: str, data: ImageSet) -> None:
        """Raises ManifestError unless the samples are of this task and these data."""
        if self.task != task:
            raise ManifestError(f"the manifest is of {self.task}, not of {task}: run that task")
        if self.data_fingerprint != data.fingerprint:
            raise ManifestError(
                f"the manifest was sampled from {self.data!r} with fingerprint {self.data_fingerprint[:12]}, "
                f"{data.name!r} has {data.fingerprint[:12]}: pass the data it was sampled from, or sample it again"
            )


class SampleManifest(ManifestFile, Generic[S]):
    """The samples of one task on one data set, so that every tokenizer and language model sees the same ones.

    Name the kind of sample to load one: `SampleManifest[VqaSample].load(path)`.
    """

    limit: int = Field(ge=1, description="samples per setting")
    settings: tuple[str, ...] = Field(min_length=1, description="in the order asked for")
    samples: tuple[S, ...] = Field(description="setting after setting, `limit` of each, in order")
    fingerprint: str = Field(description="sha256 over all of the above")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        wanted = [setting for setting in self.settings for _ in range(self.limit)]
        if [sample.setting for sample in self.samples] != wanted or len(set(self.settings)) != len(self.settings):
            raise ValueError(f"samples must be {self.limit} of each of {', '.join(self.settings)}, in order")
        check_fingerprints(self, "samples")
        return self

    @classmethod
    def made(
        cls, *, task: str, data: str, data_fingerprint: str, seed: int, settings: Sequence[str], samples: Sequence[S]
    ) -> Self:
        """The manifest of samples: the same number for each setting, setting after setting."""
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
        return cls.model_validate({**content, "fingerprint": sha256_json(content)})

    def of(self, setting: str) -> tuple[S, ...]:
        """The samples of one setting, in order. Raises TaskInputError for a setting it does not hold."""
        return of_setting(setting, self.settings, self.samples)

    def narrowed(self, settings: Sequence[str] | None, limit: int | None) -> Self:
        """The manifest of only these settings, and so many samples of each; None takes all.

        Raises:
            TaskInputError: a setting is not in it, or it has fewer samples of each.
        """
        kept, count = narrowing(self.settings, self.limit, settings, limit)
        return self.made(
            task=self.task,
            data=self.data,
            data_fingerprint=self.data_fingerprint,
            seed=self.seed,
            settings=kept,
            samples=[sample for setting in kept for sample in self.of(setting)[:count]],
        )


MOST_SAMPLES = 10_000
"""Of a setting that samples without end: seven such settings are the longest manifest that is read."""


def check_limit(limit: int, what: str) -> None:
    """For tasks that can sample any number. Raises TaskInputError unless limit is in 1..`MOST_SAMPLES`."""
    if not 1 <= limit <= MOST_SAMPLES:
        raise TaskInputError(
            f"limit must be 1 to {MOST_SAMPLES:,} {what} per setting, got {limit:,}: pass --limit 200 or so"
        )


def sample_digest(content: Mapping[str, Any], data_fingerprint: str) -> str:
    """The `fingerprint` of a sample: sha256 over its other fields, as JSON values, and the data's fingerprint."""
    return sha256_json(
        {**{name: value for name, value in content.items() if name != "fingerprint"}, "data": data_fingerprint}
    )


def check_fingerprints(manifest: ManifestFile, field: str) -> None:
    """Raises ValueError where two samples in `field` share an id, or a fingerprint is not that of the content."""
    content = manifest.model_dump(mode="json")
    samples = content[field]
    if len({sample["id"] for sample in samples}) != len(samples):
        raise ValueError("sample ids must differ")
    for sample in samples:
        if sample["fingerprint"] != sample_digest(sample, manifest.data_fingerprint):
            raise ValueError(f"sample {sample['id']} does not match its fingerprint")
    if content.pop("fingerprint") != sha256_json(content):
        raise ValueError("the content does not match its fingerprint")


def of_setting(setting: str, settings: Sequence[str], samples: Sequence[S]) -> tuple[S, ...]:
    """The samples of one setting, in order. Raises TaskInputError unless `settings` has it."""
    if setting not in settings:
        raise TaskInputError(f"this manifest has the settings {', '.join(settings)}, got {setting!r}: sample it again")
    return tuple(sample for sample in samples if sample.setting == setting)


def narrowing(
    there: Sequence[str], most: int, settings: Sequence[str] | None, limit: int | None
) -> tuple[tuple[str, ...], int]:
    """The settings and the number of samples of each that a narrowed manifest keeps.

    Raises:
        TaskInputError: the manifest has fewer than `limit` samples of each setting.
    """
    count = most if limit is None else limit
    if not 1 <= count <= most:
        raise TaskInputError(f"this manifest has {most} samples of each setting, got --limit {count}")
    return tuple(there if settings is None else settings), count
