"""The command line as a user types it, in process, with a scripted model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_backends.cache.request_key import prompt_of
from llm_backends.protocol import Completion, CompletionRequest

from .conftest import Command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("home", "tokenizers")


def test_ls_names_everything(command: Command) -> None:
    code, out, _ = command("ls")
    assert code == 0
    for name in ("miniimagenet-2way", "miniimagenet-5way", "spae", "vqgan", "smollm2", "pictograms", "none"):
        assert name in out


@pytest.mark.parametrize("kind", ["tasks", "tokenizers", "backends", "data", "metrics"])
def test_ls_json_is_a_list_of_named_entries(command: Command, kind: str) -> None:
    code, out, _ = command("ls", kind, "--json")
    entries = json.loads(out)
    assert code == 0 and entries and all(entry["name"] and entry["title"] for entry in entries)


def test_ls_backends_verbose_describes_every_option(command: Command) -> None:
    code, out, _ = command("ls", "backends", "--verbose")
    assert code == 0
    for name in ("base_url", "api", "key_env", "key_file", "concurrency", "timeout", "max_attempts", "budget", "price",
                 "tokenizer", "echo_logprobs"):  # fmt: skip
        (line,) = [line for line in out.splitlines() if line.startswith(f"      {name}: ")]
        assert len(line) > len(name) + 20
    entries = json.loads(command("ls", "backends", "--verbose", "--json")[1])
    (server,) = [entry for entry in entries if entry["name"] == "openai:MODEL"]
    assert {"name": "concurrency", "default": "8"}.items() <= server["options"][4].items()
    code, _, err = command("ls", "--verbose")
    assert code == 2 and "ls backends --verbose" in err


def test_help_of_run_fits_a_screen_and_a_half(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    code, out, _ = command("run", "--help")
    assert code == 0 and len(out.splitlines()) <= 60


COMMANDS = ("ls", "run", "report", "baseline", "check", "validate", "round-trip")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(command: Command, name: str) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0 and f"  python -m benchmarks {name}" in out
    assert f"  {name} " in command("--help")[1]


def test_run_writes_records_summary_and_reports(command: Command, photos: Path, script: Callable[..., str]) -> None:
    code, out, err = command(
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours,flat", "--llm", script(), "--data", photos,
        "--setting", "i1-s1-r0,i0-s1-r0", "--scoring", "exact,ranked", "--limit", 3, "--out", "out",
    )  # fmt: skip
    assert code == 0, err
    records = [json.loads(line) for line in Path("out/records.jsonl").read_text().splitlines()]
    assert len(records) == 2 * 2 * 2 * 3
    for record in records:
        if record["scoring"] == "exact":
            assert record["reply"] == " lion\n"
            assert record["scores"] == {"accuracy": float(record["target"] == "lion")}
    cells = json.loads(Path("out/summary.json").read_text())
    assert {cell["setting"] for cell in cells} == {"i1-s1-r0", "i0-s1-r0"}
    exact = next(c for c in cells if c["scoring"] == "exact" and c["tokenizer"] == "colours" and c["n"] == 3)
    right = [
        r
        for r in records
        if r["scoring"] == "exact" and r["tokenizer"] == "colours" and r["setting"] == exact["setting"]
    ]
    assert exact["value"] == pytest.approx(sum(r["scores"]["accuracy"] for r in right) / 3)
    # Both tokenizers were asked about the same episodes, in words of their own.
    by_tokenizer = {name: [r for r in records if r["tokenizer"] == name] for name in ("colours", "flat")}
    assert [r["sample_fingerprint"] for r in by_tokenizer["colours"]] == [
        r["sample_fingerprint"] for r in by_tokenizer["flat"]
    ]
    assert {r["layers"] for r in by_tokenizer["flat"]} == {"1"} and {r["layers"] for r in by_tokenizer["colours"]} == {
        "1-2"
    }
    assert "colours" in out
    for name in ("report.md", "report.html", "episodes-miniimagenet-2way.json"):
        assert Path("out", name).stat().st_size > 100


def test_report_prints_each_format(command: Command, photos: Path, script: Callable[..., str]) -> None:
    assert (
        command(
            "run",
            "--task",
            "miniimagenet-2way",
            "--tokenizer",
            "colours",
            "--llm",
            script(),
            "--data",
            photos,
            "--limit",
            2,
            "--out",
            "out",
        )[0]
        == 0
    )
    assert command("report", "out")[1].startswith("#")
    assert "<html" in command("report", "out", "--format", "html")[1]
    assert "," in command("report", "out", "--format", "csv")[1].splitlines()[0]


def arguments(photos: Path, llm: str, *more: object) -> tuple[object, ...]:
    return (
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", llm, "--data", photos,
        "--setting", "i1-s1-r0", "--limit", 3, *more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"--task": "miniimagenet-5wya"}, "did you mean 'miniimagenet-5way'", id="task"),
        pytest.param({"--tokenizer": "colour"}, "did you mean 'colours'", id="tokenizer"),
        pytest.param({"--llm": "smolm2"}, "did you mean 'smollm2'", id="llm"),
        pytest.param({"--setting": "i1-s2-r0"}, "i1-s2-r0", id="setting"),
        pytest.param({"--scoring": "fuzzy"}, "--scoring exact,prefix,contains,ranked", id="scoring"),
        pytest.param({"--prompt-style": "claude"}, "gpt or palm", id="prompt"),
        pytest.param({"--layers": "3-1"}, "3-1", id="layers-backwards"),
        pytest.param({"--layers": "1-9"}, "layers 1 to 2", id="layers-too-deep"),
        pytest.param({"--layers": "all"}, "1-2 or 1,3", id="layers-no-number"),
        pytest.param({"--data": "nowhere/at/all"}, "nowhere/at/all", id="data"),
        pytest.param({"--task": ","}, "--task needs at least one", id="no-task"),
    ],
)
def test_bad_options_end_with_one_line_and_2(
    command: Command, photos: Path, script: Callable[..., str], change: dict[str, str], words: str
) -> None:
    given = list(arguments(photos, script()))
    for option, value in change.items():
        if option in given:
            given[given.index(option) + 1] = value
        else:
            given += [option, value]
    code, _, err = command(*given)
    assert code == 2
    assert words in err and err.count("\n") == 1 and err.startswith("error: ")


def test_one_class_and_an_empty_folder_are_refused(
    command: Command, tmp_path: Path, photos: Path, script: Callable[..., str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "ant").mkdir(parents=True)
    (photos / "ant" / "0.png").rename(tmp_path / "one" / "ant" / "0.png")
    for folder in ("empty", "one"):
        code, _, err = command(*arguments(tmp_path / folder, script()))
        assert code == 2 and err.count("\n") == 1 and folder in err


def test_corrupt_image_is_named_before_the_model_is_asked(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    for path in photos.rglob("*.png"):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    code, _, err = command(*arguments(photos, script(), "--out", "out"))
    assert code == 2 and ".png" in err and err.count("\n") == 1
    assert not Path("out/records.jsonl").exists()


def test_cache_only_fails_on_a_miss_and_keeps_what_is_there(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    llm = script()
    assert command(*arguments(photos, llm, "--out", "out"))[0] == 0
    before = Path("out/records.jsonl").read_bytes()
    # The same folder with more episodes is another run; another folder needs replies that are not there.
    code, _, err = command(
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", llm, "--data", photos,
                           "--setting", "i1-s1-r0", "--limit", 9, "--cache-only", "--out", "more",
    )  # fmt: skip
    assert code == 2 and "--cache-only" in err and err.count("\n") == 1
    assert Path("out/records.jsonl").read_bytes() == before
    assert command(*arguments(photos, llm, "--cache-only", "--out", "again"))[0] == 0
    assert Path("again/records.jsonl").read_bytes() == before


def test_refreshed_and_cached_records_are_the_same_bytes(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    llm = script()
    assert command(*arguments(photos, llm, "--out", "first"))[0] == 0
    assert command(*arguments(photos, llm, "--refresh-cache", "--out", "live"))[0] == 0
    assert Path("first/records.jsonl").read_bytes() == Path("live/records.jsonl").read_bytes()
    calls = [json.loads(line) for line in Path("live/calls.jsonl").read_text().splitlines()]
    assert calls and not any(call["cached"] for call in calls)


@pytest.mark.parametrize("more", [(), ("--resume",), ("--refresh-cache",), ("--cache-only",)], ids=str)
def test_same_command_resumes_a_stopped_run(
    command: Command, photos: Path, script: Callable[..., str], more: tuple[str, ...]
) -> None:
    llm = script()
    assert command(*arguments(photos, llm, "--out", "out"))[0] == 0
    path = Path("out/records.jsonl")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][: len(lines[1]) // 2])  # as a kill in the middle of a line leaves it
    code, out, err = command(*arguments(photos, llm, "--out", "out", *more))
    assert code == 0 and "resuming, 2 of 3 samples left" in out, err
    assert path.read_bytes() == whole
    assert "nothing to ask" in command(*arguments(photos, llm, "--out", "out", *more))[1]


def test_resume_asks_only_failed_samples(
    command: Command, photos: Path, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_backends.errors import CallFailed
    from llm_backends.scripted.backend import ScriptedBackend

    asked: list[str] = []
    broken: list[str] = []
    whole = ScriptedBackend._complete_one

    def complete(self: ScriptedBackend, request: CompletionRequest) -> Completion:
        asked.append(prompt_of(request))
        if asked[-1] in broken or (len(asked) == 2 and not broken):
            broken[:] = [asked[-1]]
            raise CallFailed("the line was cut")
        return whole(self, request)

    monkeypatch.setattr(ScriptedBackend, "_complete_one", complete)
    given = arguments(photos, script(), "--out", "out", "--scoring", "exact")

    def records() -> list[dict[str, object]]:
        assert command(*given)[0] == 0
        return [json.loads(line) for line in Path("out/records.jsonl").read_text().splitlines()]

    first = records()
    assert [record["prompt"] for record in first if record["status"] == "failed"] == broken
    asked.clear()
    assert records() == first and asked == broken  # asked again, and it fails again
    asked.clear()
    mended, broken[:] = list(broken), ["nothing"]
    second = records()
    assert asked == mended and {record["status"] for record in second} == {"scored"}
    assert [record["id"] for record in second] == [record["id"] for record in first]


def test_refresh_cache_restarts_a_complete_run_and_resumes_a_stopped_one(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    given = arguments(photos, script(), "--refresh-cache")
    assert command(*given)[0] == 0
    (folder,) = Path("runs").iterdir()
    lines = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "records.jsonl").write_bytes(b"".join(lines[:1]))
    assert "resuming, 2 of 3" in command(*given)[1]
    assert (folder / "records.jsonl").read_bytes() == b"".join(lines)
    assert "resuming" not in command(*given)[1]
    calls = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
    assert len(calls) == 3 and not any(call["cached"] for call in calls)


def test_other_run_in_the_same_folder_is_refused_with_the_differences(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    llm = script()
    assert command(*arguments(photos, llm, "--out", "out"))[0] == 0
    before = Path("out/records.jsonl").read_bytes()
    code, _, err = command(*arguments(photos, llm, "--out", "out", "--resume", "--seed", 1, "--prompt-style", "palm"))
    assert code == 2 and "pass another --out" in err
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in err.splitlines() if "│" in line]
    assert ["seed", "0", "1"] in rows and ["prompt_style", '"gpt"', '"palm"'] in rows
    # The same name for another script is another model.
    code, _, err = command(*arguments(photos, script(default=" ant\n"), "--out", "out"))
    assert code == 2 and "llm_identity.revision" in err
    assert Path("out/records.jsonl").read_bytes() == before


def test_context_length_makes_long_prompts_infeasible_stored_or_not(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    llm = script()
    assert command(*arguments(photos, llm, "--out", "free", "--scoring", "exact"))[0] == 0
    words = [len(json.loads(line)["prompt"].split()) for line in Path("free/records.jsonl").read_text().splitlines()]
    limit = max(words) + 7 - 1
    infeasible = sum(count + 7 > limit for count in words)
    records = {}
    for mode in ("", "--cache-only", "--refresh-cache"):
        given = arguments(
            photos, llm, "--out", f"out{mode}", "--context-length", limit, "--scoring", "exact", *mode.split()
        )
        code, _, err = command(*given)
        assert code == 0, err
        records[mode] = Path(f"out{mode}/records.jsonl").read_text()
    assert len(set(records.values())) == 1
    found = [json.loads(line) for line in records[""].splitlines()]
    assert [record["status"] for record in found].count("infeasible") == infeasible > 0
    for record, count in zip(found, words, strict=True):
        if record["status"] == "infeasible":
            assert f"{count + 7} tokens" in record["explanation"] and f"takes {limit}" in record["explanation"]
            assert record["scores"] == {}


def test_cache_only_and_refresh_cache_exclude_each_other(
    command: Command, photos: Path, script: Callable[..., str]
) -> None:
    assert command(*arguments(photos, script(), "--refresh-cache", "--cache-only"))[0] == 2


def test_exported_replies_replay_elsewhere(
    command: Command, photos: Path, script: Callable[..., str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = script()
    assert command(*arguments(photos, llm, "--out", "out"))[0] == 0
    code, out, _ = command("cache", "export", "out", home / "replies" / "demo.jsonl")
    assert code == 0 and out.startswith("3 replies")
    monkeypatch.setenv("SPAE_CACHE", str(home / "another"))
    assert command(*arguments(photos, llm, "--cache-only", "--out", "replayed"))[0] == 0
    assert Path("replayed/records.jsonl").read_bytes() == Path("out/records.jsonl").read_bytes()


def test_default_folder_of_a_run_is_used_again(command: Command, photos: Path, script: Callable[..., str]) -> None:
    llm = script()
    assert command(*arguments(photos, llm))[0] == 0
    (folder,) = Path("runs").iterdir()
    before = (folder / "records.jsonl").read_bytes()
    assert command(*arguments(photos, llm))[0] == 0
    assert list(Path("runs").iterdir()) == [folder]
    assert (folder / "records.jsonl").read_bytes() == before


@pytest.mark.parametrize("arguments", [("ls",), ("ls", "--json"), ("--help",), ("run", "--help")], ids=" ".join)
def test_help_and_ls_are_fast_and_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    heavy = {"torch", "numpy", "pydantic", "transformers", "pandas", "PIL"}
    code = (
        f"import sys; sys.argv = ['benchmarks', *{arguments!r}]\n"
        "from benchmarks.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "import time\n"
        f"print('HEAVY', sorted({heavy} & set(sys.modules)), time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    found, _, seconds = done.stdout.rstrip().rpartition(" ")
    assert found.endswith("HEAVY []")
    assert float(seconds) < 1.0  # 0.2 s with compiled bytecode; a first import compiles it
