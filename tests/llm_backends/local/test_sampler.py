"""Sampling of a reply, one forced token at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llm_backends.errors import CallFailed
from llm_backends.local.sampler import Sampler
from llm_backends.protocol import Choice, CompletionRequest
from llm_backends.text_tokenizer import PlainTokenizer


def test_the_first_of_two_stops_in_one_token_cuts(plain_tokenizer_folder: Path) -> None:
    text = PlainTokenizer.read(plain_tokenizer_folder)
    (lion,) = text.encode(" lion")
    request = CompletionRequest(prompt="a", max_new_tokens=4, stop=("n", "i"))
    row = Sampler(request, text.encode("a"), text, {0})
    row.take(torch.nn.functional.one_hot(torch.tensor(lion), 340).float())
    assert row.done and row.error is None and row.choice() == Choice(text=" l", finish="stop")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_logits_that_are_not_finite_end_the_reply_with_an_error(plain_tokenizer_folder: Path, number: float) -> None:
    text = PlainTokenizer.read(plain_tokenizer_folder)
    row = Sampler(CompletionRequest(prompt="a", max_new_tokens=4), text.encode("a"), text, {0})
    row.take(torch.full((340,), number))
    assert row.done and row.new == [] and isinstance(row.error, CallFailed) and "finite" in str(row.error)
