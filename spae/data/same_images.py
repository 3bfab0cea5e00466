"""Images that are equal pixel by pixel where that spoils a score: of two classes, or a query and its example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.archives.vqa import VqaArchive
from spae.data.issues import DataIssue
from spae.data.protocol import HoldsEpisodes, ImageSet


def same_images(data: ImageSet | AnnotatedSet, digests: Mapping[str, bytes]) -> Iterator[DataIssue]:
    """One issue for each such image.

    Args:
        data: the whole set.
        digests: image id -> hash of its pixels.
    """
    groups: dict[bytes, list[str]] = {}
    for image in sorted(digests):
        groups.setdefault(digests[image], []).append(image)
    pairs = [(first, other) for first, *others in groups.values() for other in others]
    if not pairs:
        return
    classes = {
        image: one.name for one in getattr(data, "classes", ()) for image in (*one.support, *one.query)
    }  # questions and captions have none
    mixed = {pair for pair in pairs if classes.get(pair[0]) != classes.get(pair[1])}
    for first, other in sorted(mixed):
        why = f"it is of class {classes.get(first)!r} here and of {classes.get(other)!r} there: remove the wrong one"
        yield _issue(first, other, why)
    fixed = _fixed_prompts(data)
    if fixed is not None:
        for support, query in fixed:
            for image in support:
                if image != query and digests.get(image) == digests.get(query, b""):
                    yield _issue(query, image, "it is an example of its own question: remove that question")
        return
    asked, shown = _pools(data)
    for first, other in pairs:
        if (first, other) not in mixed and {first, other} & asked and {first, other} & shown:
            yield _issue(first, other, "one may stand as an example beside the other, which is asked about: remove one")


def _issue(first: str, other: str, why: str) -> DataIssue:
    return DataIssue(first, "", f"every image must be another one, {other} is the same, and {why}")


def _fixed_prompts(data: ImageSet | AnnotatedSet) -> list[tuple[Sequence[str], str]] | None:
    """(examples, query) of each question that data bring with them; None where questions are sampled."""
    if isinstance(data, VqaArchive):
        return [([s.image for s in one.support], one.query) for n in data.shots for one in data.questions(n)]
    if isinstance(data, HoldsEpisodes):
        return [([i for i, _ in one.support], one.query) for kind in data.kinds for one in data.episodes(*kind)]
    return None


def _pools(data: ImageSet | AnnotatedSet) -> tuple[set[str], set[str]]:
    """The images that may be asked about, and those that may be examples."""
    if isinstance(data, AnnotatedSet):
        return set(data.query), set(data.support)
    return {i for one in data.classes for i in one.query}, {i for one in data.classes for i in one.support}
