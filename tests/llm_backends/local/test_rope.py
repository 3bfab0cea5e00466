"""Positions that depend on the length of a text, against whole passes of a fresh model over one text at a time."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm_backends.local.backend import LocalBackend
from llm_backends.local.causal import ONE_AT_A_TIME, CausalRunner
from llm_backends.local.folder import FolderSource
from llm_backends.local.rope import LengthDependentRope
from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Request
from tests.llm_backends.conftest import save_tokenizer

BORDER = 64
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.7],
    "long_factor": [1.0, 5.0, 11.0, 40.0],
    "original_max_position_embeddings": BORDER,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
KINDS = ("phi3", "llama-longrope", "phimoe", "llama-dynamic", "gemma3-dynamic")


def tiny(kind: str) -> PreTrainedModel:
    """A random model whose frequencies change above 64 tokens."""
    import transformers as t

    torch.manual_seed(5)
    sizes: dict[str, Any] = {
        "vocab_size": 340, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "initializer_range": 0.35, "bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    long = {**sizes, "max_position_embeddings": 256, "rope_parameters": dict(LONGROPE)}
    short = {**sizes, "max_position_embeddings": BORDER}
    made: dict[str, Any] = {
        "phi3": lambda: t.Phi3ForCausalLM(t.Phi3Config(**long, original_max_position_embeddings=BORDER)),
        "llama-longrope": lambda: t.LlamaForCausalLM(t.LlamaConfig(**long)),
        "phimoe": lambda: t.PhimoeForCausalLM(
            t.PhimoeConfig(
                **{**long, "rope_parameters": {**LONGROPE, "short_mscale": 1.1, "long_mscale": 1.3}},
                num_local_experts=2, original_max_position_embeddings=BORDER,
            )
        ),
        "llama-dynamic": lambda: t.LlamaForCausalLM(t.LlamaConfig(**short, rope_parameters=dict(DYNAMIC))),
        "gemma3-dynamic": lambda: t.Gemma3ForCausalLM(
            t.Gemma3TextConfig(
                **short, head_dim=8, sliding_window=16, layer_types=["sliding_attention", "full_attention"],
                rope_parameters={"sliding_attention": dict(PLAIN), "full_attention": dict(DYNAMIC)},
            )
        ),
    }  # fmt: skip
    model: PreTrainedModel = made[kind]().eval()
    return model


def texts(*lengths: int) -> list[list[int]]:
    """Texts of so many tokens, the beginning of each longer one the same as the shorter ones'."""
    generator = torch.Generator().manual_seed(1)
    longest = torch.randint(2, 340, (max(lengths),), generator=generator).tolist()
    return [longest[:length] for length in lengths]


def whole(kind: str, ids: list[int]) -> torch.Tensor:
    """Log-probabilities [L, V] of a fresh model, by one pass."""
    return _whole(kind, tuple(ids))


@cache
def _whole(kind: str, ids: tuple[int, ...]) -> torch.Tensor:
    model = copy.deepcopy(_fresh(kind))
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([ids]), use_cache=False).logits[0]
    return logits.double().log_softmax(-1)


_fresh = cache(tiny)


@pytest.mark.parametrize("order", [1, -1], ids=["mixed", "reversed"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_each_text_alone(kind: str, order: int) -> None:
    runner = CausalRunner(tiny(kind))
    asked = texts(9, 100, 62, 64, 61)[::order]
    tails = [[5, 6, 7], [8], [9, 10]]
    found = runner.score([(text, tails) for text in asked])
    for text, values in zip(asked, found, strict=True):
        for tail, value in zip(tails, values, strict=True):
            probabilities = whole(kind, [*text, *tail][:-1])
            expected = sum(float(probabilities[len(text) + i - 1, token]) for i, token in enumerate(tail))
            assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_replies_that_cross_the_border_are_those_of_whole_passes(kind: str) -> None:
    runner = CausalRunner(tiny(kind))
    runner.score([(texts(120)[0], [[5]])])  # what it leaves behind must not count
    for text in texts(62, 100, 20):
        reply = runner.decode([text], [1])
        row = list(text)
        for _ in range(5):
            assert reply.logits[0].double().log_softmax(-1) == pytest.approx(whole(kind, row)[-1], abs=1e-4)
            row.append(int(reply.logits[0].argmax()))
            reply.step([row[-1]])


def test_the_border_matters_to_these_models() -> None:
    for kind in KINDS:
        (text,) = texts(100)
        long, short = whole(kind, text)[:BORDER], whole(kind, text[:BORDER])
        assert float((long - short).abs().max()) > 0.05, kind


def test_on_one_side_of_the_border_a_reply_reads_each_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CausalRunner(tiny("phi3"))
    assert runner._single.caches
    read: list[int] = []
    forward = runner.model.forward

    def counted(input_ids: torch.Tensor, **options: Any) -> Any:
        read.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(runner.model, "forward", counted)
    reply = runner.decode(texts(62), [1])
    for token in range(5, 11):
        reply.step([token])
    assert read == [62, 1, 1, 65, 1, 1, 1], "read again once, where the frequencies change"


def test_plain_positions_do_not_depend_on_the_length() -> None:
    import transformers as t

    yarn = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
    for parameters in (PLAIN, yarn):
        config = t.LlamaConfig(
            vocab_size=340, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
            max_position_embeddings=256, rope_parameters=dict(parameters),
        )  # fmt: skip
        model = t.LlamaForCausalLM(config).eval()
        assert not LengthDependentRope(model)
        assert CausalRunner(model).batches


def test_a_short_question_beside_a_long_one_is_scored_as_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-phi3"
    save_tokenizer(folder)
    tiny("phi3").save_pretrained(folder)

    def opened() -> LocalBackend:
        return LocalBackend(FolderSource(folder, "float32"), device="cpu")

    short, long = "Input: cat\nOutput:", "Input: lion cat vase truck\nOutput: lion\n###\n" * 5 + "Input: cat\nOutput:"
    assert opened().count_tokens(short) < BORDER < opened().count_tokens(long)
    asked: list[Request] = [
        LikelihoodRequest(context=text, continuations=(" lion", " vase", " truck")) for text in (long, short)
    ]
    asked += [CompletionRequest(prompt=text, max_new_tokens=5) for text in (short, long)]
    alone = [dict(opened().stream([request]))[0] for request in asked]
    for order in (1, -1):
        one = opened()
        found = dict(one.stream(asked[::order]))
        assert [found[i] for i in range(len(asked))] == alone[::order]
        assert one.usage.slow_paths == {ONE_AT_A_TIME: 4}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = opened().text_tokenizer.encode(short)
    whole_text = opened().text_tokenizer.encode(short + " lion")
    with torch.no_grad():
        probabilities = model(torch.tensor([whole_text]), use_cache=False).logits[0].double().log_softmax(-1)
    expected = sum(float(probabilities[i - 1, whole_text[i]]) for i in range(len(ids), len(whole_text)))
    assert alone[1].values[0] == pytest.approx(expected, abs=1e-4)  # type: ignore[union-attr]
