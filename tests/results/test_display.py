"""Hostile text made visible; numbers as printed."""

import pytest

from results.display import csv_text, markdown_text, number, one_line, p_text, signed, visible


@pytest.mark.parametrize(("text", "shown"), [
    ("plain, 'quoted'", "plain, 'quoted'"),
    ("a\n\tb", "a\n\tb"),
    ("\u202eevil\u2066x\u200b", "⟨U+202E⟩evil⟨U+2066⟩x⟨U+200B⟩"),
    ("\x1b[31mred\x00\r", "⟨U+001B⟩[31mred⟨U+0000⟩⟨U+000D⟩"),
    ("a\u2028b", "a⟨U+2028⟩b"),
    ("löwe 獅子 ✓", "löwe 獅子 ✓"),
])  # fmt: skip
def test_visible(text, shown):
    assert visible(text) == shown


def test_one_line_is_one_line():
    assert one_line("a\nb\tc") == "a⏎b c"


def test_markdown_stays_text():
    assert markdown_text("<b>|[x](y)`*_\n#") == "&lt;b&gt;\\|\\[x\\](y)\\`\\*\\_⏎\\#"


@pytest.mark.parametrize(("text", "field"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("-", "-"), ("ranked", "ranked")])
def test_csv_runs_no_formula(text, field):
    assert csv_text(text) == field


def test_numbers():
    assert (number(52.04), signed(-3.14), signed(0.0), p_text(0.0004), p_text(0.0312)) == (
        "52.0",
        "−3.1",
        "+0.0",
        "< 0.001",
        "0.031",
    )
