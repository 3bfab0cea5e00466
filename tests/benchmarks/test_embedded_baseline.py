"""The baseline that comes with the project, and the places that check it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from results.regression.baseline import FILES, read_baseline

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "results" / "baselines" / "embedded"
MOST_SECONDS = 20.0


def test_embedded_baseline_is_small_and_covers_every_task_setting_and_tokenizer() -> None:
    baseline = read_baseline(EMBEDDED)
    assert sum((EMBEDDED / name).stat().st_size for name in FILES) < 5_000_000
    assert {record.task for record in baseline.records} == {"miniimagenet-2way", "miniimagenet-5way"}
    assert {record.tokenizer for record in baseline.records} == {"spae", "vqgan"}
    assert {record.scoring for record in baseline.records} == {"ranked", "exact", "prefix", "contains"}
    assert {record.setting for record in baseline.records} == {
        "i0-s1-r0", "i1-s1-r0", "i1-s3-r0", "i1-s5-r0", "i1-s1-r1", "i1-s1-r3", "i1-s1-r5",
    }  # fmt: skip
    assert {record.status for record in baseline.records} <= {"scored", "empty"}


NO_SOCKET = """
import socket
class Refusing(socket.socket):
    def __init__(self, *arguments, **options):
        raise AssertionError("a check opened a socket")
socket.socket = Refusing
from benchmarks.cli import run_command_line
run_command_line()
"""


@pytest.mark.slow
def test_embedded_baseline_is_equal_without_a_socket_and_in_time(tmp_path: Path) -> None:
    """In CPU time of the whole command, start-up included, which a busy machine changes less."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", NO_SOCKET, "check", str(EMBEDDED), "--junit", str(tmp_path / "check.xml")],
        cwd=ROOT, env=os.environ | {"SPAE_CACHE": str(tmp_path / "cache")}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, f"if the change is meant, make it again: make baseline\n{done.stdout}{done.stderr}"
    assert "embedded: equal" in done.stdout
    assert not (tmp_path / "cache" / "replies.sqlite").exists()
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert 0 < seconds < MOST_SECONDS, seconds


def test_ci_checks_the_baseline_before_the_tests() -> None:
    steps = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert steps[-2:] == ["make check", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert "BASELINE ?= results/baselines/embedded\n" in makefile and "\ncheck: " in makefile
    assert "make check BASELINE=results/baselines/embedded" in (ROOT / ".github/workflows/check.yml").read_text()
