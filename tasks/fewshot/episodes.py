"""Few-shot episodes: how they are sampled, and the manifest that keeps them.

K classes (the ways), S examples of each (the shots). Episode k of (ways, seed) has the same classes in the same order,
the same query and the same examples in the same order in every setting, S of each class: settings are nested and
paired, and 20 episodes are the first 20 of 200. Each choice has its own stream (`tasks.rng`), keyed
`spae-fewshot-1/<ways>/<seed>/...`, over names and image ids in code point order:

    place     <k // ways>         the answer's places in `ways` consecutive episodes: each place once
    classes   <k>                 the K classes, in the order of the prompt
    query     <k>                 one of the answer's query images
    support   <k>/<class name>    the order of a class's examples, the query left out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from spae.canonical import folded, sha256_json
from spae.data.protocol import ClassImages, ImageSet
from tasks.errors import EpisodeError, ManifestError
from tasks.manifest import ManifestFile, check_fingerprints, check_limit, narrowing, of_setting, sample_digest
from tasks.protocol import Sample
from tasks.rng import Stream
from tasks.settings import SETTING_IDS, Setting, parse_settings

SHOTS = (5, 3, 1)
"""The numbers of shots that the protocol's settings ask for, largest first."""


class Episode(Sample):
    """A few-shot question: labelled examples, then an image to classify.

    `images` is the support in order, then the query; `fingerprint` also covers the data's.
    """

    index: int = Field(ge=0, description="k: episodes of one k are paired across settings")
    classes: tuple[str, ...] = Field(min_length=2, description="the K names, in the order of the prompt")
    support: tuple[tuple[str, str], ...] = Field(
        description="(image id, class) of one block of examples, c1,c2,..,c1,c2,..: K*S pairs, shown R+1 times"
    )
    query: str = Field(description="id of the image to classify")

    @property
    def choices(self) -> tuple[str, ...]:
        """The K classes."""
        return self.classes

    @property
    def labels(self) -> dict[str, str]:
        """The class of each example."""
        return dict(self.support)

    @model_validator(mode="after")
    def _is_an_episode(self) -> Episode:
        ids = tuple(image for image, _ in self.support)
        shots = len(self.support) // len(self.classes)
        if len(set(self.classes)) != len(self.classes) or self.target not in self.classes:
            raise ValueError(f"classes must differ and hold the answer, got {self.classes} and {self.target!r}")
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
    eligible: int = Field(ge=2, description="classes with enough images, from which the episodes' classes were sampled")
    episodes: tuple[Episode, ...] = Field(description="setting after setting, `limit` of each, in order")
    fingerprint: str = Field(description="sha256 over all of the above")

    @model_validator(mode="after")
    def _is_whole(self) -> Manifest:
        wanted = [(setting, k) for setting in self.settings for k in range(self.limit)]
        if [(episode.setting, episode.index) for episode in self.episodes] != wanted:
            raise ValueError(f"episodes must be {self.limit} of each of {', '.join(self.settings)}, in order")
        for episode in self.episodes:
            if len(episode.classes) != self.ways:
                raise ValueError(f"episode {episode.id} must have {self.ways} classes, got {len(episode.classes)}")
        check_fingerprints(self, "episodes")
        return self

    def of(self, setting: str) -> tuple[Episode, ...]:
        """The episodes of one setting, in order of k. Raises TaskInputError for a setting it does not hold."""
        return of_setting(setting, self.settings, self.episodes)

    def narrowed(self, settings: Sequence[str] | None, limit: int | None) -> Manifest:
        """The manifest of only these settings, and so many episodes of each; None takes all.

        Raises:
            TaskInputError: a setting is not in it, or it has fewer episodes of each.
        """
        kept, count = narrowing(self.settings, self.limit, settings, limit)
        episodes = [episode for setting in kept for episode in self.of(setting)[:count]]
        content = self.model_dump(mode="json", exclude={"fingerprint"})
        content |= {
            "settings": list(kept),
            "limit": count,
            "episodes": [one.model_dump(mode="json") for one in episodes],
        }
        return Manifest.model_validate({**content, "fingerprint": sha256_json(content)})

    def check_source(self, task: str, data: ImageSet) -> None:
        """Raises ManifestError unless the episodes are of this task and these images (it names a missing one)."""
        there = {image for one in data.classes for image in (*one.support, *one.query)}
        missing = {image for episode in self.episodes for image in episode.images if image not in there}
        if missing and self.task == task:
            raise ManifestError(
                f"every image of a manifest must be in the data, {data.name!r} lacks {len(missing)}, "
                f"{min(missing)!r} first: pass the data it was sampled from ({self.data!r}), or sample it again"
            )
        super().check_source(task, data)


def sample_episodes(task: str, data: ImageSet, ways: int, settings: Sequence[str], seed: int, limit: int) -> Manifest:
    """Samples the first `limit` episodes of each setting.

    A class is eligible with a query image and `need` images to show beside it; need is the largest of 5, 3 and 1 that
    at least `ways` classes reach, whichever settings are asked for (else they would not be paired).

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
    check_limit(limit, "episodes")
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
    return build_manifest(task, data, seed, ways, limit, [setting.id for setting in wanted], len(eligible), episodes)


def build_manifest(
    task: str,
    data: ImageSet,
    seed: int,
    ways: int,
    limit: int,
    settings: Sequence[str],
    eligible: int,
    episodes: Sequence[Episode],
) -> Manifest:
    """The manifest of episodes, with its fingerprint; fields as in `Manifest`."""
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
    return Manifest.model_validate({**content, "fingerprint": sha256_json(content)})


def build_episode(content: dict[str, Any], data_fingerprint: str) -> Episode:
    """The episode of fields given as JSON values, with its fingerprint."""
    return Episode.model_validate({**content, "fingerprint": sample_digest(content, data_fingerprint)})


def _eligible(data: ImageSet, ways: int) -> tuple[list[ClassImages], int]:
    """The eligible classes, by name, and how many examples each can give beside its query."""
    owners: dict[str, str] = {}
    names: dict[str, str] = {}
    for one in data.classes:
        if not one.name.strip() or one.name.splitlines() != [one.name]:
            raise EpisodeError(f"a class name must be one line of text, {data.name!r} has {one.name!r}: rename it")
        spoken = " ".join(folded(one.name).split())
        if spoken in names:
            raise EpisodeError(
                f"class names must differ, ignoring case, {data.name!r} has {names[spoken]!r} and {one.name!r}: "
                "rename one"
            )
        names[spoken] = one.name
        for image in {*one.support, *one.query}:
            if owners.setdefault(image, one.name) != one.name:
                raise EpisodeError(
                    f"an image must have one class, {data.name!r} has {image!r} in {owners[image]!r} and "
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
    """Examples a class has beside any of its query images; 0 without a query."""
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
    return build_episode(content, data.fingerprint)
