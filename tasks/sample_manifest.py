"""The manifest of a task whose samples are questions or captions: what was drawn, kept in one file.

Few-shot episodes have a manifest of their own (`tasks.fewshot.episodes`), which checks what only episodes have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from spae.data.annotations.annotated import AnnotatedSet
from tasks.errors import ManifestError, TaskInputError
from tasks.manifest_file import ManifestFile, content_digest, sample_digest
from tasks.protocol import Sample

S = TypeVar("S", bound=Sample)


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
        if len({sample.id for sample in self.samples}) != len(self.samples):
            raise ValueError("sample ids must differ")
        for sample in self.samples:
            if sample.fingerprint != sample_digest(sample.model_dump(mode="json"), self.data_fingerprint):
                raise ValueError(f"sample {sample.id} does not match its fingerprint")
        if self.fingerprint != content_digest(self.model_dump(mode="json", exclude={"fingerprint"})):
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
        return cls.model_validate({**content, "fingerprint": content_digest(content)})

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
            data: the images that are to be asked about.
            settings: None takes all there are.
            limit: None takes all of each setting.

        Raises:
            ManifestError: it is of another task, or of other images.
            TaskInputError: a setting is not in it, or it has fewer samples of each.
        """
        if self.task != task:
            raise ManifestError(f"the manifest is of {self.task}, not of {task}: run that task")
        self.check_drawn_from(data.name, data.fingerprint)
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
