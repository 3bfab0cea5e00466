"""Which tokens of several prompts to read once, and in which order; plain Python, no model.

Prompts that begin alike (one episode in several settings, one task's instruction) form a tree. Each of its edges is a
step: a run of tokens read after another step's. Steps of one level wait for nothing but earlier levels, so that a model
reads a whole level together. A step of its own costs a pass over the weights, which is worth some tokens read twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_backends.local.text_tokenizer import common_prefix


@dataclass(frozen=True)
class Step:
    """Tokens `begin` to `end` of a prompt, read after those of another step.

    Attributes:
        prompt: index of a prompt that has these tokens.
        parent: index of the step that read the tokens before `begin`, always an earlier one; None where begin is 0.
        level: steps on the way from the root.
        prompts: indices of the prompts that end here; empty where the step is only shared.
    """

    prompt: int
    begin: int
    end: int
    parent: int | None
    level: int
    prompts: tuple[int, ...]


def plan_steps(prompts: Sequence[Sequence[int]], pass_tokens: int) -> list[Step]:
    """Steps that read every prompt to its end; equal prompts once.

    Args:
        prompts: token ids, at least one each.
        pass_tokens: what one more pass costs, in tokens: a common beginning is read on its own where that saves as
            many. 0 shares everything.
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for i, prompt in enumerate(prompts):
        same.setdefault(tuple(prompt), []).append(i)
    steps: list[Step] = []
    # (prompts in order, tokens already read, the step that read them); a stack, since a chain of prompts may be long.
    waiting: list[tuple[list[tuple[int, ...]], int, int | None]] = [(sorted(same), 0, None)] if same else []
    while waiting:
        group, begin, parent = waiting.pop()
        level = 0 if parent is None else steps[parent].level + 1
        if len(group) == 1:
            ends = tuple(same[group[0]])
            steps.append(Step(ends[0], begin, len(group[0]), parent, level, ends))
            continue
        # Sorted, so what the first and the last share, all do. At least one token is left to each: its logits are
        # what is asked for.
        shared = min(common_prefix(group[0], group[-1]), len(group[0]) - 1)
        if shared > begin and (len(group) - 1) * (shared - begin) >= pass_tokens:
            steps.append(Step(same[group[0]][0], begin, shared, parent, level, ()))
            begin, parent = shared, len(steps) - 1
        waiting += [(part, begin, parent) for part in reversed(list(_branches(group, shared)))]
    return steps


def _branches(group: list[tuple[int, ...]], at: int) -> Iterator[list[tuple[int, ...]]]:
    """Parts of a sorted group that go on alike behind its first `at` tokens; always more than one part."""
    first = group[0]
    if len(first) == at + 1 and group[-1][at] == first[at]:  # all others begin with the first: it is a part alone
        yield [first]
        yield group[1:]
        return
    part: list[tuple[int, ...]] = []
    for prompt in group:
        if part and prompt[at] != part[-1][at]:
            yield part
            part = []
        part.append(prompt)
    yield part


def alike(sizes: Sequence[int], waste: int) -> list[list[int]]:
    """Indices of rows in groups of like size, longest first: filling each up to its longest wastes at most `waste`."""
    groups: list[list[int]] = []
    spent = 0
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        extra = sizes[groups[-1][0]] - sizes[i] if groups else 0
        if not groups or spent + extra > waste:
            groups.append([i])
            spent = 0
        else:
            groups[-1].append(i)
            spent += extra
    return groups
