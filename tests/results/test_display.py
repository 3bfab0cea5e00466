"""Hostile text made visible; numbers as printed."""

import pytest

from results.display import (
    axis_text,
    colour_numbers,
    csv_text,
    hundredfold,
    markdown_text,
    number,
    one_line,
    p_text,
    scale,
    signed,
    unit_text,
    visible,
)
from results.record import MetricFacts
from spae.metrics.captions import CAPTION_METRICS


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


def test_cider_is_shown_as_the_paper_and_coco_print_it():
    cider = next(metric for metric in CAPTION_METRICS if metric.name == "CIDEr-D")
    facts = MetricFacts.model_validate(cider.model_dump())
    assert number(0.131 * scale(facts), hundredfold(facts)) == "13.1"
    assert (unit_text(facts), axis_text(facts)) == ("times 100", "CIDEr-D, times 100")


def test_every_tokenizer_has_its_own_colour_in_every_run():
    names = ["spae", "spae-plain", "vqgan", "lqae-without-lm", "spae-mnist", "mine"]
    together = colour_numbers(names)
    assert sorted(together.values()) == list(range(6))
    assert all(colour_numbers([name])[name] == together[name] for name in names[:5])
    assert colour_numbers(reversed(names)) == together
    assert set(colour_numbers([*names, "a", "b", "c"])) == {*names, "a", "b", "c"}
