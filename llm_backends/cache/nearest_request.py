"""Why a request has no stored reply: the stored request that is nearest to it, and where the two differ.

Nearest is one with the same prompt that differs in the fewest other fields; where no prompt is the same, the one with
the likest prompt among a bounded number of about the same length.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_backends.cache.entry import Entry, ReplySource
from llm_backends.cache.request_key import canonical_json, first_line, kind_of, prompt_key, prompt_of, request_key
from llm_backends.errors import CacheMiss
from llm_backends.protocol import Identity, Request

CANDIDATES = 400
"""Stored requests of about the same length that are looked at, in each source."""
FINALISTS = 5
"""Of those, how many are compared letter by letter."""
SHOWN = 60
"""Letters of a value in a one-line message."""


@dataclass(frozen=True)
class Difference:
    """One field in which a stored request differs from the one asked."""

    field: str
    stored: str
    asked: str


@dataclass(frozen=True)
class Nearest:
    """The stored request that is nearest to one asked.

    Attributes:
        entry: what is stored.
        source: the file it is in.
        fields: where the two differ, the prompt aside.
        prompt_diff: a unified diff from the stored prompt to the one asked; empty where they are equal.
    """

    entry: Entry
    source: Path
    fields: tuple[Difference, ...]
    prompt_diff: str

    @property
    def brief(self) -> str:
        """The differences in one line."""
        parts = [f"{one.field} ({_short(one.stored)} stored, {_short(one.asked)} asked)" for one in self.fields]
        if self.prompt_diff:
            parts.append(f"prompt ({_first_change(self.prompt_diff)})")
        return "; ".join(parts)


def find_nearest(
    identity: Identity, request: Request, sources: Sequence[ReplySource], *, without: str = ""
) -> Nearest | None:
    """The stored request nearest to one asked; None where nothing is stored.

    Args:
        sources: looked through, all of them.
        without: a key to be passed over, such as the request's own.
    """
    found = [(entry, source.path) for source in sources for entry in source.with_prompt(prompt_key(request))]
    found = [one for one in found if one[0].key != without]
    if not found:
        length = len(canonical_json(request.model_dump(mode="json")))
        near = [(entry, source.path) for source in sources for entry in source.nearest_in_length(length, CANDIDATES)]
        found = _likest([one for one in near if one[0].key != without], prompt_of(request))
    if not found:
        return None
    made = [Nearest(entry, path, differences(entry, identity, request), "") for entry, path in found]
    best = min(made, key=lambda one: (len(one.fields), one.entry.key))
    return Nearest(best.entry, best.source, best.fields, prompt_diff(best.entry.request, request))


def differences(entry: Entry, identity: Identity, request: Request) -> tuple[Difference, ...]:
    """Every field, the prompt aside, in which a stored request differs from one asked."""
    stored, asked = fields_of(entry.identity, entry.request), fields_of(identity, request)
    if entry.sample:
        stored["sample"], asked["sample"] = str(entry.sample), "0"
    return tuple(
        Difference(name, stored.get(name, "none"), asked.get(name, "none"))
        for name in dict.fromkeys([*stored, *asked])
        if stored.get(name) != asked.get(name)
    )


def fields_of(identity: Identity, request: Request) -> dict[str, str]:
    """Everything of a request but its prompt, as readable text."""
    parts: dict[str, Any] = {
        "backend": identity.kind,
        "model": identity.model,
        "revision": identity.revision,
        "dtype": identity.dtype,
        "kind": kind_of(request),
    }
    parts |= request.model_dump(mode="json", exclude={"prompt", "context"})
    if not isinstance(getattr(request, "prompt", ""), str):
        parts["prompt is"] = "token ids"
    return {name: value if isinstance(value, str) else _readable(value) for name, value in parts.items()}


def prompt_diff(stored: Request, asked: Request) -> str:
    """A unified diff of two prompts, line by line; empty where they are equal."""
    old, new = ([*map(_visible_end, prompt_of(one).splitlines(keepends=True))] for one in (stored, asked))
    return "\n".join(difflib.unified_diff(old, new, "stored", "asked", n=1, lineterm=""))


def explain_miss(identity: Identity, request: Request, sources: Sequence[ReplySource]) -> CacheMiss:
    """The error of a request that has no stored reply: its prompt, key, and the difference to the nearest one."""
    nearest = find_nearest(identity, request, sources)
    if nearest is None:
        reason = "nothing is stored"
    else:
        reason = f"the nearest one (key {nearest.entry.key[:12]} in {nearest.source}) differs in {nearest.brief}"
    return CacheMiss(
        f"--cache-only needs a stored reply, there is none for {first_line(prompt_of(request))!r} "
        f"(key {request_key(identity, request)}): {reason}; drop --cache-only, or run once with --refresh-cache"
    )


def _likest(candidates: Sequence[tuple[Entry, Path]], prompt: str) -> list[tuple[Entry, Path]]:
    """The entries with the prompt most like the one given: by shared lines first, the best of those by letters."""
    lines = Counter(prompt.splitlines())
    by_lines = sorted(candidates, key=lambda one: (-_shared(lines, prompt_of(one[0].request)), one[0].key))
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(prompt)
    ratios: dict[str, float] = {}
    for entry, _ in by_lines:
        text = prompt_of(entry.request)
        if text not in ratios:
            if len(ratios) == FINALISTS:
                break
            matcher.set_seq1(text)
            # Letter by letter costs the product of the lengths: very long prompts are ranked by their letters' counts.
            ratios[text] = matcher.ratio() if len(text) * len(prompt) < 10_000_000 else matcher.quick_ratio()
    if not ratios:
        return []
    best = max(ratios, key=lambda text: ratios[text])
    return [one for one in candidates if prompt_of(one[0].request) == best]


def _shared(lines: Counter[str], text: str) -> float:
    """Share of the lines of two texts that they have in common."""
    others = Counter(text.splitlines())
    return (lines & others).total() / max(1, max(lines.total(), others.total()))


def _first_change(diff: str) -> str:
    removed: Iterable[str] = (line for line in diff.splitlines()[2:] if line.startswith("-"))
    added: Iterable[str] = (line for line in diff.splitlines()[2:] if line.startswith("+"))
    old, new = next(iter(removed), "-nothing")[1:], next(iter(added), "+nothing")[1:]
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    begin = max(0, at - SHOWN // 3) if max(len(old), len(new)) > SHOWN else 0
    return f"{_short(old[begin:])!r} stored, {_short(new[begin:])!r} asked"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _readable(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _visible_end(line: str) -> str:
    """A line for a diff: its newline left away; what a reader could not see is spelled out."""
    body = line[:-1] if line.endswith("\n") else line
    seen = body if body.isprintable() and body == body.rstrip() else repr(body)
    return seen if line.endswith("\n") else f"{seen} [no newline]"
