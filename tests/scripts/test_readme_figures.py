"""The figures of the pages come from the committed reports."""

from __future__ import annotations

import pytest

from scripts.readme_figures import ROOT, SENTENCES, main, written


def test_the_pages_hold_the_figures_of_the_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("right", "typed"),
    [
        ("all\n  four reach 0.0280", "all\n  four reach 0.029"),
        ("73.0 (66.5–78.7)", "74.0 (66.5–78.7)"),
        ("`spae` has 35.0 and 57.5", "`spae` has 35 and 60"),
        ("from 2.3 to 13.1 (p = 0.023", "from 2 to 13 (p = 0.02"),
    ],
)
def test_a_figure_typed_by_hand_is_put_right(right: str, typed: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(right) == 1
    assert written("README.md", text.replace(right, typed)) == text


@pytest.mark.parametrize("page", SENTENCES)
def test_a_sentence_that_is_not_there_is_named(page: str) -> None:
    with pytest.raises(SystemExit, match=f"{page} must hold these words once, it does 0 times"):
        written(page, "Nothing.")
