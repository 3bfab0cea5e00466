"""Shuffled images: the same prompts, with every image's words replaced by those of another image.

What a model gets right then, it gets right without seeing the images: from the question, the examples' answers and
their order. The difference is what the words are worth, and the paired test says whether it is significant.

Query images are permuted among themselves, and so are the others, so that words stay as frequent as before. The
permutation is one cycle through all of them in an order sampled from the seed: no image keeps its own words, and the
permutation is the same for every task, setting, tokenizer and number of samples.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.errors import UsageError
from spae.data.annotations.annotated import AnnotatedSet
from spae.data.protocol import ImageSet
from tasks.rng import Stream


def shuffle_images(data: ImageSet, seed: int) -> dict[str, str]:
    """Id of every image -> id of the image whose words it is shown with.

    Raises:
        UsageError: there is only one query image, or only one other image.
    """
    if isinstance(data, AnnotatedSet):
        queries, support = set(data.query), set(data.support)
    else:
        queries = {name for one in data.classes for name in one.query}
        support = {name for one in data.classes for name in one.support}
    return _cycle(data.name, "query", queries, seed) | _cycle(data.name, "support", support - queries, seed)


def _cycle(data: str, pool: str, images: Iterable[str], seed: int) -> dict[str, str]:
    names = sorted(images)
    if len(names) == 1:
        raise UsageError(f"--shuffle-images needs two {pool} images or more, {data} has one: add images")
    order = Stream(f"spae-shuffle-1/{seed}/{pool}").sample(names, len(names))
    return {name: order[(place + 1) % len(order)] for place, name in enumerate(order)}
