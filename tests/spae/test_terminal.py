"""What is printed: nothing of a name reaches a terminal as a command, and no encoding ends a program."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from spae.terminal import HIDDEN, SafeGroup, SafeStream, escaped, safe_streams

HOSTILE = "a\x1b[31m\x1b]0;title\x07\r\x08\x7f\x9b2J\u202e\u2066\u200b\u2028\ud800\U000e0041"
ROOT = Path(__file__).parents[2]


def test_escaped_spells_hidden_characters_and_nothing_else():
    assert escaped("a\x1b[31m\u202e\ud800") == "a\\u001b[31m\\u202e\\ud800"
    assert escaped("\U000e0041") == "\\udb40\\udc41", "as JSON spells it"
    assert escaped("tab\tline\néß漢字 😀 ✓ │ ⟨") == "tab\tline\néß漢字 😀 ✓ │ ⟨"
    assert escaped(escaped(HOSTILE)) == escaped(HOSTILE)


def test_nothing_hidden_is_left_of_a_whole_plane():
    everything = "".join(map(chr, [*range(0x10000), *range(0xE0000, 0xE0100)]))
    left = {letter for letter in escaped(everything) if unicodedata.category(letter) in HIDDEN}
    assert left == {"\n", "\t"}


def test_json_keeps_its_meaning():
    value = {"name": HOSTILE.replace("\ud800", "")}
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value


def test_stream_of_another_encoding_gets_question_marks():
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding="cp1252", errors="strict"))
    stream.write("é ✓ \x1b[2J")
    stream.writelines(["│", "\n"])
    stream.flush()
    assert raw.getvalue() == b"\xe9 ? \\u001b[2J?\n" and stream.encoding == "cp1252"


def test_bars_of_other_libraries_may_return_to_the_start_of_their_line():
    raw = io.StringIO()
    SafeStream(raw).write("\r50%\rx")
    assert raw.getvalue() == "\r50%\\u000dx"


def test_streams_are_as_before_after_the_block(monkeypatch):
    raw = io.StringIO()
    monkeypatch.setattr(sys, "stdout", raw)
    with safe_streams(), safe_streams():
        assert isinstance(sys.stdout, SafeStream) and sys.stdout.raw is raw
        print("\x07")
    assert sys.stdout is raw and raw.getvalue() == "\\u0007\n"


def test_program_without_streams(monkeypatch):
    """As pythonw on Windows starts one."""
    monkeypatch.setattr(sys, "stdout", None)
    with safe_streams():
        assert sys.stdout is None


def test_help_errors_and_output_of_commands_are_escaped():
    app = typer.Typer(cls=SafeGroup, rich_markup_mode=None)

    @app.command()
    def shout(word: str) -> None:
        typer.echo(f"out {word}")
        typer.echo(f"err {word}", err=True)

    @app.callback()
    def main() -> None:
        pass

    for arguments in (["shout", HOSTILE], [HOSTILE], ["shout", "x", f"--{HOSTILE}"], ["shout", "x", HOSTILE]):
        done = CliRunner().invoke(app, arguments)
        assert not set(HOSTILE) - set("a[31m]0;title2J") & set(done.output), arguments
    assert "\\u001b]0;title" in CliRunner().invoke(app, ["shout", HOSTILE]).output


UTF8 = {"PYTHONIOENCODING": "utf-8"}
CP1252 = {"PYTHONIOENCODING": "cp1252"}
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("terminal", "command", "code"),
    [
        pytest.param(UTF8, ["benchmarks", "validate", "--task", "coco-qa", "--data", HOSTILE], 2, id="utf-8-data"),
        pytest.param(UTF8, ["spae", HOSTILE], 2, id="utf-8-command"),
        pytest.param(CP1252, ["spae", "recipes"], 0, id="cp1252-table"),
        pytest.param(C, ["spae", "recipes"], 0, id="C-table"),
        pytest.param(C, ["benchmarks", "run", "--task", HOSTILE], 2, id="C-task"),
    ],
)
def test_both_command_lines_on_every_terminal(terminal, command, code, tmp_path):
    arguments = [os.fsencode(one.replace("\ud800", "")) for one in command]
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, cwd=tmp_path, check=False,
        env=os.environ | terminal | {"PYTHONPATH": str(ROOT), "SPAE_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert not set(b"\x1b\x07\r\x08\x7f") & set(done.stdout + done.stderr) and b"Traceback" not in done.stderr
    assert "\u202e".encode() not in done.stdout + done.stderr
    assert (done.stdout if code == 0 else done.stderr).strip()


def test_names_above_a_progress_bar_are_escaped():
    """On a terminal, where rich takes over the streams and would take a name's escapes for its own."""
    program = (
        "import sys, typer\n"
        "from spae.console import SafeConsole, SafeProgress\n"
        "from spae.terminal import safe_streams\n"
        "with safe_streams():\n"
        "    console = SafeConsole()\n"
        "    with SafeProgress(console=console) as bar:\n"
        "        bar.add_task('x', total=1)\n"
        "        typer.echo('error: a\\x1b]8;;id:evil\\x1b\\\\b\\x1b[31m\\u202e', err=True)\n"
        "    print('after\\x1b[2J')\n"
    )
    screen, inside = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", program], stdout=inside, stderr=inside, env=os.environ | {"TERM": "xterm"}
    )
    assert done.wait() == 0
    os.close(inside)
    seen = os.read(screen, 100_000).decode()
    os.close(screen)
    assert "a\\u001b]8;;id:evil\\u001b\\b\\u001b[31m\\u202e" in seen and "after\\u001b[2J" in seen
    assert "\x1b]8" not in seen and "\x1b[31m\u202e" not in seen and "\x1b[2J" not in seen
