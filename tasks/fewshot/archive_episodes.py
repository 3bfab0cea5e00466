"""Few-shot episodes that are published with their data (arXiv 2106.13884), used in their order.

The archive's shots are a setting's inner shots; task induction and repeats are matters of the prompt, so the settings
of one number of shots ask the same questions. Episode k is question k of its file: across numbers of shots, episodes of
one k are other questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spae.data.protocol import FixedEpisode, HoldsEpisodes, ImageSet
from tasks.errors import EpisodeError, TaskInputError
from tasks.fewshot.episodes import Episode, Manifest, build_episode, build_manifest
from tasks.settings import SETTING_IDS, Setting, parse_settings


def published_episodes(
    task: str, data: ImageSet, held: HoldsEpisodes, ways: int, settings: Sequence[str], seed: int, limit: int
) -> Manifest:
    """The first `limit` questions of each setting; fewer if a setting has fewer.

    Args:
        task: name of the task, kept in the manifest.
        data: the image set; `held` is the same object, as the holder of episodes.
        ways: K.
        settings: ids, each once.
        seed: kept in the manifest; nothing is sampled.
        limit: at least 1.

    Raises:
        TaskInputError: a setting is unknown or named twice, or limit is below 1.
        EpisodeError: the archive has no questions of a setting's shots, or none of so many ways.
    """
    if limit < 1:
        raise TaskInputError(f"limit must be at least 1 episode per setting, got {limit}: pass --limit 200 or so")
    wanted = parse_settings(settings)
    shots_there = {shots for shots, k in held.kinds if k == ways}
    for setting in wanted:
        if setting.shots not in shots_there:
            lacking = f"questions of {setting.shots} shots and {ways} ways"
            raise EpisodeError(f"{data.name!r} has no {lacking}, {_fix(held, ways)}")
    questions = {setting.id: held.episodes(setting.shots, ways) for setting in wanted}
    count = min(limit, *(len(found) for found in questions.values()))
    episodes = [
        _episode(data, one, setting, k) for setting in wanted for k, one in enumerate(questions[setting.id][:count])
    ]
    eligible = len({name for found in questions.values() for one in found for name in one.classes})
    return build_manifest(task, data, seed, ways, count, [setting.id for setting in wanted], eligible, episodes)


def _fix(held: HoldsEpisodes, ways: int) -> str:
    """Which settings the archive has, as the rest of a message."""
    able = [text for text in SETTING_IDS if (Setting.parse(text).shots, ways) in held.kinds]
    kinds = ", ".join(f"{shots}-shot {k}-way" for shots, k in held.kinds)
    return f"it has {kinds}: pass --setting {','.join(able)}" if able else f"it has {kinds}: run the task of these ways"


def _episode(data: ImageSet, one: FixedEpisode, setting: Setting, k: int) -> Episode:
    content: dict[str, Any] = {
        "id": f"{len(one.classes)}way-published-{setting.id}-{one.id.replace('_', '-').replace('.', '-')}-{k:04d}",
        "setting": setting.id,
        "pictures": [*(image for image, _ in one.support), one.query],
        "answer": one.answer,
        "index": k,
        "classes": list(one.classes),
        "support": [list(pair) for pair in one.support],
        "query": one.query,
    }
    return build_episode(content, data.fingerprint)
