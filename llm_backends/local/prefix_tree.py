"""The prefix tree of several prompts, and the order in which to read its edges; plain Python, no model.

Prompts with a common prefix (one episode in several settings, one task's instruction) form a tree. Each edge is a step:
a run of tokens read after its parent's. Steps of one level depend only on earlier levels, so a level is one batch. A
step costs a pass over the weights, so a short prefix is read twice rather than shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_backends.text_tokenizer import common_prefix


@dataclass(frozen=True)
class Step:
    """Tokens `begin` to `end` of a prompt, read after those of its parent step.

    Attributes:
        prompt: index of a prompt that has these tokens.
        parent: index of the step that read the tokens before `begin`, always an earlier one; None if begin is 0.
        level: steps on the way from the root.
        prompts: indices of the prompts that end here; empty for a shared prefix.
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
        pass_tokens: what one more pass costs, in tokens: a common prefix is a step of its own if that saves as many.
            0 shares everything.
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
        # Sorted, so what the first and the last share, all share. At least one token is left to each, for its logits.
        shared = min(common_prefix(group[0], group[-1]), len(group[0]) - 1)
        if shared > begin and (len(group) - 1) * (shared - begin) >= pass_tokens:
            steps.append(Step(same[group[0]][0], begin, shared, parent, level, ()))
            begin, parent = shared, len(steps) - 1
        waiting += [(part, begin, parent) for part in reversed(list(_branches(group, shared)))]
    return steps


def _branches(group: list[tuple[int, ...]], at: int) -> Iterator[list[tuple[int, ...]]]:
    """Parts of a sorted group with the same token at position `at`; always more than one part."""
    first = group[0]
    if len(first) == at + 1 and group[-1][at] == first[at]:  # the first is a prefix of all others
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


def group_by_length(sizes: Sequence[int], waste: int) -> list[list[int]]:
    """Indices of rows grouped by similar size, longest first: padding wastes at most `waste` tokens a group."""
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
