"""Why a request has no stored reply: the nearest stored request, and where the two differ.

Nearest is one with the same prompt that differs in the fewest other fields; if none is equal, the one with the most
similar prompt among a bounded number of similar length.
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
from llm_backends.cache.request_key import first_line, kind_of, prompt_key, prompt_of, request_key
from llm_backends.errors import CacheMiss
from llm_backends.protocol import Identity, Request
from spae.canonical import canonical_json

CANDIDATES = 400
"""Stored requests of similar length that are compared, per source."""
FINALISTS = 5
"""Of those, how many are compared character by character."""
SHOWN = 60
"""Characters of a value in a one-line message."""


@dataclass(frozen=True)
class Difference:
    """One field in which a stored request differs from the one asked."""

    field: str
    stored: str
    asked: str


@dataclass(frozen=True)
class Nearest:
    """The stored request nearest to one asked.

    Attributes:
        entry: the stored one.
        source: its file.
        fields: where the two differ, without the prompt.
        prompt_diff: a unified diff from the stored prompt to the one asked; empty if they are equal.
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
    """The stored request nearest to one asked; None if nothing is stored.

    Args:
        sources: all are searched.
        without: a key to skip, such as the request's own.
    """
    found = [(entry, source.path) for source in sources for entry in source.with_prompt(prompt_key(request))]
    found = [one for one in found if one[0].key != without]
    if not found:
        length = len(canonical_json(request.model_dump(mode="json")))
        near = [(entry, source.path) for source in sources for entry in source.nearest_in_length(length, CANDIDATES)]
        found = _most_similar([one for one in near if one[0].key != without], prompt_of(request))
    if not found:
        return None
    made = [Nearest(entry, path, differences(entry, identity, request), "") for entry, path in found]
    best = min(made, key=lambda one: (len(one.fields), one.entry.key))
    return Nearest(best.entry, best.source, best.fields, prompt_diff(best.entry.request, request))


def differences(entry: Entry, identity: Identity, request: Request) -> tuple[Difference, ...]:
    """Every field except the prompt in which a stored request differs from one asked."""
    stored, asked = fields_of(entry.identity, entry.request), fields_of(identity, request)
    if entry.sample:
        stored["sample"], asked["sample"] = str(entry.sample), "0"
    return tuple(
        Difference(name, stored.get(name, "none"), asked.get(name, "none"))
        for name in dict.fromkeys([*stored, *asked])
        if stored.get(name) != asked.get(name)
    )


def fields_of(identity: Identity, request: Request) -> dict[str, str]:
    """Every field of a request except its prompt, as readable text."""
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
    """A unified diff of two prompts, line by line; empty if they are equal."""
    old, new = ([*map(_visible_end, prompt_of(one).splitlines(keepends=True))] for one in (stored, asked))
    return "\n".join(difflib.unified_diff(old, new, "stored", "asked", n=1, lineterm=""))


def explain_miss(identity: Identity, request: Request, sources: Sequence[ReplySource]) -> CacheMiss:
    """The error of a request without a stored reply: its prompt, key, and the difference to the nearest one."""
    nearest = find_nearest(identity, request, sources)
    if nearest is None:
        reason = "nothing is stored"
    else:
        reason = f"the nearest one (key {nearest.entry.key[:12]} in {nearest.source}) differs in {nearest.brief}"
    return CacheMiss(
        f"--cache-only needs a stored reply, there is none for {first_line(prompt_of(request))!r} "
        f"(key {request_key(identity, request)}): {reason}; drop --cache-only, or run once with --refresh-cache"
    )


def _most_similar(candidates: Sequence[tuple[Entry, Path]], prompt: str) -> list[tuple[Entry, Path]]:
    """The entries with the most similar prompt: by shared lines first, the best of those by characters."""
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
            # Costs the product of the lengths, so very long prompts are ranked by their character counts.
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
    """A line for a diff, without its newline; invisible characters are escaped."""
    body = line[:-1] if line.endswith("\n") else line
    seen = body if body.isprintable() and body == body.rstrip() else repr(body)
    return seen if line.endswith("\n") else f"{seen} [no newline]"
