"""Consoles: rich's own escapes stay, those of a text do not, and a name in brackets is no markup."""

from __future__ import annotations

import io
import sys

import pytest
from rich.table import Table
from rich.text import Text

from spae.console import SafeConsole
from spae.terminal import SafeStream


class Screen(io.StringIO):
    """What a terminal gets."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, what: object) -> str:
    """What a console puts on a terminal, through the safe stdout."""
    raw = Screen()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SafeStream(raw))
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        SafeConsole(width=100).print(what, highlight=False)
    return raw.getvalue()


def test_colours_stay_and_escapes_of_a_text_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Text("bad\x1b[2J", style="red")) == "\x1b[31mbad\\u001b[2J\x1b[0m\n"


@pytest.mark.parametrize("text", ["[red]x[/red]", "[link=file:///x]y[/link]", ":smile:"])
def test_brackets_and_colons_are_no_markup(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert shown(monkeypatch, text) == text + "\n"


def test_cells_and_titles_are_escaped_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("head\x1b]0;x\x1b\\", title="title\u202e")
    table.add_row("cell\x1b[2J")
    seen = shown(monkeypatch, table)
    assert "\x1b]" not in seen and "\x1b[2J" not in seen and "\u202e" not in seen
    assert "head\\u001b]0;x\\u001b\\" in seen and "title\\u202e" in seen and "cell\\u001b[2J" in seen


def test_other_streams_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", raw)
        SafeConsole(stderr=True).print("x\x1b[2J")
    assert raw.getvalue() == "x\\u001b[2J\n"
