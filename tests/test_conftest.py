"""The rule that nothing is skipped in CI, on small test files of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_inside():
    pytest.skip("no such program")

@pytest.mark.skipif(True, reason="no such model")
def test_before():
    pass

@pytest.mark.gpu
def test_accelerator():
    pytest.skip("no accelerator")

@pytest.mark.xfail(reason="known")
def test_known():
    assert False
"""
WHOLE_FILE = """
import pytest

pytest.importorskip("no_such_package", reason="no such package")
"""


@pytest.mark.parametrize(
    ("suite", "ci", "code", "summary"),
    [
        pytest.param(SUITE, "", 0, "3 skipped, 1 xfailed in", id="at-home"),
        pytest.param(SUITE, "true", 1, "1 failed, 1 skipped, 1 xfailed, 1 error in", id="in-ci"),
        pytest.param(WHOLE_FILE, "", 5, "1 skipped in", id="at-home-a-whole-file"),
        pytest.param(WHOLE_FILE, "true", 2, "1 error in", id="in-ci-a-whole-file"),
    ],
)
def test_skips_fail_in_ci_only(tmp_path: Path, suite: str, ci: str, code: int, summary: str) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    (tmp_path / "test_some.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env={"CI": ci}, capture_output=True, text=True, timeout=300)
    assert (done.returncode, summary in done.stdout) == (code, True), done.stdout + done.stderr
    assert ("may not be skipped in CI" in done.stdout) == (ci == "true")
