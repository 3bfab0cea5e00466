"""Fingerprints of the embedded data and of the first ten samples of every task: another hash is another benchmark."""

from __future__ import annotations

import pytest

from tasks.registry import BUILT_IN, entry, open_data, open_task

PICTOGRAMS = "01b219c7bca407e3019a3709f09764436d8d909cd8ca6897039a8d61458db747"
SCENES = "744fee30cbf7c4725278281fe700de67f77eaa4b8c189d64f001855c3a2fc046"
MANIFESTS = {
    "miniimagenet-2way": (PICTOGRAMS, "7d265be1919ebf796bd92b464e57b35fe2b9679c3fa3e55c6d335204eb84d888"),
    "miniimagenet-5way": (PICTOGRAMS, "23a7a0cf0e1224645c0ab9df24ac341700acf15f28787e843917a531b58022c6"),
    "coco-captioning": (SCENES, "69a6810a2d8b12d71b764882207f703f3077098ac34495829150815d80582092"),
    "coco-qa": (SCENES, "cbc22bf5bbdc0afa1a477c3a69ea28c69dae6687e2f2fb3812e785857da2ef4c"),
    "real-fast-vqa": (SCENES, "11fb021dde2654d470438a3a0158506bbb797e4b57efe04d80d48baef67b7e81"),
}


def test_every_task_is_pinned() -> None:
    assert list(MANIFESTS) == list(BUILT_IN)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_the_published_ones(name: str) -> None:
    facts, task = entry(name), open_task(name)
    data = open_data(facts, facts.default_data)
    manifest = task.samples(data, task.settings, 0, 10)
    assert (data.fingerprint, manifest.fingerprint) == MANIFESTS[name]
