"""Every command that the pages show is one that the programs take, and those marked to run do what the page says."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spae.cache_folder import cache_folder
from spae.vocabulary.registry import open_vocabulary
from tests.docs.pages import DOCS, PAGES, ROOT, Block, Command, blocks, inline_code

PAGE_IDS = [page.name for page in PAGES]


REFUSED = typer.BadParameter.__mro__[2]
"""Click's base class of errors of a command line; typer 0.28 brings a copy of click of its own."""


def program_app(name: str) -> typer.Typer:
    if name == "benchmarks":
        from benchmarks.cli import app
    else:
        from spae.cli import app
    return app


@functools.cache
def program(name: str) -> Any:
    return typer.main.get_command(program_app(name))


def own_arguments(words: list[str]) -> tuple[str, list[str]] | None:
    """Which of our programs a command calls, and with what: also behind torchrun; None for other programs."""
    for at, word in enumerate(words[:-1]):
        if word == "-m" and words[at + 1] in ("benchmarks", "spae"):
            return words[at + 1], words[at + 2 :]
    return None


def parse(name: str, arguments: list[str]) -> dict[str, Any]:
    """Parses as the program would, without running anything; the values of the innermost command.

    Raises REFUSED for an unknown command or option, or a value of a wrong type.
    """
    command, rest = program(name), list(arguments)
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            if rest in (["--help"], ["-h"]):
                return {}
            raise typer.BadParameter(f"no command {rest[:1]}: {', '.join(command.commands)}")
        command = command.commands[rest.pop(0)]
    if "--help" in rest:
        return {}
    values: dict[str, Any] = command.make_context(command.name, rest).params
    return values


def shown(page: Path) -> list[tuple[Block, Command]]:
    return [(block, one) for block in blocks(page) if block.language == "console" for one in block.commands]


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_commands_parse(page: Path) -> None:
    wrong = []
    for block, command in shown(page):
        for words in command.stages:
            called = own_arguments(words)
            if called is None:
                continue
            try:
                parse(*called)
            except REFUSED as error:
                wrong.append(f"{page.name}:{block.line}: {shlex.join(words)}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


def test_parsing_refuses_what_the_programs_refuse() -> None:
    for words in (["run", "--task", "x", "--no-such-option"], ["no-such-command"], ["run", "--limit", "many"]):
        with pytest.raises(REFUSED):
            parse("benchmarks", words)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_names_in_commands_exist(page: Path) -> None:
    from llm_backends.options import parse_options
    from llm_backends.registry import find_backend
    from spae.training.recipes import get_recipe

    for _, command in shown(page):
        for words in command.stages:
            called = own_arguments(words)
            if called is None:
                continue
            values = parse(*called)
            if values.get("recipe"):
                get_recipe(str(values["recipe"])).with_settings(list(values.get("set_") or []))
            if values.get("llm_args"):
                pairs = dict(pair.split("=", 1) for pair in values["llm_args"])
                parse_options(find_backend(str(values["llm"]))[0], pairs)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = [words[1:] for _, one in shown(page) for words in one.stages if words and words[0] == "make"]
    named += [code.split()[1:] for code in inline_code(page) if code.startswith("make ")]
    for words in named:
        assert {word for word in words if "=" not in word} <= targets, words


def every_option() -> set[str]:
    found = {"--help"}
    pending = [program("benchmarks"), program("spae")]
    while pending:
        command = pending.pop()
        found |= {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        pending += getattr(command, "commands", {}).values()
    return found


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_options_in_the_text_exist(page: Path) -> None:
    # Code that begins with another program's name (torchrun --nproc-per-node) is that program's affair.
    own = [code for code in inline_code(page) if code.startswith(("--", "run ", "cache ", "python -m ", "ls "))]
    named = {word for code in own for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)}
    assert named <= every_option(), named - every_option()


def runnable(page: Path, speed: str) -> list[Block]:
    return [block for block in blocks(page) if block.mark == "run" and block.argument == speed]


def workshop(home: Path) -> None:
    """What a reader has after a clone: results, tests and the docs' images, the last as a copy that may change."""
    for name in ("results", "tests"):
        (home / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs" / "images", home / "docs" / "images")


def run(command: Command, home: Path) -> str:
    """What a command prints, with stderr. Raises AssertionError for another exit code than 0."""
    calls = [own_arguments(words) for words in command.stages]
    if None in calls:
        done = subprocess.run(
            ["bash", "-euc", command.text], cwd=home, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, f"{command.text} ended with {done.returncode}: {done.stderr}"
        return done.stdout + done.stderr
    given = said = ""
    for name, arguments in filter(None, calls):
        # In this process: a new one would import torch again.
        result = CliRunner().invoke(program_app(name), arguments, input=given, env={"COLUMNS": "120"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        given, said = result.stdout, result.output
        assert result.exit_code == 0, f"{command.text} ended with {result.exit_code}: {said}"
    return said


def assert_shown(command: Command, said: str) -> None:
    """Each line shown stands in the output, in order; how many spaces separate words does not matter."""
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for expected in command.output:
        wanted = " ".join(expected.split())
        if wanted not in ("", "..."):
            assert any(wanted == line for line in lines), f"{command.text} did not print {wanted!r}:\n{said}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of these tests' own: they neither use replies that the user has stored, nor add any.

    The words of SmolLM2 are taken over: to read them from the wheel takes 20 s of a processor.
    """
    open_vocabulary("smollm2")
    folder = tmp_path_factory.mktemp("cache")
    for words in cache_folder().glob("words-smollm2-*"):
        (folder / words.name).symlink_to(words)
    return folder


def check_page(page: Path, speed: str, home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop(home)
    monkeypatch.setenv("SPAE_CACHE", str(cache))
    monkeypatch.chdir(home)
    for block in runnable(page, speed):
        for command in block.commands:
            assert_shown(command, run(command, home))


FAST = [page for page in PAGES if runnable(page, "")]
SLOW = [page for page in PAGES if runnable(page, "slow")]


@pytest.mark.parametrize("page", FAST, ids=[page.name for page in FAST])
def test_pages_run(page: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_page(page, "", tmp_path, cache, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=[page.name for page in SLOW])
def test_slow_commands_of_pages_run(page: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_page(page, "slow", tmp_path, cache, monkeypatch)


def test_every_page_of_the_docs_runs_something() -> None:
    assert set(DOCS) <= {*FAST, *SLOW}


def test_shown_output_is_compared_line_by_line() -> None:
    command = Command("x", ("a  1", "...", "c"))
    assert_shown(command, "a 1\nb\nc\n")
    for said in ("a 1\nb\n", "c\na 1\n", "a 12\nc\n"):
        with pytest.raises(AssertionError):
            assert_shown(command, said)
