"""A wrong option is named before anything heavy is imported, with the nearest right one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import spae.tokenizers.registry
from benchmarks.arguments import check_key, check_names
from benchmarks.errors import UsageError
from llm_backends.cache.response_cache import ReplyCache
from llm_backends.errors import BackendUnavailable
from llm_backends.protocol import Choice, Completion, CompletionRequest
from llm_backends.registry import open_backend
from spae.errors import SpaeError
from tasks.errors import TaskError

RUN = {
    "tasks": ("miniimagenet-5way",), "tokenizers": ("spae", "vqgan"), "data": None, "settings": None,
    "layers": ("1-2",), "scorings": None, "paths": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": ("miniimagenet5way",)}, "did you mean 'miniimagenet-5way'?"),
        ({"tokenizers": ("spea",)}, "did you mean 'spae'?"),
        ({"tokenizers": ("hf:/nope",)}, "hf: takes OWNER/NAME"),
        ({"data": "pictogram"}, "did you mean 'pictograms'?"),
        ({"data": "/nofolder"}, "nothing at that path"),
        ({"data": "photoes/"}, "did you mean 'photos'?"),
        ({"data": "photoes?classes=names.txt"}, "did you mean 'photos'?"),
        ({"settings": ("1shot",)}, "did you mean 'i1-s1-r0'?"),
        ({"settings": ("5 shots",)}, "did you mean 'i1-s5-r0'?"),
        ({"settings": ("i1-s1-r2",)}, "did you mean 'i1-s1-r"),
        ({"scorings": ("rankd",)}, "did you mean 'ranked'?"),
        ({"scorings": ("exact", "normalised")}, "has no scoring 'normalised'"),
        ({"tasks": ("coco-captioning",), "scorings": ("ranked",)}, "--scoring rouge-l"),
        ({"layers": ("7",)}, "spae has layers 1 to 4, got --layers 7"),
        ({"layers": ("1-2,1-5",)}, "spae has layers 1 to 4"),
        ({"layers": ("swep",)}, "or sweep, got 'swep'"),
        ({"layers": ("2-1",)}, "runs upwards"),
        ({"paths": (Path("replys.jsonl"),)}, "did you mean 'replies.jsonl'?"),
    ],
    ids=str,
)
def test_a_wrong_name_is_refused_with_the_nearest_one(home: Path, changes: dict[str, object], said: str) -> None:
    (home / "photos").mkdir()
    (home / "replies.jsonl").write_text("")
    with pytest.raises((UsageError, TaskError, SpaeError)) as caught:
        check_names(**(RUN | changes))  # type: ignore[arg-type]
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": ("sweep",)}, {"tokenizers": ("vqgan",), "layers": ("1-2",)},
        {"tokenizers": ("runs/mine",), "layers": ("1-6",)},
        {"tokenizers": ("hf:me/mine@main",)}, {"data": "hf:me/data"}, {"data": "mnist:folder"}, {"data": "scenes"},
        {"tasks": ("coco-captioning",), "settings": ("shots=3",)}, {"data": "photos?classes=names.txt"},
    ],
    ids=str,
)  # fmt: skip
def test_what_only_opening_can_tell_is_let_through(home: Path, changes: dict[str, object]) -> None:
    (home / "photos").mkdir()
    check_names(**(RUN | changes))  # type: ignore[arg-type]


def test_the_depths_stated_are_those_of_the_tokenizers() -> None:
    for name, facts in spae.tokenizers.registry.BUILT_IN.items():
        assert spae.tokenizers.registry.open_tokenizer(name).depth == facts.depth, name


def test_a_missing_key_is_named_at_once_unless_replies_are_stored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BackendUnavailable, match="OPENAI_API_KEY is not set"):
        check_key("openai:some-model", {}, lambda _: False)
    check_key("openai:some-model", {}, lambda _: True)
    check_key("openai:some-model", {"base_url": "http://localhost:8000/v1"}, lambda _: False)
    check_key("smollm2", {}, lambda _: False)
    store = ReplyCache(home / "cache" / "replies.sqlite")
    model = open_backend("openai:some-model").identity
    assert not store.holds(model)
    store.put(model, CompletionRequest(prompt="p", max_new_tokens=1),
              Completion(choices=(Choice(text="t", finish="stop"),)))  # fmt: skip
    assert store.holds(model) and not store.holds(open_backend("openai:another-model").identity)
    store.close()


@pytest.mark.parametrize(
    "options",
    [["--data", "/nofolder"], ["--layers", "7"], ["--setting", "1shot"], ["--llm", "openai:m", "--scoring", "exact"]],
    ids=lambda options: options[0],
)
def test_nothing_heavy_is_imported_for_it(home: Path, options: list[str]) -> None:
    program = (
        "import sys; from benchmarks.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'openai', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--task", "miniimagenet-5way", *options],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    name, heavy = done.stdout.splitlines()
    assert name in ("UsageError", "BackendUnavailable") and heavy == "[]", done.stderr


@pytest.mark.parametrize("task", ["miniimagenet-2way", "real-fast-vqa"])
def test_a_limit_without_end_is_refused(task: str) -> None:
    from tasks.errors import TaskInputError
    from tasks.registry import entry, open_data, open_task

    facts = entry(task)
    with pytest.raises(TaskInputError, match=r"limit must be 1 to 10,000 .* got 1,000,000,000"):
        open_task(task).samples(open_data(facts, facts.default_data), facts.settings[:1], 0, 1_000_000_000)
