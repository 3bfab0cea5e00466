"""The registry of backends and their options."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm_backends import registry
from llm_backends.errors import BackendInputError, BackendUnavailable
from llm_backends.options import list_options, options_model, parse_options
from llm_backends.registry import BUILT_IN, find_backend, list_backends, open_backend
from llm_backends.scripted.backend import ScriptedBackend
from spae.canonical import Frozen


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str, options: str = "") -> None:
    points = [importlib.metadata.EntryPoint(name=name, value=value, group=registry.GROUP)]
    if options:
        points.append(importlib.metadata.EntryPoint(name=name, value=options, group=registry.OPTIONS_GROUP))
    monkeypatch.setattr(registry, "entry_points", lambda group: [one for one in points if one.group == group])


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from llm_backends.registry import list_backends; list_backends();"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'pandas', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_opening_smollm2_imports_no_torch_and_knows_its_identity(tmp_path: Path) -> None:
    code = (
        "import sys; from llm_backends.registry import open_backend; b = open_backend('smollm2', dtype='bfloat16');"
        "print(b.identity.model_dump_json(), b.capabilities.context_length,"
        "'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"SPAE_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    identity, length, torch, transformers = out.stdout.split()
    assert json.loads(identity) == {
        "kind": "transformers",
        "model": "SmolLM2-135M-Instruct",
        "revision": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "dtype": "bfloat16",
    }
    assert (length, torch, transformers) == ("8192", "False", "False")
    assert list(tmp_path.iterdir()) == []


def test_every_target_exists() -> None:
    import importlib

    for entry in BUILT_IN:
        module, _, attribute = entry.target.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))
        assert issubclass(options_model(entry), Frozen)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param("smolm2", "did you mean 'smollm2'", id="near miss"),
        pytest.param("SmolLM2", "did you mean 'smollm2'", id="capitals"),
        pytest.param("gpt-9", "known: smollm2, gemma3-270m, hf:PATH_OR_NAME, gguf:FILE, ", id="nothing near"),
        pytest.param("hf", "needs PATH_OR_NAME", id="missing argument"),
        pytest.param("smollm2:large", "takes nothing after the name", id="one too many"),
        pytest.param("", "unknown language model ''", id="empty"),
    ],
)
def test_wrong_names(spec: str, message: str) -> None:
    with pytest.raises(BackendInputError, match=message):
        find_backend(spec)


def test_wrong_dtype() -> None:
    with pytest.raises(BackendInputError, match="got 'int3'"):
        open_backend("smollm2", dtype="int3")


def test_an_entry_point_adds_a_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "s.json"
    script.write_text('{"default": "hello"}')
    plug_in(monkeypatch, "parrot", "llm_backends.scripted.backend:open_scripted")
    assert "parrot" in list_backends()
    assert open_backend(f"parrot:{script}").identity.model == "s"


def test_an_entry_point_cannot_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "smollm2", "somewhere:else")
    with pytest.raises(BackendInputError, match="belongs to one package"):
        list_backends()


def test_a_broken_entry_point_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "parrot", "no_such_module_here:open")
    with pytest.raises(BackendUnavailable, match="'parrot' does not load"):
        open_backend("parrot:x")


@pytest.mark.parametrize("spec", ["smollm2", "gemma3-270m", "hf:./m", "gguf:m.gguf", "scripted:s.json"])
def test_backends_without_options_refuse_any(spec: str) -> None:
    with pytest.raises(BackendInputError, match=r"has no option 'threads': it takes none"):
        open_backend(spec, options={"threads": "2"})


def test_an_unknown_option_names_the_nearest_and_the_known_ones() -> None:
    with pytest.raises(BackendInputError, match=r"'thread': did you mean 'threads'\? known: gpu_layers, threads"):
        parse_options(find_backend("llamacpp:f")[0], {"thread": "2"})


def test_a_device_is_for_local_models() -> None:
    with pytest.raises(BackendInputError, match="--device is for local models"):
        open_backend("openai:m", device="cpu")


def test_every_option_is_described() -> None:
    for entry in BUILT_IN:
        assert all(one.description and "\n" not in one.description for one in list_options(entry))
    named = {one.name: one.default for one in list_options(find_backend("openai:m")[0])}
    assert list(named) == [
        "base_url", "api", "key_env", "key_file", "concurrency", "timeout", "max_attempts", "budget", "price",
        "tokenizer", "echo_logprobs", "body.NAME", "header.NAME",
    ]  # fmt: skip
    assert (named["api"], named["max_attempts"], named["key_env"], named["base_url"]) == ("auto", "6", "", "")


def test_a_plug_in_brings_options(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "parrot", f"{__name__}:open_talker", f"{__name__}:TalkerOptions")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[open_talker.__module__])
    assert open_backend("parrot:x", options={"volume": "3"}).identity.model == "x3"
    with pytest.raises(BackendInputError, match="volume=loud"):
        open_backend("parrot:x", options={"volume": "loud"})


class TalkerOptions(Frozen):
    volume: int = 1


def open_talker(argument: str, *, dtype: str, device: str, options: TalkerOptions) -> ScriptedBackend:
    return ScriptedBackend(name=f"{argument}{options.volume}")
