"""The embedded image sets by name: static facts, on the standard library alone. `spae.data.opening` opens them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SetEntry:
    """Static facts of a set.

    Attributes:
        name: what a user types after `--data`.
        target: "module:attribute" of a callable that takes nothing and returns the set.
        title: one line for `ls`.
        stands_for: the published set that it takes the place of and is not, as reports must say.
        embedded: whether it ships with this project.
        needs: what a user must bring; empty for embedded sets.
    """

    name: str
    target: str
    title: str
    stands_for: str
    embedded: bool
    needs: str = ""


SETS: dict[str, SetEntry] = {
    entry.name: entry
    for entry in (
        SetEntry(
            name="pictograms",
            target="spae.data.embedded.pictograms:PictogramSet",
            title="521 concepts in open pictogram styles; queries in a style never trained on; not mini-ImageNet",
            stands_for="mini-ImageNet",
            embedded=True,
        ),
        SetEntry(
            name="pictograms-new",
            target="spae.data.embedded.pictograms:new_concepts",
            title="130 concepts never trained on; queries in a style never trained on; not mini-ImageNet",
            stands_for="mini-ImageNet",
            embedded=True,
        ),
        SetEntry(
            name="scenes",
            target="spae.data.embedded.scenes:open_scenes",
            title="one to three pictograms placed on white, with captions and questions; queries in a style never "
            "trained on; not COCO, not VQA",
            stands_for="COCO, not VQA",
            embedded=True,
        ),
        SetEntry(
            name="scenes-new",
            target="spae.data.embedded.scenes:new_scenes",
            title="scenes of things never trained on in any style; not COCO, not VQA",
            stands_for="COCO, not VQA",
            embedded=True,
        ),
        SetEntry(
            name="mnist",
            target="spae.data.embedded.mnist:MnistSet",
            title="2,000 training and 1,000 test digits of the real MNIST",
            stands_for="mini-ImageNet",
            embedded=True,
        ),
    )
}
