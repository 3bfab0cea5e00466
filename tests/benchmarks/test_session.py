"""A run from options to report: which error the user sees, and what the report needs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.plan
import benchmarks.session
from results.report.write import write_reports

from .conftest import ColourTokenizer, Command

pytestmark = pytest.mark.usefixtures("home")
ARGUMENTS = (
    "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--data", "photos", "--scoring", "exact",
    "--setting", "i1-s1-r0", "--limit", "12", "--out", "out",
)  # fmt: skip


@pytest.mark.parametrize("error", [OSError("disk full"), KeyError("a defect")], ids=["deliberate", "defect"])
def test_an_error_of_the_report_does_not_hide_the_error_of_the_run(
    photos: Path, tokenizers: dict[str, ColourTokenizer], script: Callable[..., str], command: Command,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(benchmarks.session, "make_examples", fail)
    with caplog.at_level(logging.WARNING):
        code, _, err = command(*ARGUMENTS, "--llm", script(failures={"10": "unavailable"}))
    assert code == 2 and "the server refuses the key" in err and "disk full" not in err and err.count("\n") == 1
    assert ("disk full" in caplog.text) == isinstance(error, OSError)


def test_an_error_of_the_report_of_a_complete_run_is_raised(
    photos: Path, tokenizers: dict[str, ColourTokenizer], script: Callable[..., str], command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(benchmarks.session, "make_examples", fail)
    code, _, err = command(*ARGUMENTS, "--llm", script())
    assert code == 2 and "disk full" in err and err.count("\n") == 1


def test_the_report_is_written_from_the_folder_alone(
    photos: Path, tokenizers: dict[str, ColourTokenizer], script: Callable[..., str], command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert command(*ARGUMENTS, "--llm", script())[0] == 0
    page = Path("out/report.html").read_text()
    Path("out/report.html").unlink()
    photos.rename("elsewhere")
    monkeypatch.setattr(benchmarks.plan, "open_tokenizer", None)
    write_reports(Path("out"))
    assert Path("out/report.html").read_text() == page
