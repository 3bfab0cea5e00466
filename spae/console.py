"""The consoles of both command lines: rich's, whose text is made safe for a terminal (see `spae.terminal`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress
from rich.segment import Segment
from rich.text import Text

from spae.terminal import SafeStream, escaped, protect_streams


class SafeConsole(Console):
    """A console that prints what is `escaped` and takes text as it stands: a name in brackets is no markup.

    Args:
        stderr: print there.
        width: in columns; None for the terminal's.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False)

    @property
    def file(self) -> IO[str]:
        """The stream behind the safe one: colours are escapes, too."""
        file = super().file
        return file.raw if isinstance(file, SafeStream) else file

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """The text of a cell or a line, safe before its width is measured."""
        return super().render_str(escaped(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of the renderable, their text safe."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escaped(segment.text))


class SafeProgress(Progress):
    """Progress bars on a `SafeConsole`; what is printed meanwhile is put above them, and is safe."""

    def start(self) -> None:
        """Shows the bars. Rich now stands before stdout and stderr, and would take escapes in a text for its own."""
        super().start()
        protect_streams()
