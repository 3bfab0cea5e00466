"""`--llm openai:MODEL` on the command line: its options, budgets, and what is written to files and output."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_backends.openai.rate_limit
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
    """A run of `limit` samples in this process, which writes to `out`: exit code, output and error output."""
    monkeypatch.setattr(llm_backends.openai.rate_limit, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def run(*more: object, limit: int = 6, url: str = server.url) -> tuple[int, str, str]:
        arguments = [
            "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", "openai:m", "--data", photos,
            "--setting", "i1-s1-r0", "--limit", limit, "--out", "out", *args(base_url=url), *more,
        ]  # fmt: skip
        if "--scoring" not in more:
            arguments += ["--scoring", "exact"]
        return command(*arguments)

    return run


def args(**options: object) -> tuple[str, ...]:
    """Options as on the command line: --llm-args NAME=VALUE."""
    return tuple(word for name, value in options.items() for word in ("--llm-args", f"{name}={value}"))


def records(folder: str = "out") -> list[dict[str, object]]:
    path = Path(folder, "records.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_replay_asks_nobody_and_needs_no_key(
    command: Command, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = command()
    assert code == 0, err
    for record in records():
        assert record["reply"] == answer_to(str(record["prompt"]))
        assert record["model_revision"] == f"{server.url.removeprefix('http://')} completions"
    assert "asked of the LLM: 6 answers in 6 calls" in out
    monkeypatch.delenv("OPENAI_API_KEY")
    seen, before = len(server.seen), Path("out/records.jsonl").read_bytes()
    assert command("--cache-only", "--out", "again", *args(key_env="NOT_SET"))[0] == 0
    assert Path("again/records.jsonl").read_bytes() == before and len(server.seen) == seen
    assert not Path("again/usage.json").exists()


def test_servers_and_endpoints_share_no_replies(command: Command, server: FaultServer) -> None:
    other = FaultServer()
    try:
        assert command()[0] == command("--out", "chat", *args(api="chat"))[0] == 0
        assert command("--out", "other", url=other.url)[0] == 0
        assert len(server.seen) == 12 and len(other.seen) == 6
    finally:
        other.close()
    assert len({str(record["id"]) for name in ("out", "chat", "other") for record in records(name)}) == 18


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (args(api="both"), "--llm-args api=both"),
        (args(budget="5"), "5usd, 0.25usd or 200000tok"),
        (args(budget="5usd"), "price=IN,OUT"),
        (args(price="1"), "IN,OUT"),
        (args(concurrency=0), "--llm-args concurrency=0"),
        (args(timeout=0), "--llm-args timeout=0"),
        (args(max_attempts=99), "--llm-args max_attempts=99"),
        (args(key_env="NOT_SET"), "key_env=NOT_SET"),
        (args(key_file="none.txt"), "key_file=none.txt"),
        (args(key_file="a", key_env="B"), "give one"),
        (args(attempts=3), "did you mean 'max_attempts'"),
        (("--llm-args", "budget"), "--llm-args takes NAME=VALUE"),
        (args(base_url="http://h/v1"), "each name once"),
        (("--scoring", "ranked"), "--scoring exact, prefix or contains"),
        (args(echo_logprobs="true", api="chat"), "echo_logprobs"),
        (("--llm", "scripted:x.json"), "no option 'base_url'"),
    ],
)
def test_wrong_options_end_with_one_line_and_2(
    command: Command, server: FaultServer, more: tuple[str, ...], words: str
) -> None:
    code, _, err = command(*more)
    assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1
    assert not server.seen


@pytest.mark.parametrize(
    ("url", "words"), [("nowhere", "base_url"), ("http://me:hunter2@h/v1", "key_env")], ids=["no URL", "password"]
)
def test_wrong_url_is_refused_without_its_password(command: Command, url: str, words: str) -> None:
    code, _, err = command(url=url)
    assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1
    assert "hunter2" not in err


def test_budget_stops_before_it_is_exceeded_and_the_run_resumes_with_another(
    command: Command, server: FaultServer
) -> None:
    code, _, err = command(*args(budget="600tok"), limit=30)
    assert code == 2 and err.startswith("error: budget allows 600 tokens") and err.count("\n") == 1
    counted = sum(len(tokens_of(seen.prompt)) + len(tokens_of(answer_to(seen.prompt))) for seen in server.seen)
    assert 0 < counted <= 600
    assert len(records()) == len({seen.prompt for seen in server.seen}) < 30
    usage = json.loads(Path("out/usage.json").read_text())
    assert usage["total"] == usage["last"]
    assert usage["total"]["prompt_tokens"] + usage["total"]["completion_tokens"] == counted
    first = {seen.prompt for seen in server.seen}
    code, out, err = command(*args(price="1,2"), limit=30)
    assert code == 0, err
    assert len(records()) == 30
    assert not first & {seen.prompt for seen in server.seen[len(first) :]}
    usage = json.loads(Path("out/usage.json").read_text())
    assert usage["total"]["answers"] == len(first) + usage["last"]["answers"] == len(server.seen)
    assert "with all earlier commands" in out and "$" in out


def test_ranked_scoring_on_a_server_that_echoes(command: Command, server: FaultServer) -> None:
    assert command("--scoring", "ranked", *args(echo_logprobs="true"))[0] == 0
    assert len(records()) == 6 and {record["status"] for record in records()} == {"scored"}
    assert all(seen.body["echo"] for seen in server.seen)


def test_failed_requests_are_recorded_with_their_reason(command: Command, server: FaultServer) -> None:
    refused = (400, b'{"error": {"message": "odd <field>"}}', {})
    server.behaviour.refuse = lambda seen: refused if sum(seen.prompt.encode()) % 2 else None
    code, out, _ = command()
    failed = [record for record in records() if record["status"] == "failed"]
    assert code == 0 and failed and f"failed: {len(failed)} of {len(records())}: " in " ".join(out.split())
    assert all("400 (odd <field>)" in str(record["explanation"]) for record in failed)
    asked = len(server.seen)
    server.behaviour = Behaviour()
    assert command()[0] == 0
    assert {record["status"] for record in records()} == {"scored"} and len(server.seen) == asked + len(failed)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        pytest.param((400, b'{"error": {"message": "Invalid model name passed in model=m"}}', {}), "Invalid model name",
                     id="model"),
        pytest.param((401, b'{"error": {"message": "No"}}', {}), "the key is wrong", id="key"),
        pytest.param((200, b'{"content": " lion"}', {}), "does it end in /v1?", id="no /v1"),
        pytest.param((502, b"Bad Gateway", {}), "no usable answer in 3 requests", id="dead upstream"),
    ],
)  # fmt: skip
def test_server_that_will_answer_nothing_ends_the_run(
    command: Command, server: FaultServer, refusal: tuple[int, bytes, dict[str, str]], words: str
) -> None:
    server.behaviour.refuse = lambda seen: refusal
    code, _, err = command(limit=40)
    assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1
    assert len(server.seen) <= 36 and {record["status"] for record in records()} <= {"failed"}


def test_further_fields_have_replies_of_their_own_and_stand_in_the_report(
    command: Command, server: FaultServer
) -> None:
    assert command()[0] == 0
    more = ("--llm-args", "body.repeat_penalty=1.0", "--llm-args", "header.X-Route=a-b", "--out", "more")
    assert command(*more)[0] == 0
    assert [seen.body.get("repeat_penalty") for seen in server.seen] == [None] * 6 + [1.0] * 6
    assert [seen.headers.get("x-route") for seen in server.seen] == [None] * 6 + ["a-b"] * 6
    assert command(*more, "--cache-only", "--out", "again")[0] == 0 and len(server.seen) == 12
    for name in ("report.md", "report.html"):
        said = html.unescape(Path("more", name).read_text()).replace("\\", "")
        assert '{"body":{"repeat_penalty":1.0},"header":{"x-route":"a-b"}}' in said


def test_temperature_that_a_server_refuses_is_left_out_and_reported(command: Command, server: FaultServer) -> None:
    refusal = b'{"error": {"message": "\'temperature\' does not support 0.0 with this model"}}'
    server.behaviour.refuse = lambda seen: (400, refusal, {}) if "temperature" in seen.body else None
    assert command()[0] == 0
    assert {record["status"] for record in records()} == {"scored"} and len(server.seen) <= 10
    assert "Not as asked for: 6 answers: temperature 0 was left out" in Path("out/report.md").read_text()


def test_echo_that_is_shifted_is_refused_by_name(command: Command, server: FaultServer) -> None:
    def shifted(seen: Seen) -> tuple[int, bytes, dict[str, str]]:
        tokens = [*tokens_of(seen.prompt), " next"]
        nats = [None, *(-9.0 if token == " next" else -1.0 for token in tokens[1:])]
        logprobs = {"tokens": tokens, "token_logprobs": nats}
        choice = {"text": "".join(tokens), "finish_reason": "length", "logprobs": logprobs}
        return 200, json.dumps({"choices": [choice]}).encode(), {}

    server.behaviour.refuse = shifted
    code, _, err = command("--scoring", "ranked", *args(echo_logprobs="true"))
    assert code == 2 and "llama-cpp-python" in err and err.count("\n") == 1 and not records()


def test_token_counts_of_thousands_of_digits_are_estimates(command: Command, server: FaultServer) -> None:
    body = b'{"choices": [{"text": " lion", "finish_reason": "stop"}], "usage": {"prompt_tokens": %s}}' % (b"9" * 4300)
    server.behaviour.refuse = lambda seen: (200, body, {})
    assert command()[0] == command("--refresh-cache", "--out", "out")[0] == 0
    assert json.loads(Path("out/usage.json").read_text())["total"]["prompt_tokens"] < 10**6


def test_prompts_over_the_stated_context_are_not_sent(command: Command, server: FaultServer) -> None:
    assert command("--context-length", "20")[0] == 1  # nothing was scored
    assert {record["status"] for record in records()} == {"infeasible"} and not server.seen


def test_broken_usage_file_is_refused(command: Command) -> None:
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
def test_key_is_in_no_file_and_no_output(server: FaultServer, tmp_path: Path, status: int | None) -> None:
    """The real program, with the client's own log switched on, against a server that echoes the key."""
    server.behaviour.refuse = lambda seen: echo(seen) if status is None else (status, *echo(seen)[1:])
    program = Program(tmp_path)
    arguments = few_shot(server.url, 6, "--out", "out", *args(max_attempts=2))
    code, out, err = program.run(*arguments, OPENAI_API_KEY=KEY, OPENAI_LOG="debug")
    assert code == 2 if status else code in (0, 1), err
    assert any(KEY in seen.headers["authorization"] for seen in server.seen)
    assert "[key]" in (err if status else (tmp_path / "out" / "records.jsonl").read_text())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "out" / "run.json") in files
    for name, content in [("output", out.encode()), ("log", err.encode()), *((str(p), p.read_bytes()) for p in files)]:
        assert KEY.encode() not in content, name
        assert KEY.replace("/", "\\/").encode() not in content, name
