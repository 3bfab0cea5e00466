"""Words of an image for people."""

from __future__ import annotations

import io

from rich.console import Console

from spae.tokenizers.shown_words import plain_words, rich_words
from spae.tokens import ImageTokens

TOKENS = ImageTokens(
    ((0,), (1, 2, 3, 4), (5, 6)),
    (("lion",), ("cat", "a", "[red]", "tree"), ("x", "y")),
    ((1, 1), (2, 2), (1, 2)),
)


def test_plain_text_is_a_grid_for_each_layer():
    assert plain_words("lion.png", TOKENS, (1, 2)).splitlines() == [
        "lion.png",
        "  layer 1, 1 x 1",
        "    lion",
        "  layer 2, 2 x 2",
        "    cat    a",
        "    [red]  tree",
    ]
    assert plain_words("lion.png", TOKENS, (3,)).splitlines()[1:] == ["  layer 3, 1 x 2", "    x  y"]


def test_a_terminal_shows_every_word_in_its_row():
    stream = io.StringIO()
    console = Console(file=stream, width=60, force_terminal=True, color_system=None)
    console.print(*rich_words("lion.png", TOKENS, (1, 2)), sep="\n")
    lines = stream.getvalue().splitlines()
    (row,) = [line for line in lines if "[red]" in line]
    assert "tree" in row and any("cat" in line and " a " in line for line in lines)
    assert "layer 2, 2 x 2" in stream.getvalue()


def test_a_file_name_cannot_move_the_cursor():
    for name in ("a\nb.png", "\x1b[2Jb.png"):
        assert len(plain_words(name, TOKENS, (1,)).splitlines()) == 3 and "\x1b" not in plain_words(name, TOKENS, (1,))
