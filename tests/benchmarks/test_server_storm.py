"""A run against a server that misbehaves at random, undisturbed and killed: nothing is lost or asked for twice."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_backends.cache.response_cache import ReplyCache
from llm_backends.protocol import CompletionRequest
from tests.benchmarks.plugged_in import Program, few_shot
from tests.llm_backends.openai_server import FAULTS, Behaviour, FaultServer, answer_to

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[FaultServer]:
    running = FaultServer(Behaviour(rate=0.3, hang=6.0), seed=4)
    yield running
    running.close()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def check(found: list[dict[str, Any]], count: int) -> None:
    """Each sample once, scored on the server's own reply or failed with the reason."""
    assert len(found) == len({record["id"] for record in found}) == count
    for record in found:
        if record["status"] == "failed":
            assert "attempts: " in record["explanation"] and record["reply"] is None
        else:
            assert record["status"] == "scored" and record["reply"] == answer_to(record["prompt"])
            assert record["scores"] == {"accuracy": float(record["reply"].strip() == record["target"])}


def test_every_request_to_a_faulty_server_ends_in_a_record(server: FaultServer, tmp_path: Path) -> None:
    program = Program(tmp_path)
    arguments = few_shot(server.url, 250, "--llm-args", "concurrency=32", "--llm-args", "timeout=0.8", "--out", "out")
    code, out, err = program.run(*arguments)
    assert code == 0, err
    found = records(tmp_path / "out")
    check(found, 500)
    asked = Counter(seen.prompt for seen in server.seen)
    assert set(asked) == {record["prompt"] for record in found}
    assert max(asked.values()) <= 6  # max_attempts
    assert {seen.fault for seen in server.seen} == {"", *FAULTS}
    usage = json.loads((tmp_path / "out" / "usage.json").read_text())["total"]
    assert usage["calls"] == usage["answers"] + sum(usage["failures"].values())
    assert usage["answers"] == len({record["prompt"] for record in found if record["status"] == "scored"})
    assert f"{usage['answers']:,} answers in {usage['calls']:,} calls" in out
    # The second time only what failed is asked, and the now faultless server answers.
    failed = {record["prompt"] for record in found if record["status"] == "failed"}
    server.behaviour, server.seen = Behaviour(), []
    assert program.run(*arguments)[0] == 0
    assert {seen.prompt for seen in server.seen} == failed
    check(records(tmp_path / "out"), 500)


def stored(cache: Path) -> set[str]:
    """Prompts whose replies a killed run stored."""
    if not (cache / "replies.sqlite").exists():
        return set()
    store = ReplyCache(cache / "replies.sqlite")
    entries = [store.entry(key) for key in store.keys()]  # noqa: SIM118 (a method of the store, it is no mapping)
    store.close()
    return {
        str(entry.request.prompt)
        for entry in entries
        if entry is not None and isinstance(entry.request, CompletionRequest)
    }


def test_run_killed_three_times_ends_with_the_same_records(server: FaultServer, tmp_path: Path) -> None:
    program = Program(tmp_path)
    rng = random.Random(11)
    options = [word for pair in ("concurrency=8", "timeout=0.8", "max_attempts=20") for word in ("--llm-args", pair)]
    arguments = few_shot(server.url, 75, *options, "--out")
    code, _, err = program.run(*arguments, "alone", cache="alone-cache")
    assert code == 0, err
    check(records(tmp_path / "alone"), 150)

    server.seen = []
    kept: list[tuple[int, set[str]]] = []
    for _ in range(3):
        target = len(server.seen) + rng.randint(8, 30)
        running = program.start(*arguments, "killed", cache="killed-cache")
        deadline = time.monotonic() + 600
        while len(server.seen) < target:
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline, "the run asks nothing"
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        time.sleep(0.5)  # calls that were on their way when it died are noted by the server
        kept.append((len(server.seen), stored(tmp_path / "killed-cache")))
    sizes = [len(prompts) for _, prompts in kept]
    assert sizes == sorted(sizes) and sizes[-1] > 20
    code, _, err = program.run(*arguments, "killed", cache="killed-cache")
    assert code == 0, err
    for seen, prompts in kept:
        assert not prompts & {one.prompt for one in server.seen[seen:]}
    alone, killed = ((tmp_path / name / "records.jsonl").read_bytes() for name in ("alone", "killed"))
    assert sorted(alone.splitlines()) == sorted(killed.splitlines())
