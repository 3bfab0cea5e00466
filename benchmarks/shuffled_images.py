"""Shuffled pictures: the same prompts, in which every picture's words are those of another picture.

What a model gets right then, it gets right without seeing: from the question, the examples' answers and their order.
The difference is what the words are worth, and the paired test says whether there is one.

Pictures that may be asked about change places among themselves, and so do the others, so that the words are as common
as before. One round through all of them, in an order drawn from the seed: no picture keeps its own words, and the
exchange is the same for every task, setting, tokenizer and number of samples.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.errors import UsageError
from spae.data.annotations.annotated import AnnotatedSet
from spae.data.protocol import PictureSet
from tasks.rng import Stream


def stand_ins(data: PictureSet, seed: int) -> dict[str, str]:
    """By id of every picture, the id of the one whose words it is shown with.

    Raises:
        UsageError: there is but one picture in a pool, which can change places with none.
    """
    asked, shown = _pools(data)
    return _round(data.name, "query", asked, seed) | _round(data.name, "support", shown - asked, seed)


def _pools(data: PictureSet) -> tuple[set[str], set[str]]:
    """Ids of the pictures that may be asked about, and of those that may be examples."""
    if isinstance(data, AnnotatedSet):
        return set(data.query), set(data.support)
    return {name for one in data.classes for name in one.query}, {name for one in data.classes for name in one.support}


def _round(data: str, pool: str, pictures: Iterable[str], seed: int) -> dict[str, str]:
    names = sorted(pictures)
    if len(names) == 1:
        raise UsageError(f"--shuffle-images needs two pictures that change places, {data} has one {pool} picture: add")
    order = Stream(f"spae-shuffle-1/{seed}/{pool}").sample(names, len(names))
    return {name: order[(place + 1) % len(order)] for place, name in enumerate(order)}
