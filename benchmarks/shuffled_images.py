"""Shuffled images: the same prompts, in which every image's words are those of another image.

What a model gets right then, it gets right without seeing: from the question, the examples' answers and their order.
The difference is what the words are worth, and the paired test says whether there is one.

Images that may be asked about change places among themselves, and so do the others, so that the words are as common
as before. One round through all of them, in an order drawn from the seed: no image keeps its own words, and the
exchange is the same for every task, setting, tokenizer and number of samples.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.errors import UsageError
from spae.data.annotations.annotated import AnnotatedSet
from spae.data.protocol import ImageSet
from tasks.rng import Stream


def stand_ins(data: ImageSet, seed: int) -> dict[str, str]:
    """By id of every image, the id of the one whose words it is shown with.

    Raises:
        UsageError: there is but one image in a pool, which can change places with none.
    """
    asked, shown = _pools(data)
    return _round(data.name, "query", asked, seed) | _round(data.name, "support", shown - asked, seed)


def _pools(data: ImageSet) -> tuple[set[str], set[str]]:
    """Ids of the images that may be asked about, and of those that may be examples."""
    if isinstance(data, AnnotatedSet):
        return set(data.query), set(data.support)
    return {name for one in data.classes for name in one.query}, {name for one in data.classes for name in one.support}


def _round(data: str, pool: str, images: Iterable[str], seed: int) -> dict[str, str]:
    names = sorted(images)
    if len(names) == 1:
        raise UsageError(f"--shuffle-images needs two images that change places, {data} has one {pool} image: add")
    order = Stream(f"spae-shuffle-1/{seed}/{pool}").sample(names, len(names))
    return {name: order[(place + 1) % len(order)] for place, name in enumerate(order)}
