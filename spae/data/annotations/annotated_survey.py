"""A survey of images with captions or questions whose set is open already: only an image can still be faulty."""

from __future__ import annotations

from collections.abc import Iterator

from spae.data.annotations.annotated import AnnotatedSet
from spae.data.validation.protocol import Fault
from spae.errors import CorruptImage


class AnnotatedSurvey:
    """See `spae.data.validation.protocol.Survey`.

    Args:
        data: the open set.
    """

    def __init__(self, data: AnnotatedSet) -> None:
        self._data = data
        self.title = data.title
        self.total = len(data.annotations)
        self.counts: dict[str, int] = {}

    def faults(self) -> Iterator[Fault | None]:
        """Decodes every image."""
        said = self._data.annotations
        counts = {
            "images": len(said),
            "captions": sum(len(one.captions) for one in said.values()),
            "questions": sum(len(one.questions) for one in said.values()),
        }
        self.counts = {name: count for name, count in counts.items() if count}
        for image in sorted(said):
            try:
                self._data.image(image)
            except CorruptImage as error:
                yield Fault(image, "", str(error))
            else:
                yield None

    def opened(self) -> AnnotatedSet:
        """The set itself."""
        return self._data
