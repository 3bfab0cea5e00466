"""Parts of other packages: whatever they do, one line names them, and everything else works."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spae.plugins import Plugin, PluginError, check_kind, failed_in, guarded, load_part
from spae.tokenizers.protocol import Tokenizer

ROOT = Path(__file__).parents[2]
BAD = Plugin("spae.tokenizers", "bad", "bad_package:make", "bad-package")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        pytest.param(KeyError("x"), "KeyError: 'x'", id="raises"),
        pytest.param(SystemExit(3), r"it exits \(3\)", id="exits"),
        pytest.param(asyncio.CancelledError("late"), "CancelledError: late", id="no Exception"),
        pytest.param(RecursionError("deep\nand deeper"), "RecursionError: deep and deeper", id="two lines"),
    ],
)
def test_whatever_is_raised_names_the_plug_in(failure: BaseException, said: str) -> None:
    whole = rf"^plug-in 'bad' of bad-package \(bad_package:make\) fails: {said}; repair"
    with pytest.raises(PluginError, match=whole), guarded(BAD, "fails"):
        raise failure


def test_deliberate_errors_and_ctrl_c_pass() -> None:
    for error in (ValueError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)), guarded(BAD, "fails", (ValueError,)):
            raise error


def test_what_hangs_is_stopped() -> None:
    began = time.monotonic()
    late = r"does not load: it takes longer than 0\.05 s"
    with pytest.raises(PluginError, match=late), guarded(BAD, "does not load", seconds=0.05):
        time.sleep(30)
    assert time.monotonic() - began < 10


def test_value_of_another_kind_lists_what_it_lacks() -> None:
    with pytest.raises(PluginError, match="must give a Tokenizer, got dict without decode, depth, encode"):
        check_kind(BAD, {}, Tokenizer)
    with pytest.raises(PluginError, match="must give a int, got str"):
        check_kind(BAD, "1", int)


def test_properties_are_not_called() -> None:
    class Lazy:
        name = fingerprint = family = depth = image_size = encode = decode = prepare = None

        @property
        def vocabulary(self) -> None:
            raise AssertionError("weights are loaded")

    check_kind(BAD, Lazy(), Tokenizer)


def test_built_in_parts_keep_their_own_errors() -> None:
    with pytest.raises(ImportError):
        load_part("spae.no_such_module:x")
    try:
        raise KeyError("ours")
    except KeyError as error:
        assert failed_in(error) is None


MODULE = """
import sys, time
HOW = {how!r}
if HOW == "import raises": raise RuntimeError("boom\\nand more")
if HOW == "import exits": sys.exit(0)
class T:
    name = family = fingerprint = "bad"; depth = 1; image_size = 8; vocabulary = ()
    def prepare(self, image): return image
    def encode(self, images, depth=None):
        if HOW == "use raises": return {{}}["missing"]
        if HOW == "use exits": sys.exit(0)
        return ["not tokens" for _ in images]
    def decode(self, tokens, layers=None): return []
def make():
    if HOW == "another type": return 7
    return T()
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder that holds an installed package `bad-package`, whose module is still to be written."""
    info = tmp_path / "site" / "bad_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spae.tokenizers]\nbad = bad_package:make\n[spae.tasks]\nodd = bad_package:ENTRY\n"
    )
    return tmp_path / "site"


def program(package: Path, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (package / "bad_package.py").write_text(MODULE.format(how=how))
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=package, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{package}", "SPAE_CACHE": str(package / "cache")},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("import raises", "does not load: RuntimeError: boom and more"),
        ("import exits", "does not load: it exits (0)"),
        ("another type", "must give a Tokenizer, got int"),
        ("use raises", "failed: KeyError: 'missing' (at "),
        ("use exits", "failed: it exits (0) (at "),
        ("wrong tokens", "must encode"),
    ],
)
def test_run_with_a_broken_tokenizer_is_one_line(package: Path, how: str, said: str) -> None:
    done = program(
        package, how, "run", "--task", "miniimagenet-2way", "--tokenizer", "bad", "--layers", "1", "--llm",
        "none" if how == "none" else "smollm2", "--limit", "1", "--setting", "i1-s1-r0", "--out", "out",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "bad" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_ls_shows_the_broken_one_beside_the_others(package: Path) -> None:
    done = program(package, "import raises", "ls")
    assert done.returncode == 0, done.stderr
    assert "plug-in 'odd' of bad-package (bad_package:ENTRY) does not load: RuntimeError: boom" in done.stdout
    assert "miniimagenet-5way" in done.stdout and "bad  " in done.stdout
