"""A run that fails as a whole says so at once; a disk that refuses costs one line, and a cache costs time only."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.faults
import benchmarks.progress
import benchmarks.session
import spae.atomic
from benchmarks.ending import at_end
from benchmarks.faults import kind_of_fault
from llm_backends.errors import CallFailed
from llm_backends.scripted.backend import ScriptedBackend
from results.store import RunStore

from .conftest import Command

pytestmark = pytest.mark.usefixtures("home", "tokenizers", "photos")
RUN = (
    "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--data", "photos", "--setting", "i1-s1-r0",
    "--scoring", "exact", "--limit", "40", "--out", "out",
)  # fmt: skip


def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the requests that reach the model."""
    seen: list[int] = []
    count = ScriptedBackend._count

    def counted(self: ScriptedBackend, request: object) -> None:
        seen.append(1)
        count(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(ScriptedBackend, "_count", counted)
    return seen


def statuses() -> list[str]:
    return [json.loads(line)["status"] for line in Path("out/records.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("message", ["400 (temperature does not support 0.0)", "answer 17: no choices in {'id': 3}"])
def test_a_run_without_any_answer_stops(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    seen = asked(monkeypatch)
    each = {str(number): {"error": "failed", "message": message} for number in range(1, 41)}
    code, _, err = command(*RUN, "--llm", script(failures=each))
    assert code == 2 and err.count("\n") == 1 and message in err and "none was answered" in err
    assert len(seen) == benchmarks.faults.SAME_FAULTS < 40
    code, _, _ = command(*RUN, "--llm", script())
    assert code == 0 and statuses() == ["scored"] * 40


def test_faults_that_differ_in_numbers_and_quotes_are_one() -> None:
    assert kind_of_fault("s answers 400 ('lion' is 3)") == kind_of_fault("s answers 400 ('ant' is 17)")
    assert kind_of_fault("the connection was cut") != kind_of_fault("no answer within 3 s")


def test_a_short_run_of_one_fault_ends_with_it(script: Callable[..., str], command: Command) -> None:
    each = {"rate": 1.0, "kinds": ["timeout"]}
    code, _, err = command(*RUN[:-4], "--limit", "2", "--out", "out", "--llm", script(failures=each))
    assert code == 2 and "no answer within the time allowed" in err and statuses() == ["failed", "failed"]


def test_different_faults_are_asked_to_the_end_and_nothing_scored_is_1(
    script: Callable[..., str], command: Command
) -> None:
    kinds = {"rate": 1.0, "kinds": ["timeout", "cut", "500"]}
    code, out, err = command(*RUN, "--llm", script(failures=kinds))
    assert code == 1 and err.startswith("error: nothing could be scored") and statuses() == ["failed"] * 40
    assert sum(int(line.split()[1]) for line in out.splitlines() if line.startswith("failed: ")) == 40


def test_the_commonest_reasons_of_a_part_are_printed(script: Callable[..., str], command: Command) -> None:
    some = {str(number): "filtered" for number in (2, 5, 9)} | {"7": "cut"}
    code, out, _ = command(*RUN, "--llm", script(failures=some))
    assert code == 0
    assert "failed: 3 of 40: the server's content filter withheld the answer" in out
    assert "failed: 1 of 40: the connection was cut" in out


def test_a_few_questions_that_always_fail_do_not_stop_a_run_that_was_answered(
    script: Callable[..., str], command: Command
) -> None:
    some = {str(number): "filtered" for number in range(11, 31)}
    assert command(*RUN, "--llm", script(failures=some))[0] == 0
    again = {str(number): "filtered" for number in range(1, 31)}
    code, out, _ = command(*RUN, "--llm", script(failures=again))
    assert code == 0 and "failed: 20 of 40" in out, "asked again to the last, for earlier ones were answered"


def test_replies_that_are_all_empty_are_nothing_scored(script: Callable[..., str], command: Command) -> None:
    code, _, err = command(*RUN, "--llm", script(default=" \n"))
    assert code == 1 and "nothing could be scored" in err


def make_file(path: Path) -> Path:
    path.write_text("")
    return path


@pytest.mark.parametrize(
    "cache",
    [
        pytest.param(lambda home: make_file(home / "file"), id="a file"),
        pytest.param(lambda home: make_file(home / "file") / "below", id="below a file"),
        pytest.param(lambda home: home / ("x" * 300), id="name too long"),
        pytest.param(lambda home: Path("/proc/nope"), id="cannot be made"),
    ],
)
def test_a_cache_that_cannot_be_written_costs_time_only(
    home: Path, script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, cache: Callable[[Path], Path],
) -> None:  # fmt: skip
    monkeypatch.setenv("SPAE_CACHE", str(cache(home)))
    with caplog.at_level(logging.WARNING):
        code, out, err = command(*RUN, "--llm", script())
    assert code == 0 and err == "" and statuses() == ["scored"] * 40
    assert "40 replies could not be stored" in out
    assert [record.getMessage().count("replies of this run are not kept") for record in caplog.records].count(1) == 1


def test_a_reply_cache_that_fills_up_keeps_the_run_going(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_backends.cache import response_cache

    insert, calls = response_cache._insert, []

    def full(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 2:
            raise sqlite3.OperationalError("database or disk is full")
        return insert(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(response_cache, "_insert", full)
    code, out, _ = command(*RUN, "--llm", script())
    assert code == 0 and len(calls) == 3 and "24 replies could not be stored" in out
    assert statuses() == ["scored"] * 40


def test_a_read_only_cache_is_read(home: Path, script: Callable[..., str]) -> None:
    """As another user, for root may write anywhere."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    from llm_backends.cache.response_cache import ReplyCache
    from llm_backends.protocol import Choice, Completion, CompletionRequest, Identity

    folder = home / "shared"
    store = ReplyCache(folder / "replies.sqlite")
    model = Identity(kind="scripted", model="m", revision="r", dtype="none")
    request = CompletionRequest(prompt="p", max_new_tokens=1)
    store.put(model, request, Completion(choices=(Choice(text="kept", finish="stop"),)))
    store.close()
    (folder / "replies.sqlite").chmod(0o444)
    for place in [folder, *folder.parents]:
        place.chmod(place.stat().st_mode & ~0o022 | 0o555)
    reader = os.fork()
    if reader == 0:
        ok = False
        try:
            os.setuid(65534)
            found = ReplyCache(folder / "replies.sqlite").get(model, request)
            ok = isinstance(found, Completion) and found.text == "kept"
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 0


@pytest.mark.parametrize("place", ["records.jsonl", "run.json", "examples.json", "report.html", "report.json"])
def test_a_full_disk_is_one_line_and_what_was_answered_is_kept(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def refuse(path: Path) -> None:
        if path.name == place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    write, append = spae.atomic.write_text, spae.atomic.append_lines
    with monkeypatch.context() as patched:
        patched.setattr(spae.atomic, "write_text", lambda path, text: (refuse(path), write(path, text)))
        patched.setattr(spae.atomic, "append_lines", lambda path, *a, **b: (refuse(path), append(path, *a, **b)))
        code, _, err = command(*RUN, "--llm", script())
        assert code == 2 and err.count("\n") == 1
        assert f"out/{place} cannot be written (No space left on device): make room there" in err
    code, out, _ = command(*RUN, "--llm", script())
    assert code == 0 and statuses() == ["scored"] * 40
    assert place != "records.jsonl" or "8 from stored replies" in out, "the first batch was answered and stored"


def test_an_os_error_anywhere_is_one_line(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "somewhere")

    monkeypatch.setattr(benchmarks.session, "make_examples", fail)
    code, _, err = command(*RUN, "--llm", script())
    assert (code, err.count("\n")) == (2, 1) and "somewhere cannot be used (Permission denied)" in err


def test_the_folder_removed_while_a_run_goes_on(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    append = RunStore.append

    def removed(self: RunStore, *arguments: object, **options: object) -> None:
        shutil.rmtree("out", ignore_errors=True)
        append(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(RunStore, "append", removed)
        code, _, err = command(*RUN, "--llm", script())
    assert code == 2 and err.count("\n") == 1 and "No such file or directory" in err
    assert command(*RUN, "--llm", script())[0] == 0 and statuses() == ["scored"] * 40


def test_the_first_error_is_raised_and_later_ones_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("no space")

    with caplog.at_level(logging.WARNING), pytest.raises(CallFailed, match="the cause"), at_end(fail, fail):
        raise CallFailed("the cause")
    assert caplog.text.count("no space") == 2
    with pytest.raises(OSError, match="no space"), at_end(fail):
        pass


def test_output_on_a_full_device_is_2(home: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "ls"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_finished_run_keeps_its_report_while_nothing_changes(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = script()
    _, first, _ = command(*RUN, "--llm", llm)
    with monkeypatch.context() as patched:
        patched.setattr(benchmarks.session, "make_examples", None)
        patched.setattr(benchmarks.session, "write_reports", None)
        code, again, _ = command(*RUN, "--llm", llm)
    assert code == 0 and "out: complete, nothing to ask" in again
    table = "miniimagenet-2way on photos: accuracy"
    assert again[again.index(table) :] == first[first.index(table) :]
    page = Path("out/report.html").read_bytes()
    for name in ("report.html", "examples.json"):
        path = Path("out", name)
        path.write_bytes(path.read_bytes()[:-1])
        assert command(*RUN, "--llm", llm)[0] == 0
        assert Path("out/report.html").read_bytes() == page, name


def test_without_a_terminal_progress_is_lines(
    script: Callable[..., str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks.progress, "LINE_SECONDS", 0.03)
    code, out, _ = command(*RUN, "--llm", script(failures={"seconds": 0.005}))
    lines = [line for line in out.splitlines() if line.startswith("samples: ")]
    assert code == 0 and lines[0] == "samples: 0/40" and lines[-1].startswith("samples: 40/40, 0:00:")
    assert len(lines) > 3 and any("left" in line for line in lines[1:-1]) and "\r" not in out and "\x1b" not in out
    assert "report: intervals, tests and figures" in out


@pytest.mark.parametrize("days", ["nan", "inf", "1e308", "36501"])
def test_prune_takes_a_number_of_days(command: Command, days: str) -> None:
    code, _, err = command("cache", "prune", "--older-than", days)
    assert code == 2 and err.count("\n") == 1 and "--older-than takes 0 to 36,500 days" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (*RUN[:-1], ""), ("report", ""), ("baseline", "out", "--out", ""), ("check", ""), ("cache", "verify", ""),
        ("cache", "export", "--all", ""), (*RUN, "--cache-file", ""), (*RUN, "--manifest", ""),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)  # fmt: skip
def test_an_empty_path_is_refused(command: Command, arguments: tuple[str, ...]) -> None:
    code, _, err = command(*arguments)
    assert code == 2 and err.count("\n") == 1 and "a path needs a name" in err


def test_no_model_of_that_name_on_the_hub(command: Command) -> None:
    arguments = [*RUN]
    arguments[arguments.index("colours")] = "hf:/nope"
    code, _, err = command(*arguments)
    assert code == 2 and err.count("\n") == 1
