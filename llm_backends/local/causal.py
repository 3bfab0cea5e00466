"""Forward passes of a causal transformer: batched prompts with shared prefixes, exact scores, batched decoding.

B rows, L positions, V vocabulary. Logits are computed only for positions that are used.

New tokens are padded on the right, where causal attention hides them; cached keys and values are padded on the left and
masked. Models for which this gives other logits (see `CausalRunner.batches`) run one sequence at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from llm_backends.local.kv_cache import (
    TRIAL_ERRORS,
    KVCache,
    cache_argument,
    cache_of,
    pairs_of,
    plain_attention,
    row_of,
    rows_of,
    stack,
    warn_slow,
)
from llm_backends.local.prefix_tree import group_by_length, plan_steps
from llm_backends.local.rope import LengthDependentRope
from llm_backends.local.single_sequence import (
    TRIAL_TOKENS,
    WITHOUT_CACHE,
    SingleReply,
    SingleSequence,
    same_logprobs,
    token_logprobs,
    trial_ids,
)
from llm_backends.text_tokenizer import common_prefix

PASS_TOKENS = {"cpu": 32}
"""What one more pass costs, in tokens: on two cores, reading SmolLM2's weights takes as long as 30 of its tokens."""
PASS_TOKENS_ELSEWHERE = 1024
ONE_AT_A_TIME = "one sequence at a time, without batches"
Question = tuple[Sequence[int], Sequence[Sequence[int]]]
"""A context and its tails, in tokens."""


@dataclass(frozen=True)
class Prefilled:
    """A prompt after prefill.

    Attributes:
        logits: [V] of the next token, fp32.
        cache: of all its tokens.
    """

    logits: Tensor
    cache: KVCache


class Decoding(Protocol):
    """A batch of replies that grow by one token a step."""

    logits: Tensor
    """[B, V] of each row's next token, fp32."""

    def step(self, tokens: Sequence[int]) -> None:
        """Reads one token per row."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all other rows: their replies are finished."""
        ...


class CausalRunner:
    """One model on one device, with the cache of the last prompt it read.

    Args:
        model: a causal language model in eval mode, on its device.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._single = SingleSequence(model)
        self._slices = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._cache_argument = cache_argument(model)
        self._pass_tokens = PASS_TOKENS.get(model.device.type, PASS_TOKENS_ELSEWHERE)
        self._ids: list[int] = []
        self._last = KVCache()
        self.tokens_run = 0
        """Prompt tokens that went through the model so far; shared prefixes count once."""
        self.cell_bytes = 0
        """Memory of one token's keys and values, once `batches` is known; 0 without batches."""

    @cached_property
    def batches(self) -> bool:
        """Whether batched, cached passes give the logits of a single full pass.

        What depends on the length of a text (chunks, rotary positions) follows from the configuration. The rest is
        checked on nine tokens: some architectures count positions, or bias attention, in ways that padding changes. The
        check contains every kind of padding.
        """
        if self._cache_argument is None or not plain_attention(self.model.config):
            warn_slow(self.model, ONE_AT_A_TIME, "its cache is not keys and values per token")
            return False
        if LengthDependentRope(self.model):
            warn_slow(self.model, ONE_AT_A_TIME, "its positions depend on the longest text of a batch")
            return False
        ids = trial_ids(self.model, TRIAL_TOKENS)
        texts = (ids[:4], ids[4:]), (ids[2:4], ids[4:7])
        with torch.inference_mode():
            try:
                before = [self._pass([KVCache()], [list(head)], last=True)[1][0] for head, _ in texts]
                found, _ = self._pass(before, [list(tail) for _, tail in texts], last=True)
                same = [
                    same_logprobs(row[0], self._single.logits([*head, *tail], 1)[0], self.model.dtype)
                    for (head, tail), row in zip(texts, found, strict=True)
                ]
            except TRIAL_ERRORS as error:
                warn_slow(self.model, ONE_AT_A_TIME, f"{type(error).__name__}: {error}")
                return False
        if not all(same):
            warn_slow(self.model, ONE_AT_A_TIME, "padded sequences give other logits than single ones")
            return False
        self.cell_bytes = sum(k.nbytes + v.nbytes for k, v in before[0].pairs or ()) // before[0].length
        return True

    def slow_paths(self, *, decoding: bool) -> list[str]:
        """The slow paths that a request takes: to decode a reply, or else to score."""
        if self.batches:
            return []
        return [ONE_AT_A_TIME, *([WITHOUT_CACHE] if decoding and not self._single.caches else [])]

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> list[Prefilled]:
        """Reads prompts of at least one token; shared prefixes are read once, also with the last call.

        Requires `batches`.
        """
        steps = plan_steps(prompts, self._pass_tokens)
        done: list[KVCache] = [KVCache()] * len(steps)
        found: dict[int, Prefilled] = {}
        for level in range(max((step.level for step in steps), default=-1) + 1):
            at = [i for i, step in enumerate(steps) if step.level == level]
            before = [self._before(prompts[steps[i].prompt], steps[i].end, done, steps[i].parent) for i in at]
            runs = [list(prompts[steps[i].prompt][b.length : steps[i].end]) for i, b in zip(at, before, strict=True)]
            for group in group_by_length([len(run) for run in runs], self._pass_tokens):
                logits, caches = self._pass([before[g] for g in group], [runs[g] for g in group], last=True)
                self.tokens_run += sum(len(runs[g]) for g in group)
                for g, row, cache in zip(group, logits, caches, strict=True):
                    done[at[g]] = cache
                    found |= dict.fromkeys(steps[at[g]].prompts, Prefilled(row[0], cache))
        if prompts:
            self._ids, self._last = list(prompts[-1]), found[len(prompts) - 1].cache.copied()
        return [found[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def score(self, questions: Sequence[Question]) -> list[list[float]]:
        """Per question: the sum of log-probabilities, in nats, of each tail's tokens after the context."""
        if not self.batches:
            return [[self._score_single(context, tail) for tail in tails] for context, tails in questions]
        starts = self.prefill([context for context, _ in questions])
        sums = [
            token_logprobs(start.logits.expand(len(tails), -1), [tail[0] for tail in tails])
            for start, (_, tails) in zip(starts, questions, strict=True)
        ]
        rows = [(q, t) for q, (_, tails) in enumerate(questions) for t, tail in enumerate(tails) if len(tail) > 1]
        texts = [questions[q][1][t] for q, t in rows]
        for group in group_by_length([len(text) - 1 for text in texts], self._pass_tokens):
            before = [starts[rows[g][0]].cache for g in group]
            logits, _ = self._pass(before, [list(texts[g][:-1]) for g in group], last=False)
            for g, row in zip(group, logits, strict=True):
                q, t = rows[g]
                sums[q][t] += sum(token_logprobs(row, texts[g][1:]))
        return sums

    def decode(self, prompts: Sequence[Sequence[int]], copies: Sequence[int]) -> Decoding:
        """Starts a reply to each prompt in so many rows; more than one row requires `batches`."""
        if not self.batches:
            if sum(copies) != 1:
                raise ValueError(f"this model decodes one row at a time, got {sum(copies)}")
            self.tokens_run += len(prompts[0])
            return _SingleRow(SingleReply(self._single, prompts[0]))
        starts = self.prefill(prompts)
        return _Batch(
            self.model,
            str(self._cache_argument),
            [start for start, count in zip(starts, copies, strict=True) for _ in range(count)],
        )

    def _before(self, prompt: Sequence[int], end: int, done: list[KVCache], parent: int | None) -> KVCache:
        """The cache that a step starts from: its parent's, or the prefix shared with the last prompt."""
        if parent is not None:
            return done[parent]
        return self._last.first(min(common_prefix(self._ids, prompt), end - 1))

    def _pass(
        self, before: Sequence[KVCache], runs: list[list[int]], *, last: bool
    ) -> tuple[list[Tensor], list[KVCache]]:
        """One pass over the new tokens of each row.

        Returns per row its logits, fp32 (of its last token [1, V] with `last`, else of all [tokens, V]), and its cache.
        """
        known = [one.length for one in before]
        width, longest = max(known), max(map(len, runs))
        inputs = self._tensor([run + [run[-1]] * (longest - len(run)) for run in runs])
        options: dict[str, Tensor | int] = {}
        if min(known) < width:
            lengths = self._tensor([known])[0][:, None]
            columns = torch.arange(width + longest, device=inputs.device)
            options["attention_mask"] = (columns >= width - lengths).long()
            options["position_ids"] = lengths + torch.arange(longest, device=inputs.device)
        wanted = sorted({len(run) - 1 for run in runs}) if last else list(range(longest))
        places = {position: position for position in range(longest)}
        if self._slices and len(wanted) < longest:
            options["logits_to_keep"] = 1 if wanted == [longest - 1] else self._tensor([wanted])[0]
            places = {position: i for i, position in enumerate(wanted)}
        cache = cache_of(stack(before)) if width else DynamicCache()
        logits = self.model(input_ids=inputs, use_cache=True, **{str(self._cache_argument): cache}, **options).logits
        chosen = [[places[len(run) - 1]] if last else list(range(len(run))) for run in runs]
        pairs = pairs_of(cache)
        return (
            [logits[i, at].float() for i, at in enumerate(chosen)],
            [row_of(pairs, i, width - known[i], width + len(run)) for i, run in enumerate(runs)],
        )

    def _score_single(self, context: Sequence[int], tail: Sequence[int]) -> float:
        """One pass over context and tail."""
        self.tokens_run += len(context)
        return sum(token_logprobs(self._single.logits([*context, *tail[:-1]], len(tail)), tail))

    def _tensor(self, rows: list[list[int]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.long, device=self.model.device)


class _Batch:
    """Prompts of different lengths, one new token each a step; shorter ones are padded on the left."""

    def __init__(self, model: PreTrainedModel, cache_argument: str, starts: Sequence[Prefilled]) -> None:
        self._model = model
        self._cache_argument = cache_argument
        self.logits = torch.stack([start.logits for start in starts])
        self._lengths = torch.tensor([start.cache.length for start in starts], device=model.device)
        width = int(self._lengths.max())
        columns = torch.arange(width, device=model.device)
        self._mask = (columns >= width - self._lengths[:, None]).long()
        self._cache = cache_of(stack([start.cache for start in starts]))

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> None:
        inputs = torch.tensor(tokens, dtype=torch.long, device=self._mask.device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(inputs)], dim=1)
        logits = self._model(
            input_ids=inputs,
            attention_mask=self._mask,
            position_ids=self._lengths[:, None],
            use_cache=True,
            **{self._cache_argument: self._cache},
        ).logits
        self._lengths = self._lengths + 1
        self.logits = logits[:, -1].float()

    def keep(self, rows: Sequence[int]) -> None:
        chosen = torch.tensor(rows, dtype=torch.long, device=self._mask.device)
        self._mask, self._lengths, self.logits = self._mask[chosen], self._lengths[chosen], self.logits[chosen]
        self._cache = cache_of(rows_of(pairs_of(self._cache), chosen))


class _SingleRow:
    """One prompt, for a model without batches."""

    def __init__(self, reply: SingleReply) -> None:
        self._reply = reply
        self.logits = reply.logits[None]

    def step(self, tokens: Sequence[int]) -> None:
        self.logits = self._reply.step(tokens[0])[None]

    def keep(self, rows: Sequence[int]) -> None:
        if list(rows) != [0]:
            raise ValueError(f"a single row can only keep row 0, got {rows}")
