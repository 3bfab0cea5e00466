"""Samples of many steps: batched across samples, cached, and resumed after a kill; and a task that asks nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.config import RunConfig
from benchmarks.plan import Plan, in_order, make_plan
from benchmarks.runner import run_plan
from benchmarks.scheduler import Scheduler, Solved
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import CallFailed
from llm_backends.protocol import Completion, CompletionRequest
from llm_backends.scripted.backend import Script, ScriptedBackend
from results.store import RunStore
from spae.plugins import Plugin

from .conftest import ColourTokenizer, Command
from .ten_steps import PARTS, STEPS, answer

ROOT = Path(__file__).parents[2]
SAMPLES = 6
pytestmark = pytest.mark.usefixtures("home")


class Counting(ScriptedBackend):
    """Answers as the ten steps expect; keeps the size of every call."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(reply=answer, name="counting", **arguments)  # type: ignore[arg-type]
        self.sizes: list[int] = []

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        self.sizes.append(len(requests))
        return super().complete(requests)


@pytest.fixture(autouse=True)
def plug_ins(monkeypatch: pytest.MonkeyPatch, tokenizers: dict[str, ColourTokenizer]) -> None:
    """Both tasks, installed as another package installs them."""
    points = [
        Plugin("spae.tasks", name, f"tests.benchmarks.ten_steps:{attribute}", "tests")
        for name, attribute in (("ten-steps", "ENTRY"), ("nothing-asked", "NOTHING"))
    ]
    monkeypatch.setattr("spae.plugins._scan", lambda: tuple(points))


def ten_steps(photos: Path, limit: int = SAMPLES) -> Plan:
    config = RunConfig(
        tasks=("ten-steps",), tokenizers=("colours",), llm="scripted", data=str(photos), layers=("1-2",),
        scorings=("chain",), prompt_style="gpt", limit=limit, seed=0,
    )  # fmt: skip
    return make_plan(config)


def solve(plan: Plan, backend: CachedBackend, window: int = 2048) -> list[Solved]:
    scheduler = Scheduler(backend, window=window)
    for cell, sample in in_order(plan.cells(backend.identity)):
        scheduler.start(cell, sample)
    return list(scheduler.finished())


def test_requests_of_a_step_travel_together_across_samples(photos: Path) -> None:
    model = Counting()
    solved = solve(ten_steps(photos), CachedBackend(lambda: model, model.identity, chunk=64))
    assert model.sizes == [SAMPLES * PARTS] * STEPS
    assert [one.outcome.scores for one in solved] == [{"chain": 1.0}] * SAMPLES
    assert all(len(one.requests) == STEPS * PARTS and not one.cached for one in solved)
    assert all(len(one.outcome.steps) == STEPS for one in solved)


def test_the_window_bounds_the_open_samples(photos: Path) -> None:
    model = Counting()
    solved = solve(ten_steps(photos), CachedBackend(lambda: model, model.identity, chunk=64), window=2 * PARTS)
    assert set(model.sizes) == {2 * PARTS} and len(model.sizes) == STEPS * SAMPLES // 2
    assert [one.sample.id for one in solved] == [f"ten-steps-{k}" for k in range(SAMPLES)]


def test_a_second_run_asks_nothing(photos: Path, tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    first, second = Counting(), Counting()
    plan = ten_steps(photos)
    before = solve(plan, CachedBackend(lambda: first, first.identity, cache))
    after = solve(plan, CachedBackend(lambda: second, second.identity, cache))
    cache.close()
    assert len(first.asked) == SAMPLES * STEPS * PARTS and second.asked == []
    assert [one.outcome for one in after] == [one.outcome for one in before]
    assert all(one.cached for one in after)


def test_a_failed_request_fails_its_sample_only(photos: Path) -> None:
    model = Counting(failures={3: CallFailed("the line was cut")})  # the first part of the second sample
    solved = solve(ten_steps(photos), CachedBackend(lambda: model, model.identity, chunk=1))
    by_id = {one.sample.id: one.outcome for one in solved}
    assert by_id.pop("ten-steps-1").explanation == "step 0"
    assert [one.scores for one in by_id.values()] == [{"chain": 1.0}] * (SAMPLES - 1)


def test_a_prompt_over_the_context_is_a_failure_of_its_request(photos: Path) -> None:
    model = Counting(script=Script(context_length=8))
    solved = solve(ten_steps(photos, limit=1), CachedBackend(lambda: model, model.identity))
    assert solved[0].outcome.explanation == "step 0" and not model.asked


def test_records_of_steps(photos: Path) -> None:
    model = Counting()
    plan = ten_steps(photos)
    store = RunStore.create(Path("out"), plan.run_config(model.identity, None))
    run_plan(plan, CachedBackend(lambda: model, model.identity), store)
    (record, *_) = RunStore.open(Path("out")).records
    assert (len(record.steps), record.steps[0].samples, record.scores) == (STEPS, PARTS, {"chain": 1.0})
    assert record.prompt.startswith("ten-steps-0 word") and " step 9 part 1 " in record.prompt
    assert record.tokens[0][1] == answer(record.prompt)
    (call, *_) = store.calls
    assert call.request is not None and len(call.request["keys"]) == STEPS * PARTS


# The command line with the colour tokenizer and a model that notes every request, and dies before one of them.
PROGRAM = """
import os, signal, sys
import benchmarks.arguments, benchmarks.plan, llm_backends.scripted.backend, spae.plugins
from benchmarks.cli import run_command_line
from llm_backends.protocol import Choice, Completion
from tests.benchmarks import conftest, ten_steps
benchmarks.plan.open_tokenizer = lambda name: conftest.ColourTokenizer(name)
benchmarks.arguments.check_spec = lambda name: None
point = spae.plugins.Plugin("spae.tasks", "ten-steps", "tests.benchmarks.ten_steps:ENTRY", "tests")
spae.plugins._scan = lambda: (point,)
asked = 0
def complete_one(self, request):
    global asked
    asked += 1
    if asked == int(os.environ["DIE_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    with open("asked.txt", "ab", buffering=0) as file:
        file.write(request.prompt.encode() + b"\\n")
    return Completion(choices=(Choice(text=ten_steps.answer(request.prompt), finish="stop"),))
llm_backends.scripted.backend.ScriptedBackend._complete_one = complete_one
sys.argv = ["benchmarks", *sys.argv[1:]]
run_command_line()
"""


def test_a_run_killed_in_step_five_asks_no_answered_request_again(home: Path, photos: Path) -> None:
    (home / "script.json").write_text(json.dumps({"default": "x"}))

    def run(die_at: int, out: str = "out", cache: str = "cache") -> int:
        command = [
            sys.executable, "-c", PROGRAM, "run", "--task", "ten-steps", "--tokenizer", "colours", "--llm",
            "scripted:script.json", "--data", str(photos), "--limit", str(SAMPLES), "--out", out,
        ]  # fmt: skip
        variables = {"PYTHONPATH": str(ROOT), "DIE_AT": str(die_at), "SPAE_CACHE": str(home / cache)}
        done = subprocess.run(command, cwd=home, env=os.environ | variables, capture_output=True, text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
        return done.returncode

    step = SAMPLES * PARTS
    # Replies are stored eight at a time: the first eight of step 5 are, and the model dies before the ninth.
    assert run(die_at=4 * step + 9) == -signal.SIGKILL
    assert len(Path("asked.txt").read_text().splitlines()) == 4 * step + 8
    assert RunStore.open(Path("out")).records == []
    assert run(die_at=0) == 0
    asked = Counter(Path("asked.txt").read_text().splitlines())
    assert sum(asked.values()) == STEPS * step and set(asked.values()) == {1}
    resumed = Path("out/records.jsonl").read_bytes()
    assert run(die_at=0, out="whole", cache="another") == 0
    assert Path("whole/records.jsonl").read_bytes() == resumed
    assert {record.scores["chain"] for record in RunStore.open(Path("out")).records} == {1.0}


def test_a_task_that_asks_nothing_runs_without_a_model(photos: Path, command: Command) -> None:
    code, out, err = command(
        "run", "--task", "nothing-asked", "--tokenizer", "colours,flat", "--llm", "none", "--data", photos, "--limit",
        4, "--layers", "1-2", "--out", "out",
    )  # fmt: skip
    assert (code, err) == (0, ""), err
    records = RunStore.open(Path("out")).records
    assert [(record.tokenizer, record.scores) for record in records] == [
        *[("colours", {"words": 5.0})] * 4,
        *[("flat", {"words": 1.0})] * 4,
    ]
    assert "8 records" in out


def test_no_model_refuses_requests(photos: Path, command: Command) -> None:
    code, _, err = command(
        "run", "--task", "ten-steps", "--tokenizer", "colours", "--llm", "none", "--data", photos, "--out", "out"
    )
    assert code == 2 and "--llm none answers no request" in err and err.count("\n") == 1


def test_records_of_a_thinking_model_say_what_was_left_out(
    home: Path, photos: Path, script: Callable[..., str], command: Command
) -> None:
    arguments = ["run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--data", photos, "--setting",
                 "i1-s1-r0", "--limit", 2, "--scoring", "contains"]  # fmt: skip
    closed = script("closed", default="<think>It has a mane.</think>\nlion")
    assert command(*arguments, "--llm", closed, "--out", "closed")[0] == 0
    for record in map(json.loads, Path("closed/records.jsonl").read_text().splitlines()):
        assert (record["status"], record["reply"], record["prediction"]) == ("scored", "\nlion", "lion")
        assert record["explanation"].endswith("29 characters of thought before the answer were left out")
    command(*arguments, "--llm", script("open", default="<think>It has a"), "--out", "open")
    for record in map(json.loads, Path("open/records.jsonl").read_text().splitlines()):
        assert (record["status"], record["reply"]) == ("failed", None)
        assert "must end its block of thought (</think>)" in record["explanation"]
