"""The image sets there are, by name, and how to open one.

Imports nothing but the standard library until a set is opened.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spae.errors import UnknownName

if TYPE_CHECKING:
    from spae.data.protocol import ImageSet


@dataclass(frozen=True)
class SetEntry:
    """What is known of a set without loading it.

    Attributes:
        name: what a user types after `--data`.
        target: "module:attribute" of a callable that takes nothing and returns the set.
        title: one line for `ls`.
        embedded: True where it ships with this project.
        needs: what a user must bring; empty for embedded sets.
    """

    name: str
    target: str
    title: str
    embedded: bool
    needs: str = ""


SETS: dict[str, SetEntry] = {
    entry.name: entry
    for entry in (
        SetEntry(
            name="pictograms",
            target="spae.data.embedded.pictograms:PictogramSet",
            title="521 concepts drawn in open pictogram styles; queries in a style never trained on; not mini-ImageNet",
            embedded=True,
        ),
        SetEntry(
            name="pictograms-new",
            target="spae.data.embedded.pictograms:new_concepts",
            title="130 concepts never trained on; queries in a style never trained on; not mini-ImageNet",
            embedded=True,
        ),
        SetEntry(
            name="scenes",
            target="spae.data.embedded.scenes:open_scenes",
            title="one to three pictograms placed on white, with captions and questions; queries in a style never "
            "trained on; not COCO, not VQA",
            embedded=True,
        ),
        SetEntry(
            name="scenes-new",
            target="spae.data.embedded.scenes:new_scenes",
            title="scenes of things never trained on in any style; not COCO, not VQA",
            embedded=True,
        ),
        SetEntry(
            name="mnist",
            target="spae.data.embedded.mnist:MnistSet",
            title="2,000 training and 1,000 test digits of the real MNIST",
            embedded=True,
        ),
    )
}
# Shown by `ls` beside the names: any path works where a name does.
PATH_HELP = "PATH: class folders, a csv (filename,label) beside images/, a few-shot archive (.tar.gz), or hf:NAME"
# Endings of what can only be a path.
FILES = (".csv", ".tar", ".tgz", ".gz", ".parquet")


def open_set(spec: str) -> ImageSet:
    """Opens a set by its name or by a path.

    A registered name wins over a folder of that name; write `./mnist` for the folder.

    Raises:
        UnknownName: neither a name nor an existing path.
        DataError: the set cannot be used.
    """
    if spec in SETS:
        module, _, attribute = SETS[spec].target.partition(":")
        factory = cast("Callable[[], ImageSet]", getattr(importlib.import_module(module), attribute))
        return factory()
    path = Path(spec.partition("?")[0])
    # What can only be a path goes to the reader, whose message says which path is missing.
    is_path = os.path.exists(path) or "/" in spec or "\\" in spec or path.suffix.lower() in FILES
    if spec and (is_path or spec.startswith("hf:")):
        from spae.data.user_set import open_user_set

        return open_user_set(spec)
    raise UnknownName("data set (a name, or the path of a folder of class folders or of a csv)", spec, SETS)
