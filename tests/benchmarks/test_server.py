"""`--llm openai:MODEL` on the command line: its options, budgets, what is written down, and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_backends.openai.rate_limit
from benchmarks.errors import UsageError
from benchmarks.server import server_options
from tests.benchmarks.plugged_in import Program, few_shot
from tests.llm_backends.openai_server import Behaviour, FaultServer, Seen, answer_to, tokens_of

from .conftest import Command

KEY = "sk-secret/0123456789+abcdef"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    running = FaultServer()
    yield running
    running.close()


@pytest.fixture
def command(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    photos: Path,
    tokenizers: object,
    server: FaultServer,
) -> Command:
    """A run of `limit` questions in this process, which writes to `out`: exit code, output and error output."""
    monkeypatch.setattr(llm_backends.openai.rate_limit, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def run(*more: object, limit: int = 6, url: str | None = server.url) -> tuple[int, str, str]:
        arguments = [
            "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", "openai:m", "--data", photos,
            "--setting", "i1-s1-r0", "--limit", limit, "--out", "out", *(("--base-url", url) if url else ()), *more,
        ]  # fmt: skip
        if "--scoring" not in more:
            arguments += ["--scoring", "exact"]
        return command(*arguments)

    return run


def records(folder: str = "out") -> list[dict[str, object]]:
    path = Path(folder, "records.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_options_become_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert server_options("openai:m") == {}
    found = server_options("openai:m", base_url="http://h:1/v1", api="chat", budget="5usd", price="1,2", concurrency=3)
    assert found == {"base_url": "http://h:1/v1", "api": "chat", "budget": "5usd", "price": "1,2", "concurrency": "3"}
    assert server_options("smollm2", context_length=100) is None
    with pytest.raises(UsageError, match=r"--base-url, --budget concern a server.*--llm smollm2"):
        server_options("smollm2", base_url="http://h:1/v1", budget="5tok")


def test_a_run_and_its_replay(command: Command, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = command()
    assert code == 0, err
    for record in records():
        assert record["reply"] == answer_to(str(record["prompt"]))
        assert record["llm_revision"] == f"{server.url.removeprefix('http://')} completions"
    assert "asked of the server: 6 answers in 6 calls" in out
    # A replay asks nobody and needs no key.
    monkeypatch.delenv("OPENAI_API_KEY")
    seen, before = len(server.seen), Path("out/records.jsonl").read_bytes()
    assert command("--cache-only", "--out", "again", "--key-env", "NOT_SET")[0] == 0
    assert Path("again/records.jsonl").read_bytes() == before and len(server.seen) == seen
    assert not Path("again/usage.json").exists()


def test_servers_and_ways_of_asking_share_no_replies(command: Command, server: FaultServer) -> None:
    other = FaultServer()
    try:
        assert command()[0] == command("--out", "chat", "--api", "chat")[0] == 0
        assert command("--out", "other", url=other.url)[0] == 0
        assert len(server.seen) == 12 and len(other.seen) == 6
    finally:
        other.close()
    assert len({str(record["id"]) for name in ("out", "chat", "other") for record in records(name)}) == 18


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--api", "both"), "--api is completions, chat or auto"),
        (("--budget", "5"), "5usd, 0.25usd or 200000tok"),
        (("--budget", "5usd"), "price="),
        (("--price", "1"), "IN,OUT"),
        (("--concurrency", "0"), "concurrency=0"),
        (("--timeout", "0"), "timeout=0"),
        (("--attempts", "99"), "max_attempts=99"),
        (("--base-url", "nowhere"), "base_url"),
        (("--base-url", "http://me:hunter2@h/v1"), "key_env"),
        (("--key-env", "NOT_SET"), "key_env=NOT_SET"),
        (("--key-file", "none.txt"), "key_file=none.txt"),
        (("--key-file", "a", "--key-env", "B"), "give one"),
        (("--scoring", "ranked"), "--scoring exact, prefix or contains"),
        (("--echo-logprobs", "--api", "chat"), "api chat"),
        (("--llm", "scripted:x.json"), "--base-url concern a server"),
    ],
)
def test_options_that_do_not_go_end_with_one_line(
    command: Command, server: FaultServer, more: tuple[str, ...], words: str
) -> None:
    code, _, err = command(*more)
    assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1
    assert "hunter2" not in err and not server.seen


def test_a_budget_stops_before_it_is_exceeded_and_the_run_goes_on_with_another(
    command: Command, server: FaultServer
) -> None:
    code, _, err = command("--budget", "600tok", limit=30)
    assert code == 2 and err.startswith("error: budget allows 600 tokens") and err.count("\n") == 1
    counted = sum(len(tokens_of(seen.prompt)) + len(tokens_of(answer_to(seen.prompt))) for seen in server.seen)
    assert 0 < counted <= 600
    assert len(records()) == len({seen.prompt for seen in server.seen}) < 30
    usage = json.loads(Path("out/usage.json").read_text())
    assert usage["total"] == usage["last"]
    assert usage["total"]["prompt_tokens"] + usage["total"]["completion_tokens"] == counted
    first = {seen.prompt for seen in server.seen}
    code, out, err = command("--price", "1,2", limit=30)
    assert code == 0, err
    assert len(records()) == 30
    assert not first & {seen.prompt for seen in server.seen[len(first) :]}
    usage = json.loads(Path("out/usage.json").read_text())
    assert usage["total"]["answers"] == len(first) + usage["last"]["answers"] == len(server.seen)
    assert "with all earlier commands" in out and "$" in out


def test_ranked_scoring_where_the_server_echoes(command: Command, server: FaultServer) -> None:
    assert command("--scoring", "ranked", "--echo-logprobs")[0] == 0
    assert len(records()) == 6 and {record["status"] for record in records()} == {"scored"}
    assert all(seen.body["echo"] for seen in server.seen)


def test_failures_are_on_record_with_their_reason(command: Command, server: FaultServer) -> None:
    server.behaviour.refuse = lambda seen: (400, b'{"error": {"message": "odd <field>"}}', {})
    assert command()[0] == 0
    assert all(record["status"] == "failed" and "400 (odd <field>)" in str(record["detail"]) for record in records())
    server.behaviour = Behaviour()
    assert command()[0] == 0
    assert {record["status"] for record in records()} == {"scored"} and len(server.seen) == 12


def test_prompts_over_the_stated_context_are_not_sent(command: Command, server: FaultServer) -> None:
    assert command("--context-length", "20")[0] == 0
    assert {record["status"] for record in records()} == {"infeasible"} and not server.seen


def test_a_broken_account_of_what_was_spent_is_told(command: Command) -> None:
    assert command()[0] == 0
    Path("out/usage.json").write_text("{}")
    code, _, err = command()
    assert code == 2 and "usage.json" in err


def echo(seen: Seen) -> tuple[int, bytes, dict[str, str]]:
    """Refuses with the key in body and headers, as a careless server would, or answers with it."""
    header = seen.headers["authorization"]
    body = {"error": {"message": f"Wrong key {header}; sent {list(seen.headers.items())}", "header": header}}
    kind = sum(seen.prompt.encode()) % 4
    if kind == 3:
        return 200, json.dumps({"choices": [{"text": f" {header}", "finish_reason": "stop"}]}).encode(), {}
    return (400, 500, 422)[kind], json.dumps(body).encode(), {"X-Echo": header, "Retry-After": "0"}


@pytest.mark.parametrize("status", [None, 401])
def test_the_key_is_in_no_file_and_no_output(server: FaultServer, tmp_path: Path, status: int | None) -> None:
    """The real program, with the client's own log switched on, against a server that echoes the key."""
    server.behaviour.refuse = lambda seen: echo(seen) if status is None else (status, *echo(seen)[1:])
    program = Program(tmp_path)
    arguments = few_shot(server.url, 6, "--out", "out", "--attempts", 2)
    code, out, err = program.run(*arguments, OPENAI_API_KEY=KEY, OPENAI_LOG="debug")
    assert code == (2 if status else 0), err
    assert any(KEY in seen.headers["authorization"] for seen in server.seen)
    assert "[key]" in (err if status else (tmp_path / "out" / "records.jsonl").read_text())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "out" / "run.json") in files
    for name, content in [("output", out.encode()), ("log", err.encode()), *((str(p), p.read_bytes()) for p in files)]:
        assert KEY.encode() not in content, name
        assert KEY.replace("/", "\\/").encode() not in content, name
