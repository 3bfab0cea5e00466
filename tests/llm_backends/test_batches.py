"""Batch size, order and padding change nothing: random batches on tiny models, against one sequence at a time."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm_backends.errors import CallFailed
from llm_backends.local.backend import OUT_OF_MEMORY, LocalBackend
from llm_backends.local.batching import BatchSize
from llm_backends.local.causal import ONE_AT_A_TIME, CausalRunner
from llm_backends.local.folder import FolderSource
from llm_backends.local.kv_cache import cache_argument
from llm_backends.local.single_sequence import WITHOUT_CACHE
from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Request
from llm_backends.usage import Metered, Usage

HEAD = "For each of the following input output pairs, output is one of ['lion', 'vase']\n###\nInput: cat\nOutput:"
CONTEXTS = [
    HEAD,
    HEAD + " lion\n###\nInput: truck\nOutput:",
    HEAD + " lion\n###\nInput: truck\nOutput: vase\n###\nInput: vase\nOutput:",
    HEAD[:40],
    "This is a",
    "Answer with lion or vase. This is a",
    "x",
]
NAMES = (" lion\n", " vase\n", " truck\n", " cat", " a lion or a cat, what is this?")


def backend(folder: Path, cells: int | None = None, rows: int | None = None) -> LocalBackend:
    one = LocalBackend(FolderSource(folder, "float32"), device="cpu", rows=rows)
    if cells is not None:
        one.__dict__["_size"] = BatchSize(cells, rows)
    return one


@cache
def alone(folder: Path, request: Request) -> Any:
    """The reply of a freshly opened model, by full passes over one sequence."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = backend(folder).text_tokenizer
    if isinstance(request, LikelihoodRequest):
        split = text.split(request.context, request.continuations)
        sums = []
        for tail in split.tails:
            whole = [*split.context, *tail]
            with torch.no_grad():
                probabilities = model(torch.tensor([whole]), use_cache=False).logits[0].double().log_softmax(-1)
            sums.append(sum(float(probabilities[i - 1, whole[i]]) for i in range(len(split.context), len(whole))))
        return sums
    assert isinstance(request.prompt, str)
    ids = text.encode(request.prompt)
    new: list[int] = []
    while len(new) < request.max_new_tokens:
        with torch.no_grad():
            token = int(model(torch.tensor([[*ids, *new]]), use_cache=False).logits[0, -1].argmax())
        if token == 0:
            break
        new.append(token)
    return text.decode_after(ids, new)


questions = st.builds(
    LikelihoodRequest,
    context=st.sampled_from(CONTEXTS),
    continuations=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5).map(tuple),
)
prompts = st.builds(CompletionRequest, prompt=st.sampled_from(CONTEXTS), max_new_tokens=st.integers(1, 6))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(questions | prompts, min_size=1, max_size=9),
    cells=st.sampled_from([1, 60, 400, 10**6]),
    rows=st.sampled_from([None, 1, 3]),
    pass_tokens=st.sampled_from([0, 5, 32, 10**6]),
)
@pytest.mark.parametrize("model", ["tiny_llama", "tiny_sliding"])
def test_batches_change_nothing(
    model: str,
    asked: list[Request],
    cells: int,
    rows: int | None,
    pass_tokens: int,
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue(model)
    one = opened(folder)
    one.__dict__["_size"] = BatchSize(cells, rows)
    one._runner._pass_tokens = pass_tokens
    assert one._runner.batches
    found = dict(one.stream(asked))
    assert sorted(found) == list(range(len(asked)))
    for index, question in enumerate(asked):
        reply = found[index]
        assert not isinstance(reply, Exception)
        if isinstance(question, LikelihoodRequest):
            assert reply.values == pytest.approx(alone(folder, question), abs=1e-4)  # type: ignore[union-attr]
        else:
            assert reply.text == alone(folder, question)  # type: ignore[union-attr]


@cache
def opened(folder: Path) -> LocalBackend:
    """One backend for all examples, so that each meets the caches of earlier ones."""
    return backend(folder)


def test_a_batch_reads_shared_prefixes_once(tiny_llama: Path) -> None:
    one = backend(tiny_llama, cells=10**6)
    one._runner._pass_tokens = 0
    ids = [tuple(one.text_tokenizer.encode(context)) for context in CONTEXTS]
    assert one._runner.batches
    one.loglikelihood([LikelihoodRequest(context=context, continuations=NAMES) for context in CONTEXTS])
    tree = {prompt[:n] for prompt in ids for n in range(1, len(prompt))}
    assert one._runner.tokens_run == len(tree) + len(ids)


def test_running_out_of_memory_changes_no_reply(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = [LikelihoodRequest(context=context, continuations=NAMES) for context in CONTEXTS]
    asked += [CompletionRequest(prompt=context, max_new_tokens=4) for context in CONTEXTS]
    calm = dict(backend(tiny_llama, cells=10**6).stream(asked))
    one = backend(tiny_llama, cells=10**6)
    assert one._runner.batches
    inner, most, failed = one._runner.model.forward, 90, []

    def forward(input_ids: torch.Tensor, **options: Any) -> Any:
        known = options.get("cache", options.get("past_key_values"))
        width = input_ids.shape[1] + (known.get_seq_length() if known is not None else 0)
        if input_ids.shape[0] * width > most:
            failed.append(input_ids.shape)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return inner(input_ids=input_ids, **options)

    monkeypatch.setattr(one._runner.model, "forward", forward)
    tight = dict(one.stream(asked))
    assert failed, "the fault was never met"
    assert 0 < one.usage.slow_paths[OUT_OF_MEMORY] <= len(asked)
    assert sorted(tight) == sorted(calm)
    for index, reply in calm.items():
        other = tight[index]
        assert not isinstance(other, CallFailed), "each fits alone"
        if isinstance(asked[index], LikelihoodRequest):
            assert other.values == pytest.approx(reply.values, abs=1e-4)  # type: ignore[union-attr]
        else:
            assert other == reply


def tiny(kind: str) -> PreTrainedModel:
    """A random model of an architecture with its own positions, windows or state."""
    import transformers as t

    torch.manual_seed(3)
    base = {"vocab_size": 340, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.35}
    llama = {**base, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    marks = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
    made: dict[str, Any] = {
        "gpt2": lambda: t.GPT2LMHeadModel(
            t.GPT2Config(
                vocab_size=340, n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.35, **marks
            )
        ),
        "opt": lambda: t.OPTForCausalLM(
            t.OPTConfig(
                vocab_size=340, hidden_size=32, word_embed_proj_dim=32, num_hidden_sources=2, ffn_dim=64,
                num_attention_heads=4, max_position_embeddings=256, init_std=0.35, **marks
            )
        ),
        "bloom": lambda: t.BloomForCausalLM(
            t.BloomConfig(vocab_size=340, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.35, **marks)
        ),
        "gemma3": lambda: t.Gemma3ForCausalLM(
            t.Gemma3TextConfig(
                **llama, head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"],
                max_position_embeddings=256, **marks
            )
        ),
        "mamba": lambda: t.MambaForCausalLM(t.MambaConfig(**base, state_size=8, **marks)),
        "recurrent_gemma": lambda: t.RecurrentGemmaForCausalLM(
            t.RecurrentGemmaConfig(**{**llama, "num_hidden_layers": 3}, lru_width=32, attention_window_size=8, **marks)
        ),
        "lfm2": lambda: t.Lfm2ForCausalLM(
            t.Lfm2Config(**llama, layer_types=["conv", "full_attention"], max_position_embeddings=256, **marks)
        ),
        "qwen3_next": lambda: t.Qwen3NextForCausalLM(
            t.Qwen3NextConfig(
                **llama, layer_types=["linear_attention", "full_attention"], head_dim=8, linear_num_value_heads=4,
                linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8, max_position_embeddings=256,
                num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, shared_expert_intermediate_size=32,
                **marks
            )
        ),
        "llama4": lambda: t.Llama4ForCausalLM(
            t.Llama4TextConfig(
                **llama, intermediate_size_mlp=64, head_dim=8, num_local_experts=2, attention_chunk_size=6,
                max_position_embeddings=256, **marks
            )
        ),
        "minimax": lambda: t.MiniMaxForCausalLM(
            t.MiniMaxConfig(
                **llama, layer_types=["linear_attention", "full_attention"], num_local_experts=2, block_size=4,
                head_dim=8, **marks
            )
        ),
        "rwkv": lambda: t.RwkvForCausalLM(
            t.RwkvConfig(
                vocab_size=340, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, intermediate_size=64,
                context_length=256, bos_token_id=1, eos_token_id=0
            )
        ),
    }  # fmt: skip
    model: PreTrainedModel = made[kind]().eval()
    return model


@pytest.mark.parametrize(
    ("kind", "together"),
    [
        ("gpt2", True),
        ("opt", True),
        ("bloom", None),
        ("gemma3", True),
        ("mamba", False),
        ("recurrent_gemma", False),
        ("lfm2", False),
        ("qwen3_next", False),
        ("llama4", False),
        ("minimax", False),
        ("rwkv", False),
    ],
)
def test_every_architecture_is_scored_and_continued_exactly(kind: str, together: bool | None) -> None:
    model = tiny(kind)
    runner = CausalRunner(model)
    runner._pass_tokens = 4
    if together is not None:
        assert runner.batches is together
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(2, 340, (n,), generator=generator).tolist() for n in (3, 21, 14)]
    texts.append([*texts[1][:12], *texts[0]])
    tails = [[5, 6, 7], [8], [9, 10]]

    def whole(ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = model(torch.tensor([ids]), use_cache=False).logits[0]
        return logits.double().log_softmax(-1)

    found = runner.score([(text, tails) for text in texts])
    for text, values in zip(texts, found, strict=True):
        for tail, value in zip(tails, values, strict=True):
            probabilities = whole([*text, *tail])
            expected = sum(float(probabilities[len(text) + i - 1, token]) for i, token in enumerate(tail))
            assert value == pytest.approx(expected, abs=1e-4)
    groups = [texts] if runner.batches else [[text] for text in texts]
    if not runner.batches:
        assert runner._single.caches, "each new token is read alone"
    read: list[int] = []
    inner = model.forward

    def forward(input_ids: torch.Tensor, **options: Any) -> Any:
        read.append(input_ids.shape[1])
        return inner(input_ids=input_ids, **options)

    for group in groups:
        model.forward = forward  # type: ignore[method-assign]
        rows = [list(text) for text in group]
        batch = runner.decode(group, [1] * len(group))
        for _ in range(6):
            new = batch.logits.argmax(-1).tolist()
            for row, token in zip(rows, new, strict=True):
                row.append(token)
            batch.step(new)
        model.forward = inner  # type: ignore[method-assign]
        assert read[-6:] == [1] * 6
        # Only now: some models keep their state in themselves, which another text in between would change.
        for text, row in zip(group, rows, strict=True):
            for length in range(len(text), len(row)):
                assert row[length] == int(whole(row[:length])[-1].argmax())


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_either_spelling_of_the_cache_argument_is_found(name: str) -> None:
    def forward(input_ids: Any, **options: Any) -> None: ...

    parameters = [inspect.Parameter(one, inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in ("input_ids", name)]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    assert cache_argument(cast(PreTrainedModel, SimpleNamespace(forward=forward))) == name


def test_a_slow_path_is_logged_once_with_its_reason(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = backend(tiny_llama, cells=10**6)
    runner = one._runner

    def refuses(input_ids: torch.Tensor, cache: Any = None, **options: Any) -> Any:
        raise TypeError("position_ids is not taken")

    monkeypatch.setattr(runner.model, "forward", refuses)
    assert not runner.batches
    assert [record.getMessage() for record in caplog.records] == [
        f"LlamaForCausalLM: {ONE_AT_A_TIME}: TypeError: position_ids is not taken"
    ]
    assert not runner.batches
    assert len(caplog.records) == 1, "logged once"


def test_an_unexpected_error_of_the_check_is_raised(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = backend(tiny_llama, cells=10**6)._runner

    def breaks(input_ids: torch.Tensor, cache: Any = None, **options: Any) -> Any:
        raise MemoryError("no memory")

    monkeypatch.setattr(runner.model, "forward", breaks)
    with pytest.raises(MemoryError):
        _ = runner.batches


def test_requests_on_a_slow_path_are_counted(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [CompletionRequest(prompt=text, max_new_tokens=3) for text in ("This is a", "Input: cat", "x")]
    scores = [LikelihoodRequest(context="This is", continuations=(" a lion", " a cat"))]
    expected = backend(tiny_llama)
    replies = [expected.complete(prompts), expected.loglikelihood(scores)]
    assert isinstance(expected, Metered) and expected.usage == Usage()
    slow = backend(tiny_llama)
    monkeypatch.setitem(slow._runner.__dict__, "batches", False)
    assert slow.complete(prompts) == replies[0]
    assert slow.loglikelihood(scores)[0].values == pytest.approx(replies[1][0].values, abs=1e-4)
    assert slow.usage == Usage(slow_paths={ONE_AT_A_TIME: 4})
    monkeypatch.setitem(slow._runner._single.__dict__, "caches", False)
    assert slow.complete(prompts[:2]) == replies[0][:2]
    assert slow.usage == Usage(slow_paths={ONE_AT_A_TIME: 6, WITHOUT_CACHE: 2})
