"""The llama.cpp backend over a stand-in for its package: the same model, run by transformers behind llama.cpp's calls.

So both local backends must say the same, and what differs is a fault of ours. Where the real package is installed, the
slow test asks it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.local.backend import LocalBackend
from llm_backends.local.folder import FolderSource
from llm_backends.local.llamacpp import LlamaCppBackend, LlamaCppOptions, open_llamacpp
from llm_backends.local.smollm2 import find_gguf
from llm_backends.protocol import Backend, CompletionRequest, LikelihoodRequest, Request, Streams
from llm_backends.registry import open_backend

HEAD = "For each of the following input output pairs, output is one of ['lion', 'vase']\n###\nInput: cat\nOutput:"
NAMES = (" lion\n", " vase\n", " truck\n", " cat", " a lion or a cat, what is this?")


class StandIn:
    """The part of `llama_cpp.Llama` that the backend uses, with a model folder instead of a GGUF file's weights."""

    folder: ClassVar[Path]
    windows: ClassVar[list[int]] = []
    fail_from: ClassVar[int | None] = None

    def __init__(
        self,
        *,
        model_path: str,
        n_ctx: int,
        n_gpu_layers: int,
        n_threads: int | None,
        logits_all: bool,
        swa_full: bool,
        type_k: int,
        type_v: int,
        verbose: bool,
    ) -> None:
        assert Path(model_path).is_file() and logits_all and swa_full and (type_k, type_v) == (0, 0)
        self.windows.append(n_ctx)
        self.gpu_layers, self.threads = n_gpu_layers, n_threads
        self._n_ctx = n_ctx
        self._tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self._tokenizer.encode_special_tokens = True
        self._model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
        self.n_tokens = 0
        self._held: list[int] = []
        self.scores = np.full((n_ctx, 340), np.nan, np.float32)
        self.metadata = {"tokenizer.ggml.eos_token_id": "0"}

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        assert not special, "markup in a prompt is text"
        return list(self._tokenizer.encode(text.decode(), add_special_tokens=add_bos).ids)

    def detokenize(self, tokens: list[int], special: bool = False) -> bytes:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=not special)).encode()

    def token_eos(self) -> int:
        return 0

    def n_vocab(self) -> int:
        return 340

    def reset(self) -> None:
        self.n_tokens = 0

    def eval(self, tokens: list[int]) -> None:
        self._held = [*self._held[: self.n_tokens], *tokens]
        if self.fail_from is not None and len(self._held) >= self.fail_from:
            raise RuntimeError("llama_decode returned -1")
        assert len(self._held) <= self._n_ctx
        with torch.no_grad():
            logits = self._model(torch.tensor([self._held]), use_cache=False).logits[0]
        self.scores[self.n_tokens : len(self._held)] = logits[self.n_tokens :].numpy()
        self.n_tokens = len(self._held)


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file with a header only: the stand-in has the weights."""
    path = tmp_path / "tiny.Q4_0.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.fixture
def stand_in(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    module = ModuleType("llama_cpp")
    module.Llama = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    monkeypatch.setattr(StandIn, "folder", tiny_llama, raising=False)
    monkeypatch.setattr(StandIn, "windows", [])
    return StandIn


@pytest.fixture
def peer(tiny_llama: Path) -> LocalBackend:
    return LocalBackend(FolderSource(tiny_llama, "float32"), device="cpu")


ASKED: list[Request] = [
    LikelihoodRequest(context=HEAD, continuations=NAMES),
    CompletionRequest(prompt=HEAD, max_new_tokens=9),
    CompletionRequest(prompt=HEAD + " lion\n###\nInput: truck\nOutput:", max_new_tokens=9, stop=("o",)),
    LikelihoodRequest(context="This is a", continuations=NAMES[:2]),
    CompletionRequest(prompt="This is a", max_new_tokens=6, temperature=1.3, n=3, seed=4),
    CompletionRequest(prompt=(40, 50, 60), max_new_tokens=4),
    CompletionRequest(prompt="a lion<|end|>", max_new_tokens=4),
]


@pytest.mark.usefixtures("stand_in")
def test_it_replies_as_transformers_does(gguf: Path, peer: LocalBackend) -> None:
    ours = open_backend(f"llamacpp:{gguf}")
    assert isinstance(ours, Backend) and isinstance(ours, Streams)
    found, expected = dict(ours.stream(ASKED)), dict(peer.stream(ASKED))
    for index, question in enumerate(ASKED):
        reply, other = found[index], expected[index]
        assert not isinstance(reply, BackendError) and not isinstance(other, BackendError)
        if isinstance(question, LikelihoodRequest):
            assert reply.values == pytest.approx(other.values, abs=1e-4)  # type: ignore[union-attr]
        else:
            assert reply == other
    assert ours.capabilities == peer.capabilities
    assert ours.count_tokens(HEAD) == peer.count_tokens(HEAD)


@pytest.mark.usefixtures("stand_in")
def test_shared_prefixes_are_read_once(gguf: Path) -> None:
    ours = LlamaCppBackend(gguf)
    context = ours.count_tokens(HEAD)
    names = [len(ours.text_tokenizer.encode(HEAD + name)) - context for name in NAMES]
    ours.loglikelihood([LikelihoodRequest(context=HEAD, continuations=NAMES)])
    # Once the context, and each continuation but for its last token; the token before one of a single token twice.
    assert context <= ours.tokens_run <= context + sum(names)
    read = ours.tokens_run
    longer = HEAD + " lion\n###\nInput: truck\nOutput:"
    ours.loglikelihood([LikelihoodRequest(context=longer, continuations=(" lion",))])
    assert ours.tokens_run - read <= ours.count_tokens(longer) - context + 1


@pytest.mark.usefixtures("stand_in")
def test_the_context_window_grows_with_the_request(gguf: Path, stand_in: type[StandIn]) -> None:
    ours = LlamaCppBackend(gguf)
    ours.__dict__["capabilities"] = ours.capabilities.model_copy(update={"context_length": 5000})
    ours.complete([CompletionRequest(prompt="x", max_new_tokens=1)])
    assert stand_in.windows == [2048]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, "eval", lambda self, tokens: (_ for _ in ()).throw(RuntimeError("too much for a test")))
        with pytest.raises(CallFailed, match="could not read a text of"):
            ours.complete([CompletionRequest(prompt="x" * 2100, max_new_tokens=2500)])
    assert stand_in.windows == [2048, 5000]


@pytest.mark.usefixtures("stand_in")
def test_too_long_is_refused_before_anything_is_read(gguf: Path) -> None:
    ours = LlamaCppBackend(gguf)
    found = dict(
        ours.stream(
            [CompletionRequest(prompt="x", max_new_tokens=1), CompletionRequest(prompt="a", max_new_tokens=256)]
        )
    )
    assert isinstance(found[1], PromptTooLong) and "257 tokens, tiny.Q4_0 takes 256" in str(found[1])
    assert not isinstance(found[0], BackendError)


@pytest.mark.usefixtures("stand_in")
def test_a_failed_evaluation_does_not_affect_others(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = LlamaCppBackend(gguf)
    monkeypatch.setattr(StandIn, "fail_from", 20)
    found = dict(ours.stream(ASKED))
    assert isinstance(found[0], CallFailed) and "llama_decode returned -1" in str(found[0])
    assert isinstance(found[1], CallFailed)
    monkeypatch.setattr(StandIn, "fail_from", None)
    fresh = dict(LlamaCppBackend(gguf).stream(ASKED))
    for index in (3, 4, 5):
        assert found[index] == fresh[index]


def test_its_identity_differs_from_transformers(gguf: Path) -> None:
    identity = open_llamacpp(str(gguf), dtype="float32", device="auto", options=LlamaCppOptions()).identity
    assert (identity.kind, identity.model, identity.dtype) == ("llamacpp", "tiny.Q4_0", "gguf")
    assert len(identity.revision) == 64


@pytest.mark.usefixtures("stand_in")
def test_the_device_is_passed_on(gguf: Path) -> None:
    for device, layers in (("cpu", 0), ("auto", -1), ("cuda", -1)):
        ours = LlamaCppBackend(gguf, device=device)
        ours.count_tokens("x")
        assert (ours._opened.gpu_layers, ours._opened.threads) == (layers, None)


@pytest.mark.usefixtures("stand_in")
def test_options_are_passed_on_and_do_not_change_the_identity(gguf: Path) -> None:
    ours = open_backend(f"llamacpp:{gguf}", options={"gpu_layers": "3", "threads": "2"})
    ours.count_tokens("x")
    assert isinstance(ours, LlamaCppBackend) and (ours._opened.gpu_layers, ours._opened.threads) == (3, 2)
    assert ours.identity == open_backend(f"llamacpp:{gguf}").identity


@pytest.mark.usefixtures("stand_in")
def test_wrong_requests(gguf: Path) -> None:
    ours = LlamaCppBackend(gguf)
    with pytest.raises(BackendInputError, match="below 340"):
        ours.complete([CompletionRequest(prompt=(1, 340), max_new_tokens=1)])
    with pytest.raises(BackendInputError, match="leave it out"):
        open_llamacpp(str(gguf), dtype="bfloat16", device="auto", options=LlamaCppOptions())
    assert list(ours.stream([])) == []


def test_a_missing_package_names_its_install_line(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(BackendUnavailable, match=r"llama-cpp-python .*pip install '\.\[llamacpp\]'"):
        LlamaCppBackend(gguf).count_tokens("x")


if importlib.util.find_spec("llama_cpp") is not None:  # an optional extra, so a build server has none to skip

    @pytest.mark.slow
    def test_the_real_one_agrees_with_transformers_on_the_same_file() -> None:
        ours, other = (
            LlamaCppBackend(find_gguf(), device="cpu"),
            open_backend("smollm2", device="cpu"),
        )
        context = "Input: red\nOutput: color\n###\nInput: dog\nOutput: animal\n###\nInput: blue\nOutput:"
        asked = LikelihoodRequest(context=context, continuations=(" color\n", " animal\n", " a tea pot\n"))
        (found,), (expected,) = ours.loglikelihood([asked]), other.loglikelihood([asked])
        # Not the same numbers: llama.cpp multiplies in the file's 4 bits, and its activations in 8.
        assert found.values == pytest.approx(expected.values, abs=0.5)
        prompt = CompletionRequest(prompt=context, max_new_tokens=4, stop=("\n",))
        assert ours.complete([prompt]) == other.complete([prompt])
        again = LlamaCppBackend(find_gguf(), device="cpu")
        for name, value in zip(asked.continuations, found.values, strict=True):
            (alone,) = again.loglikelihood([LikelihoodRequest(context=context, continuations=(name,))])
            assert alone.values == pytest.approx((value,), abs=1e-4)
        assert ours.text_tokenizer.encode(context) == other.text_tokenizer.encode(context)
