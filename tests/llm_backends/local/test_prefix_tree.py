"""Prefix trees, against the tree of all prompts written out token by token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backends.local.prefix_tree import Step, group_by_length, plan_steps

PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=9)


def read_by(steps: list[Step], at: int, prompts: list[list[int]]) -> list[int]:
    """The tokens that were read once a step is done."""
    step = steps[at]
    before = [] if step.parent is None else read_by(steps, step.parent, prompts)
    assert len(before) == step.begin < step.end
    return before + prompts[step.prompt][step.begin : step.end]


@given(prompts=PROMPTS, pass_tokens=st.integers(0, 12))
def test_every_prompt_is_read_to_its_end_and_once(prompts: list[list[int]], pass_tokens: int) -> None:
    steps = plan_steps(prompts, pass_tokens)
    ended = sorted(i for step in steps for i in step.prompts)
    assert ended == list(range(len(prompts)))
    for at, step in enumerate(steps):
        assert step.parent is None or step.parent < at
        assert step.level == (0 if step.parent is None else steps[step.parent].level + 1)
        for i in step.prompts:
            assert read_by(steps, at, prompts) == prompts[i]


@given(prompts=PROMPTS)
def test_sharing_all_reads_each_token_of_the_tree_once(prompts: list[list[int]]) -> None:
    # A prompt's last token is read for itself, since its logits are asked for; each other node of the tree once.
    inner = {tuple(prompt[:n]) for prompt in prompts for n in range(1, len(prompt))}
    last = {tuple(prompt) for prompt in prompts}
    steps = plan_steps(prompts, 0)
    assert sum(step.end - step.begin for step in steps) == len(inner) + len(last)


@given(prompts=PROMPTS, pass_tokens=st.integers(1, 40))
def test_sharing_never_reads_more_than_not_sharing(prompts: list[list[int]], pass_tokens: int) -> None:
    distinct = {tuple(prompt) for prompt in prompts}
    steps = plan_steps(prompts, pass_tokens)
    assert sum(step.end - step.begin for step in steps) <= sum(map(len, distinct))
    shared = [step for step in steps if not step.prompts]
    saved = sum(map(len, distinct)) - sum(step.end - step.begin for step in steps)
    assert saved >= pass_tokens * len(shared)


def test_a_short_common_prefix_is_not_worth_a_pass() -> None:
    prompts = [[1, 2, 3, i] for i in range(4)]
    assert len(plan_steps(prompts, 10)) == 4
    steps = plan_steps(prompts, 9)
    assert [(step.begin, step.end, step.parent) for step in steps] == [(0, 3, None)] + [(3, 4, 0)] * 4


def test_a_long_chain_of_prompts_needs_no_recursion() -> None:
    steps = plan_steps([[7] * n for n in range(1, 1500)], 0)
    assert max(step.level for step in steps) > 1000


def test_no_prompts_no_steps() -> None:
    assert plan_steps([], 4) == []


@pytest.mark.parametrize("waste", [0, 1, 5, 100])
@given(sizes=st.lists(st.integers(1, 9), max_size=12))
def test_rows_are_grouped_by_length(waste: int, sizes: list[int]) -> None:
    groups = group_by_length(sizes, waste)
    assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
    for group in groups:
        assert sum(sizes[group[0]] - sizes[i] for i in group) <= waste
    assert len(groups) <= len(set(sizes))
