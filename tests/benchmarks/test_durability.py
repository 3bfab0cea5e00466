"""A run in a process of its own, stopped at any moment, ends with the records of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from results.store import RunStore

ROOT = Path(__file__).parents[2]
# The command line with the colour tokenizer, and a model that writes down every prompt and is slow.
PROGRAM = """
import importlib.util, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
import benchmarks.arguments, benchmarks.plan, llm_backends.scripted.backend
from benchmarks.cli import run_command_line
spec = importlib.util.spec_from_file_location("colours", sys.argv[1])
colours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(colours)
benchmarks.plan.open_tokenizer = lambda name: colours.ColourTokenizer(name)
benchmarks.arguments.check_spec = lambda name: None
answer = llm_backends.scripted.backend.ScriptedBackend._complete_one
def slowly(self, request):
    time.sleep(float(os.environ["SECONDS"]))
    with open("asked.txt", "ab", buffering=0) as file:
        file.write(repr(request.prompt).encode() + b"\\n")
    return answer(self, request)
llm_backends.scripted.backend.ScriptedBackend._complete_one = slowly
sys.argv = ["benchmarks", *sys.argv[2:]]
run_command_line()
"""
pytestmark = pytest.mark.usefixtures("home")
QUESTIONS = 60


@pytest.fixture
def start(home: Path, photos: Path, script: Callable[..., str]) -> Callable[[float], subprocess.Popen[str]]:
    """Starts the run whose model takes so many seconds an answer."""

    def begin(seconds: float) -> subprocess.Popen[str]:
        command = [
            sys.executable, "-c", PROGRAM, str(Path(__file__).with_name("conftest.py")),
            "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", script(), "--data", str(photos),
            "--setting", "i1-s1-r0,i1-s3-r0", "--scoring", "exact", "--limit", str(QUESTIONS // 2), "--out", "out",
        ]  # fmt: skip
        return subprocess.Popen(
            command, cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "SECONDS": str(seconds), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return begin


def wait_for_records(running: subprocess.Popen[str], more_than: int) -> None:
    """Until the run has written more than so many records."""
    deadline = time.monotonic() + 60
    path = Path("out/records.jsonl")
    while not path.exists() or path.read_bytes().count(b"\n") <= more_than:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, "no record within a minute"
        time.sleep(0.005)


def finished(running: subprocess.Popen[str]) -> str:
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, out + err
    return out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_stopped_run_continues_to_the_same_records(
    start: Callable[[float], subprocess.Popen[str]], how: signal.Signals
) -> None:
    have = 0
    for _ in range(2):
        running = start(0.1)
        wait_for_records(running, have)
        os.kill(running.pid, how)
        _, err = running.communicate(timeout=60)
        if how is signal.SIGINT:
            assert running.returncode == 130 and "give the same command again" in err
        else:
            assert running.returncode == -signal.SIGKILL
        stopped = RunStore.open(Path("out")).records
        assert have < len(stopped) < QUESTIONS, "the run ended before it was stopped: make its model slower"
        have = len(stopped)
    assert "resuming, " in finished(start(0))
    continued = Path("out/records.jsonl").read_bytes()
    asked = Path("asked.txt").read_text().splitlines()
    # A prompt whose answer was not stored yet may be asked once more for each stop; no other.
    prompts = {json.loads(line)["prompt"] for line in continued.splitlines()}
    assert set(asked) == {repr(prompt) for prompt in prompts} and len(asked) <= len(prompts) + 2 * 8

    Path("out").rename("stopped")
    Path("cache").rename("another-cache")
    finished(start(0))
    assert Path("out/records.jsonl").read_bytes() == continued
    assert len(continued.splitlines()) == QUESTIONS
