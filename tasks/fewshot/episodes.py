"""Few-shot episodes: how they are drawn, and the manifest that keeps them.

K classes (the ways), S examples of each (the shots). Episode k of (ways, seed) has the same classes in the same order,
the same query and the same examples in the same order in every setting, S of each class: settings are nested and
paired, and 20 episodes are the first 20 of 200. Each draw has its own stream (`tasks.rng`), keyed
`spae-fewshot-1/<ways>/<seed>/...`, over names and image ids in code point order:

    place     <k // ways>         the answer's places of `ways` episodes in a row: each place once
    classes   <k>                 the K classes, in the order of the prompt
    query     <k>                 one of the answer's query images
    support   <k>/<class name>    the order of a class's examples, the query left out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from spae.data.protocol import ClassImages, ImageSet
from tasks.errors import EpisodeError, ManifestError, TaskInputError
from tasks.fewshot.settings import SETTING_IDS, Setting, parse_settings
from tasks.manifest_file import ManifestFile, content_digest, sample_digest
from tasks.protocol import Sample
from tasks.rng import Stream

SHOTS = (5, 3, 1)
"""The numbers of shots that the protocol's settings ask for, largest first."""


class Episode(Sample):
    """A few-shot question: labelled examples, then an image to name.

    `images` is the support in order, then the query; `fingerprint` also covers the data's.
    """

    index: int = Field(ge=0, description="k: episodes of one k are paired across settings")
    classes: tuple[str, ...] = Field(min_length=2, description="the K names, in the order of the prompt")
    support: tuple[tuple[str, str], ...] = Field(
        description="(image id, class) of one block of examples, c1,c2,..,c1,c2,..: K*S pairs, shown R+1 times"
    )
    query: str = Field(description="id of the image that is asked about")

    @model_validator(mode="after")
    def _is_an_episode(self) -> Episode:
        ids = tuple(image for image, _ in self.support)
        shots = len(self.support) // len(self.classes)
        if len(set(self.classes)) != len(self.classes) or self.answer not in self.classes:
            raise ValueError(f"classes must differ and hold the answer, got {self.classes} and {self.answer!r}")
        if shots < 1 or tuple(label for _, label in self.support) != self.classes * shots:
            raise ValueError("support must run through the classes in order, the same number of times each")
        if len(set(ids)) != len(ids) or self.query in ids or self.images != (*ids, self.query):
            raise ValueError("images must be the support's then the query, no image twice")
        return self


class Manifest(ManifestFile):
    """The episodes of one task on one data set, so that every tokenizer and language model sees the same ones."""

    ways: int = Field(ge=2)
    limit: int = Field(ge=1, description="episodes per setting")
    settings: tuple[str, ...] = Field(min_length=1, description="in the order asked for")
    eligible: int = Field(ge=2, description="classes with enough images, from which the episodes' classes were drawn")
    episodes: tuple[Episode, ...] = Field(description="setting after setting, `limit` of each, in order")
    fingerprint: str = Field(description="sha256 over all of the above")

    @model_validator(mode="after")
    def _is_whole(self) -> Manifest:
        wanted = [(setting, k) for setting in self.settings for k in range(self.limit)]
        if [(episode.setting, episode.index) for episode in self.episodes] != wanted:
            raise ValueError(f"episodes must be {self.limit} of each of {', '.join(self.settings)}, in order")
        if len({episode.id for episode in self.episodes}) != len(self.episodes):
            raise ValueError("episode ids must differ")
        for episode in self.episodes:
            if len(episode.classes) != self.ways:
                raise ValueError(f"episode {episode.id} must have {self.ways} classes, got {len(episode.classes)}")
            if episode.fingerprint != sample_digest(episode.model_dump(mode="json"), self.data_fingerprint):
                raise ValueError(f"episode {episode.id} does not match its fingerprint")
        if self.fingerprint != content_digest(self.model_dump(mode="json", exclude={"fingerprint"})):
            raise ValueError("the content does not match its fingerprint")
        return self

    def of(self, setting: str) -> tuple[Episode, ...]:
        """The episodes of one setting, in order of k.

        Raises:
            TaskInputError: the setting was not drawn.
        """
        if setting not in self.settings:
            raise TaskInputError(
                f"this manifest has the settings {', '.join(self.settings)}, got {setting!r}: draw it anew"
            )
        return tuple(episode for episode in self.episodes if episode.setting == setting)

    def narrowed(self, settings: Sequence[str] | None, limit: int | None) -> Manifest:
        """The manifest that a draw of only these settings, and so many episodes of each, would have given.

        Raises:
            TaskInputError: a setting is not in it, or it has fewer episodes of each.
        """
        kept = self.settings if settings is None else tuple(settings)
        count = self.limit if limit is None else limit
        if not 1 <= count <= self.limit:
            raise TaskInputError(f"this manifest has {self.limit} episodes of each setting, got --limit {count}")
        episodes = [episode for setting in kept for episode in self.of(setting)[:count]]
        content = self.model_dump(mode="json", exclude={"fingerprint"})
        content |= {
            "settings": list(kept),
            "limit": count,
            "episodes": [one.model_dump(mode="json") for one in episodes],
        }
        return Manifest.model_validate({**content, "fingerprint": content_digest(content)})

    def check(self, data: ImageSet) -> None:
        """Raises ManifestError where the episodes were drawn from other images than `data`."""
        there = {image for one in data.classes for image in (*one.support, *one.query)}
        lacking = {image for episode in self.episodes for image in episode.images if image not in there}
        if lacking:
            raise ManifestError(
                f"every image of a manifest must be in the data, {data.name!r} lacks {len(lacking)}, "
                f"{min(lacking)!r} first: pass the data it was drawn from ({self.data!r}), or draw it anew"
            )
        self.check_drawn_from(data.name, data.fingerprint)


def draw(task: str, data: ImageSet, ways: int, settings: Sequence[str], seed: int, limit: int) -> Manifest:
    """Draws the first `limit` episodes of each setting.

    A class can take part where it has a query image and `need` images to show beside it; need is the largest of
    5, 3 and 1 that at least `ways` classes reach, whichever settings are asked for (else they would not be paired).

    Args:
        task: name of the task, kept in the manifest.
        data: labelled images.
        ways: K, at least 2.
        settings: ids, each once.
        seed: any integer.
        limit: episodes per setting, at least 1.

    Raises:
        TaskInputError: a setting is unknown or named twice, or limit is below 1.
        EpisodeError: two classes share a name, an image has two classes, or there are too few classes or images.
    """
    if limit < 1:
        raise TaskInputError(f"limit must be at least 1 episode per setting, got {limit}: pass --limit 200 or so")
    wanted = parse_settings(settings)
    eligible, need = _eligible(data, ways)
    for setting in wanted:
        if setting.shots > need:
            feasible = ",".join(text for text in SETTING_IDS if Setting.parse(text).shots <= need)
            raise EpisodeError(
                f"setting {setting.id} needs {ways} classes with {setting.shots} images beside the query, "
                f"{data.name!r} has {ways} or more only with {need}: add images or pass --setting {feasible}"
            )
    episodes = [_episode(data, eligible, ways, setting, seed, k) for setting in wanted for k in range(limit)]
    return made_manifest(task, data, seed, ways, limit, [setting.id for setting in wanted], len(eligible), episodes)


def made_manifest(
    task: str,
    data: ImageSet,
    seed: int,
    ways: int,
    limit: int,
    settings: Sequence[str],
    eligible: int,
    episodes: Sequence[Episode],
) -> Manifest:
    """The manifest of episodes, fingerprint and all; fields as in `Manifest`."""
    content: dict[str, Any] = {
        "version": 1,
        "task": task,
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "seed": seed,
        "ways": ways,
        "limit": limit,
        "settings": list(settings),
        "eligible": eligible,
        "episodes": [episode.model_dump(mode="json") for episode in episodes],
    }
    return Manifest.model_validate({**content, "fingerprint": content_digest(content)})


def made_episode(content: dict[str, Any], data_fingerprint: str) -> Episode:
    """The episode of its fields as JSON, fingerprint and all."""
    return Episode.model_validate({**content, "fingerprint": sample_digest(content, data_fingerprint)})


def _eligible(data: ImageSet, ways: int) -> tuple[list[ClassImages], int]:
    """The classes that can take part, by name, and how many examples each can give beside its query."""
    owners: dict[str, str] = {}
    names: dict[str, str] = {}
    for one in data.classes:
        if not one.name.strip() or one.name.splitlines() != [one.name]:
            raise EpisodeError(f"a class name must be one line of text, {data.name!r} has {one.name!r}: rename it")
        spoken = " ".join(one.name.casefold().split())
        if spoken in names:
            raise EpisodeError(
                f"class names must differ, case aside, {data.name!r} has {names[spoken]!r} and {one.name!r}: rename one"
            )
        names[spoken] = one.name
        for image in {*one.support, *one.query}:
            if owners.setdefault(image, one.name) != one.name:
                raise EpisodeError(
                    f"an image must be of one class, {data.name!r} has {image!r} in {owners[image]!r} and "
                    f"{one.name!r}: remove one"
                )
    able = {one.name: _room(one) for one in data.classes}
    for need in SHOTS:
        fit = sorted((one for one in data.classes if able[one.name] >= need), key=lambda one: one.name)
        if len(fit) >= ways:
            return fit, need
    fix = "or pass --task miniimagenet-2way" if ways > 2 and len(fit) >= 2 else "or other data by --data"
    raise EpisodeError(
        f"{ways}-way episodes need {ways} classes with a query image and another to show, "
        f"{data.name!r} has {len(fit)} (of {len(data.classes)} classes): add images {fix}"
    )


def _room(one: ClassImages) -> int:
    """How many examples a class can give whichever of its query images is asked about; 0 where it has no query."""
    support = set(one.support)
    return len(support) - bool(support.intersection(one.query)) if one.query else 0


def _episode(
    data: ImageSet, eligible: Sequence[ClassImages], ways: int, setting: Setting, seed: int, k: int
) -> Episode:
    key = f"spae-fewshot-1/{ways}/{seed}"
    place = Stream(f"{key}/place/{k // ways}").sample(range(ways), ways)[k % ways]
    chosen = Stream(f"{key}/classes/{k}").sample(eligible, ways)
    answer = chosen[place]
    query = Stream(f"{key}/query/{k}").sample(sorted(set(answer.query)), 1)[0]
    shown = [
        Stream(f"{key}/support/{k}/{one.name}").sample(sorted({*one.support} - {query}), setting.shots)
        for one in chosen
    ]
    support = [(shown[c][s], chosen[c].name) for s in range(setting.shots) for c in range(ways)]
    content: dict[str, Any] = {
        "id": f"{ways}way-seed{seed}-{setting.id}-{k:04d}",
        "setting": setting.id,
        "pictures": [*(image for image, _ in support), query],
        "answer": answer.name,
        "index": k,
        "classes": [one.name for one in chosen],
        "support": [list(pair) for pair in support],
        "query": query,
    }
    return made_episode(content, data.fingerprint)
