"""The words of an image as text: each layer as its grid, plain or for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spae.tokens import ImageTokens

if TYPE_CHECKING:
    from rich.console import RenderableType


def layer_rows(tokens: ImageTokens, layer: int) -> list[tuple[str, ...]]:
    """The words of a layer (from 1), one tuple a row of its grid."""
    words, (_, columns) = tokens.words[layer - 1], tokens.grids[layer - 1]
    return [words[start : start + columns] for start in range(0, len(words), columns)]


def plain_words(name: str, tokens: ImageTokens, layers: Sequence[int]) -> str:
    """Lines of text: the name, then each layer with its words in columns."""
    lines = [one_line(name)]
    for layer in layers:
        rows = layer_rows(tokens, layer)
        lines.append(f"  {_title(tokens, layer)}")
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (word.ljust(width) for word, width in zip(row, widths, strict=True))
            lines.append(f"    {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def rich_words(name: str, tokens: ImageTokens, layers: Sequence[int]) -> Iterator[RenderableType]:
    """The same for a terminal, each layer a table of its grid."""
    from rich.box import SQUARE
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    yield Text(one_line(name), style="bold")
    for layer in layers:
        table = Table(
            title=_title(tokens, layer), title_justify="left", title_style="dim", box=SQUARE,
            show_header=False, show_lines=True, pad_edge=False,
        )  # fmt: skip
        for _ in range(tokens.grids[layer - 1][1]):
            table.add_column(no_wrap=True, overflow="ellipsis", justify="center")
        for row in layer_rows(tokens, layer):
            # Text, not str: a word such as [red] is not markup.
            table.add_row(*(Text(word) for word in row))
        yield Padding(table, (0, 0, 0, 2))


def one_line(name: str) -> str:
    """A file's name without control characters, which could move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _title(tokens: ImageTokens, layer: int) -> str:
    rows, columns = tokens.grids[layer - 1]
    return f"layer {layer}, {rows} x {columns}"
