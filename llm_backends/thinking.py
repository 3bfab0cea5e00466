"""Thinking models: the block of thought that opens a reply is left out before the reply is scored.

    <think>It has a mane.</think>
    lion

The store keeps the whole text, so its keys and replies are as the model gave them; `CachedBackend` leaves the block
out of everything that it returns, whichever backend answered. A block without its end is no answer: the reply was cut
while the model still thought.
"""

from __future__ import annotations

import re

from llm_backends.errors import CallFailed
from llm_backends.protocol import Choice, Completion, Reply

# DeepSeek-R1, Qwen3 and most others; Seed-OSS; Magistral; Kimi; Sky-T1.
_OPENING = re.compile(
    r"\s*(?:<(?P<tag>(?:seed:)?(?:think|thinking|thought|thoughts|reason|reasoning))>"
    r"|(?P<square>\[think\])|(?P<triangle>◁think▷)|(?P<marker><\|begin_of_thought\|>))",
    re.IGNORECASE,
)
_CLOSINGS = {"square": "[/think]", "triangle": "◁/think▷", "marker": "<|end_of_thought|>"}
# Where the prompt's template has opened the block, the reply holds its end alone.
_LONE_END = re.compile(r"</(?:seed:)?think(?:ing)?>|\[/think\]|◁/think▷|<\|end_of_thought\|>", re.IGNORECASE)


def without_thinking(reply: Reply) -> tuple[Reply, int]:
    """A reply without its blocks of thought, and their characters, 0 for none.

    Raises:
        CallFailed: a block has no end, or nothing follows it up to the limit.
    """
    if not isinstance(reply, Completion):
        return reply, 0
    choices = [_answer_of(choice) for choice in reply.choices]
    thought = sum(len(old.text) - len(new.text) for old, new in zip(reply.choices, choices, strict=True))
    return (Completion(choices=tuple(choices)), thought) if thought else (reply, 0)


def _answer_of(choice: Choice) -> Choice:
    text, at = choice.text, 0
    if opening := _OPENING.match(text):
        while opening is not None:
            kind = opening.lastgroup or ""
            closing = f"</{opening['tag']}>" if kind == "tag" else _CLOSINGS[kind]
            end = re.compile(re.escape(closing), re.IGNORECASE).search(text, opening.end())
            if end is None:
                raise CallFailed(
                    f"a reply must end its block of thought ({closing}), it was cut after {len(text):,} "
                    "characters of it: switch thinking off, or ask a model that does not think",
                    lasting=True,
                )
            at = end.end()
            opening = _OPENING.match(text, at)
    elif end := _LONE_END.search(text):
        at = end.end()
    else:
        return choice
    text = text[at:]
    if choice.finish == "length" and not text.strip():
        raise CallFailed(
            "a reply must have an answer after its block of thought, the limit was met before one: "
            "switch thinking off, or ask a model that does not think",
            lasting=True,
        )
    return Choice(text=text, finish=choice.finish)
