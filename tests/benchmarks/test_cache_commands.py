"""`cache ...` as a user types it, in process, on what a run with a scripted model stored."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.reply_sources import reply_store

from .conftest import Command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("home", "tokenizers")


@pytest.fixture
def ran(command: Command, photos: Path, script: Callable[..., str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the same small run, with further options; `out` first."""
    llm = script()

    def run(out: str, *more: object) -> tuple[int, str, str]:
        return command(
            "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", llm, "--data", photos,
            "--setting", "i1-s1-r0", "--scoring", "exact", "--limit", 3, "--out", out, *more,
        )  # fmt: skip

    assert run("out")[0] == 0
    return run


def damage(text: str) -> None:
    store = reply_store()
    store.close()
    content = bytearray(store.path.read_bytes())
    content[content.index(text.encode())] ^= 1
    store.path.write_bytes(content)


def test_stats_count_what_a_run_stored(ran: Command, command: Command) -> None:
    code, out, _ = command("cache", "stats")
    assert code == 0 and "3 replies" in out and "script none (scripted" in out and "empty: 0" in out
    found = json.loads(command("cache", "stats", "--json")[1])
    assert (found["entries"], found["notes"], found["shared"]) == (3, 3, 0)


def test_stats_of_an_empty_cache_make_no_file(command: Command, home: Path) -> None:
    code, out, _ = command("cache", "stats")
    assert code == 0 and "0 replies" in out and not (home / "cache" / "replies.sqlite").exists()


def test_equal_prompts_of_two_tokenizers_are_counted_in_cache_and_report(
    command: Command, photos: Path, script: Callable[..., str], tokenizers: dict[str, object]
) -> None:
    tokenizers["other"] = type(tokenizers["colours"])("other")  # the same words under another name
    code, _, err = command(
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours,other", "--llm", script(), "--data", photos,
        "--setting", "i1-s1-r0", "--scoring", "exact", "--limit", 3, "--out", "out",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(command("cache", "stats", "--json")[1])
    assert (found["entries"], found["notes"], found["shared"]) == (3, 6, 3)
    assert "Several tokenizers share 3 of them" in Path("out/report.md").read_text()


def test_export_is_sorted_and_equal_for_a_run_and_its_replay(ran: Command, command: Command) -> None:
    assert command("cache", "export", "out", "a.jsonl")[1].startswith("3 replies written")
    assert ran("again", "--cache-only")[0] == 0
    command("cache", "export", "again", "b.jsonl")
    command("cache", "export", "--all", "c.jsonl")
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes() == Path("c.jsonl").read_bytes()
    keys = [json.loads(line)["key"] for line in Path("a.jsonl").read_text().splitlines()]
    assert keys == sorted(keys)


def test_export_of_a_run_holds_its_replies_only(
    ran: Command, command: Command, photos: Path, script: Callable[..., str]
) -> None:
    code, _, err = command(
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", script("other"), "--data", photos,
        "--setting", "i1-s1-r0", "--scoring", "exact,ranked", "--limit", 4, "--out", "more",
    )  # fmt: skip
    assert code == 0, err
    assert command("cache", "export", "out", "a.jsonl")[1].startswith("3 replies")
    assert command("cache", "export", "more", "b.jsonl")[1].startswith("8 replies")
    assert command("cache", "export", "--all", "c.jsonl")[1].startswith("11 replies")


def test_cache_file_is_read_and_never_written(
    ran: Command, command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("cache", "export", "out", "shared.jsonl")
    sqlite = Path("shared.sqlite")
    store = reply_store()
    store.close()
    sqlite.write_bytes(store.path.read_bytes())
    monkeypatch.setenv("SPAE_CACHE", str(home / "another"))
    for shared in ("shared.jsonl", "shared.sqlite"):
        before, listing = Path(shared).read_bytes(), sorted(p.name for p in home.iterdir())
        assert ran(f"from-{shared}", "--cache-only")[0] == 2
        code, _, err = ran(f"from-{shared}", "--cache-only", "--cache-file", shared)
        assert code == 0, err
        assert Path(shared).read_bytes() == before
        new = {path.name for path in home.iterdir()} - set(listing)
        assert new - {"another"} == {f"from-{shared}"}  # the other cache folder holds tokens
        assert Path(f"from-{shared}/records.jsonl").read_bytes() == Path("out/records.jsonl").read_bytes()
    assert not (home / "another" / "replies.sqlite").exists()
    code, _, err = ran("none", "--cache-file", "nowhere.jsonl")
    assert code == 2 and "nowhere.jsonl" in err and err.count("\n") == 1


def test_import_all_or_none(ran: Command, command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command("cache", "export", "--all", "all.jsonl")
    monkeypatch.setenv("SPAE_CACHE", str(home / "another"))
    code, out, _ = command("cache", "import", "all.jsonl")
    assert code == 0 and "3 new, 0 known" in out
    assert "0 new, 3 known" in command("cache", "import", "all.jsonl")[1]
    edited = Path("all.jsonl").read_text().replace("lion", "vase")
    Path("edited.jsonl").write_text(edited)
    code, _, err = command("cache", "import", "edited.jsonl", "--replace")
    assert code == 2 and "3 damaged lines" in err and err.count("\n") == 1
    assert command("cache", "import", "all.jsonl", "--keep", "--replace")[0] == 2
    assert command("cache", "import", "all.jsonl", "--into", "all.sqlite")[0] == 2
    assert command("cache", "import", "all.jsonl", "--into", "copy.jsonl")[0] == 0
    assert Path("copy.jsonl").read_bytes() == Path("all.jsonl").read_bytes()


def test_verify_names_each_damaged_reply_and_prune_removes_it(ran: Command, command: Command) -> None:
    assert command("cache", "verify")[0] == 0
    damage(' lion\\n"')
    code, out, _ = command("cache", "verify")
    assert code == 1 and "its checksum differs" in out and "For each of the following" in out and "1 damaged" in out
    code, _, err = ran("again", "--cache-only")
    assert code == 2 and "prune --bad" in err
    code, _, err = command("cache", "export", "--all", "all.jsonl")
    assert code == 2 and "checksum" in err
    assert "1 damaged ones left out" in command("cache", "export", "--all", "--skip-bad", "all.jsonl")[1]
    assert "1 replies would be removed" in command("cache", "prune", "--bad", "--dry-run")[1]
    assert command("cache", "verify")[0] == 1
    assert "1 replies removed" in command("cache", "prune", "--bad")[1]
    assert command("cache", "verify")[0] == 0


def test_prune_without_a_criterion_is_refused(ran: Command, command: Command) -> None:
    code, _, err = command("cache", "prune")
    assert code == 2 and "--older-than" in err
    assert "3 replies removed" in command("cache", "prune", "--model", "script")[1]
    assert "0 replies" in command("cache", "stats")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cache", "export", "out"), "OUT FILE, or --all FILE"),
        (("cache", "export", "--all", "a", "b"), "OUT FILE, or --all FILE"),
        (("cache", "export", "--skip-bad", "a", "b"), "belongs to --all"),
        (("cache", "export", "nowhere", "b.jsonl"), "nowhere"),
        (("cache", "export", "--all", "a.jsonl"), "holds no replies"),
        (("cache", "import", "nowhere.jsonl"), "nowhere.jsonl"),
        (("cache", "verify", "nowhere.sqlite"), "nowhere.sqlite"),
        (("cache", "explain", "nowhere", "abc"), "nowhere"),
    ],
)
def test_misuse_is_one_line_and_2(command: Command, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = command(*arguments)
    assert code == 2 and words in err and err.count("\n") == 1


def test_explain_names_the_field_or_the_line_that_differs(
    ran: Command, command: Command, photos: Path, script: Callable[..., str]
) -> None:
    record = json.loads(Path("out/records.jsonl").read_text().splitlines()[0])
    code, out, _ = command("cache", "explain", "out", record["id"][:10])
    assert code == 0 and "its reply is stored in" in out and "nearest other request" in out
    # The same requests to another script: another revision.
    code, _, err = command(
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", script("script", default="no"),
        "--data", photos, "--setting", "i1-s1-r0", "--scoring", "exact", "--limit", 3, "--out", "second",
    )  # fmt: skip
    assert code == 0, err
    record = json.loads(Path("second/records.jsonl").read_text().splitlines()[0])
    _, out, _ = command("cache", "explain", "second", record["id"])
    assert "revision" in out and "the prompt is the same" in out and "max_new_tokens" not in out
    command("cache", "prune", "--model", "script")
    _, out, _ = command("cache", "explain", "second", record["id"])
    assert "no reply is stored" in out and "nothing is stored" in out
    code, _, err = command("cache", "explain", "second", "zz")
    assert code == 2 and "none does" in err
    code, _, err = command("cache", "explain", "second", "")
    assert code == 2


def test_explain_shows_a_changed_prompt_as_a_diff(ran: Command, command: Command, photos: Path) -> None:
    changed = ran("palm", "--prompt-style", "palm")
    assert changed[0] == 0
    command("cache", "export", "out", "gpt.jsonl")
    record = json.loads(Path("palm/records.jsonl").read_text().splitlines()[0])
    command("cache", "prune", "--model", "script")
    _, out, _ = command("cache", "explain", "palm", record["id"], "--cache-file", "gpt.jsonl")
    assert "--- stored" in out and "+++ asked" in out and '+Answer with "' in out
    assert "max_new_tokens  7       4" in out


def test_cache_miss_names_the_prompt_and_the_nearest_difference(ran: Command) -> None:
    code, _, err = ran("palm", "--prompt-style", "palm", "--cache-only")
    assert code == 2 and err.count("\n") == 1
    assert "there is none for 'Answer with" in err and "differs in max_new_tokens (7 stored, 4 asked); prompt (" in err


def test_cache_only_opens_no_socket(ran: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert ran("again", "--cache-only")[0] == 0
    code, _, err = ran("palm", "--prompt-style", "palm", "--cache-only")
    assert code == 2 and "--cache-only" in err


NO_SOCKET = """
import socket, sys
class Refusing(socket.socket):
    def __init__(self, *arguments, **options):
        print("SOCKET", file=sys.stderr)
        raise OSError("a socket was opened")
socket.socket = Refusing
from benchmarks.cli import run_command_line
run_command_line()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("llm", "words"),
    [
        pytest.param("hf:nobody/no-such-model", "cannot be fetched", id="hub"),
        pytest.param("openai:no-such-model", "--cache-only needs a stored reply", id="server"),
    ],
)
def test_cache_only_opens_no_socket_for_models_of_the_network(home: Path, photos: Path, llm: str, words: str) -> None:
    """In a process of its own: a hub's client decides when it is imported."""
    command = ["run", "--task", "miniimagenet-2way", "--tokenizer", "vqgan", "--llm", llm, "--data", str(photos)]
    command += ["--setting", "i1-s1-r0", "--scoring", "exact", "--limit", "1", "--cache-only"]
    done = subprocess.run(
        [sys.executable, "-c", NO_SOCKET, *command], capture_output=True, text=True, cwd=home,
        env={"PYTHONPATH": str(ROOT), "SPAE_CACHE": str(home / "cache"), "HF_HOME": str(home / "hf"),
             "PATH": "", "HOME": str(home), "OPENAI_API_KEY": "none", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2 and words in done.stderr and "SOCKET" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["stats", "export", "import", "verify", "prune", "explain"])
def test_every_command_has_help_with_an_example(command: Command, name: str) -> None:
    code, out, _ = command("cache", name, "--help")
    assert code == 0 and f"python -m benchmarks cache {name}" in out
