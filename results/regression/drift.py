"""Where a run differs from a baseline, and what of it: each drift names itself.

A question keeps its place (task, setting, sample, tokenizer, layers, scoring). Under one place, another request is a
changed prompt or parameter; the same request with another reply is an edited reply; the same reply with another
outcome is a changed scorer. Metrics are compared on top: they drift with any of these.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from results.analysis.aggregate import Cell
from results.differences import short
from results.display import one_line, visible
from results.regression.baseline import Baseline, BaselineFacts, QuestionLine

TOLERANCE = 1e-9
"""Of a metric: what another order of floating point sums may change."""
TOLD = ("metric", "n", "scored", "failed", "infeasible", "empty", "refused", "value", "ci_low", "ci_high")


@dataclass(frozen=True)
class Drift:
    """One thing that differs.

    Attributes:
        kind: what it is: "prompt", "missing reply", "edited reply", "scorer", "seed", ...
        where: the cell, sample, task or name that it is about.
        recorded: in the baseline, in short.
        now: what there is now, in short.
        count: how many questions or replies this one stands for.
        diff: a unified diff where texts differ, else "".
    """

    kind: str
    where: str
    recorded: str
    now: str
    count: int = 1
    diff: str = ""


@dataclass(frozen=True)
class Replayed:
    """What the present code makes of a baseline's configuration and replies.

    Attributes:
        baseline: as `Baseline`; a question without a usable reply has none and the status "unanswered".
        asked: key -> the request as text, prompt first, for every request of now and every one recorded.
        replies: key -> sha256 of its reply, for every reply in the file that can be used.
        broken: key -> why its reply cannot be used, for the others.
    """

    baseline: Baseline
    asked: Mapping[str, str] = field(default_factory=dict)
    replies: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


def find_drifts(recorded: Baseline, now: Replayed) -> list[Drift]:
    """Every drift: first what numbers rest on, then replies, prompts and scorers, then metrics. Empty where equal."""
    return [
        *_facts(recorded.facts, now.baseline.facts),
        *_questions(recorded, now),
        *_metrics(recorded.cells, now.baseline.cells),
    ]


def cell_name(cell: Cell) -> str:
    """A cell in words: `miniimagenet-5way i1-s1-r0 spae 1-2 ranked`."""
    return f"{cell.task} {cell.setting} {cell.tokenizer} {cell.layers} {cell.scoring}"


def unified(recorded: str, now: str) -> str:
    """A unified diff of two texts, hostile characters spelt out; a missing line break at the end shows, too."""
    lines = difflib.unified_diff(recorded.split("\n"), now.split("\n"), "recorded", "now", lineterm="", n=2)
    return "\n".join(one_line(line) for line in lines)


def _facts(old: BaselineFacts, new: BaselineFacts) -> Iterator[Drift]:
    for name in sorted({*old.llm, *new.llm}):
        if old.llm.get(name) != new.llm.get(name):
            yield Drift("model", name, short(old.llm.get(name)), short(new.llm.get(name)))
    if old.context_length != new.context_length:
        yield Drift("context length", "model", str(old.context_length), str(new.context_length))
    moved: set[str] = set()
    manifests = {fact.task: fact for fact in new.manifests}
    for fact in old.manifests:
        other = manifests.pop(fact.task, None)
        if other == fact:
            continue
        moved.add(fact.task)
        if other is None:
            yield Drift("manifest", fact.task, f"{fact.samples} samples", "not run")
        elif other.seed != fact.seed:
            yield Drift("seed", fact.task, str(fact.seed), str(other.seed))
        elif other.data_sha256 != fact.data_sha256:
            yield Drift("data", f"{fact.task} on {fact.data}", fact.data_sha256[:12], other.data_sha256[:12])
        else:
            yield Drift("manifest", fact.task, f"{fact.samples} samples, {fact.sha256[:12]}",
                        f"{other.samples} samples, {other.sha256[:12]}")  # fmt: skip
    for task, other in manifests.items():
        moved.add(task)
        yield Drift("manifest", task, "not run", f"{other.samples} samples")
    yield from _named("tokenizer", {fact.name: fact.sha256[:12] for fact in old.tokenizers},
                      {fact.name: fact.sha256[:12] for fact in new.tokenizers})  # fmt: skip
    # The cases are made of a sample: where the samples are others, so are they.
    yield from _named("scorer", _cases(old, moved), _cases(new, moved))


def _cases(facts: BaselineFacts, moved: set[str]) -> dict[str, str]:
    return {
        f"{fact.scoring} of {fact.task}, case: {case}": outcome
        for fact in facts.scorers
        if fact.task not in moved
        for case, outcome in fact.outcomes.items()
    }


def _named(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Drift]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield Drift(kind, name, one_line(old.get(name, "none")), one_line(new.get(name, "none")))


def _questions(recorded: Baseline, now: Replayed) -> Iterator[Drift]:
    new = {line.place: line for line in now.baseline.questions}
    pairs = [(old, new.pop(old.place)) for old in recorded.questions if old.place in new]
    found = {line.place for line, _ in pairs}
    gone = [line for line in recorded.questions if line.place not in found]

    yield from _replies(recorded.questions, now)
    yield from _requests([(old, line) for old, line in pairs if old.asked != line.asked], now.asked)
    # Only where question and reply are as they were is another outcome the scorer's doing.
    same = [(old, line) for old, line in pairs if (old.asked, old.reply) == (line.asked, line.reply)]
    yield from _outcomes([(old, line) for old, line in same if old.outcome != line.outcome])
    for cell, lines in _by_cell(gone).items():
        yield Drift("record", cell, lines[0].sample, "not asked", len(lines))
    for cell, lines in _by_cell(new.values()).items():
        yield Drift("record", cell, "not recorded", lines[0].sample, len(lines))


def _replies(recorded: Iterable[QuestionLine], now: Replayed) -> Iterator[Drift]:
    """One drift a reply, however many questions it answers; whatever is asked now, the file must hold what it held."""
    lines: dict[str, list[QuestionLine]] = {}
    for line in recorded:
        if line.reply is not None:
            lines.setdefault(line.request, []).append(line)
    for key, answered in lines.items():
        first = answered[0]
        where = f"{_cell(first)} {first.sample}, key {key[:12]}"
        if key in now.broken:
            yield Drift("edited reply", where, _sha(first.reply), one_line(now.broken[key]), len(answered))
        elif key not in now.replies:
            prompt = short(one_line(now.asked.get(key, "")), 60)
            yield Drift("missing reply", where, _sha(first.reply), f"none to {prompt!r}", len(answered))
        elif now.replies[key] != first.reply:
            yield Drift("edited reply", where, _sha(first.reply), _sha(now.replies[key]), len(answered))
    for key in sorted({*now.replies, *now.broken} - set(lines)):
        prompt = short(one_line(now.asked.get(key, "")), 60)
        yield Drift("added reply", f"key {key[:12]}", "none", f"one to {prompt!r}")


def _requests(pairs: Iterable[tuple[QuestionLine, QuestionLine]], asked: Mapping[str, str]) -> Iterator[Drift]:
    """One drift a cell, with the diff of its first question."""
    cells: dict[tuple[str, str], dict[tuple[str, str], tuple[QuestionLine, QuestionLine]]] = {}
    for old, new in pairs:
        kind = "prompt" if old.prompt != new.prompt else "request"
        cells.setdefault((kind, _cell(old)), {}).setdefault((old.request, new.request), (old, new))
    for (kind, cell), different in cells.items():
        old, new = next(iter(different.values()))
        # Of a recorded prompt only the file of replies holds the text.
        diff = unified(asked.get(old.request, "(its reply, and with it its text, is gone)"), asked.get(new.request, ""))
        yield Drift(kind, f"{cell} {old.sample}", _sha(old.prompt), _sha(new.prompt), len(different), diff)


def _outcomes(pairs: Iterable[tuple[QuestionLine, QuestionLine]]) -> Iterator[Drift]:
    rules: dict[tuple[str, str], list[tuple[QuestionLine, QuestionLine]]] = {}
    for old, new in pairs:
        rules.setdefault((old.task, old.scoring), []).append((old, new))
    for (task, scoring), different in rules.items():
        old, new = different[0]
        where = f"{scoring} of {task}, first: {_cell(old)} {old.sample}"
        yield Drift("scorer", where, _outcome(old), _outcome(new), len(different))


def _metrics(old: Iterable[Cell], new: Iterable[Cell]) -> Iterator[Drift]:
    before = {(cell.row, cell.setting): cell for cell in old}
    after = {(cell.row, cell.setting): cell for cell in new}
    for key in dict.fromkeys([*before, *after]):
        was, is_ = before.get(key), after.get(key)
        if was is None or is_ is None:
            cell = was or is_
            assert cell is not None
            yield Drift("metric", cell_name(cell), _number(was), _number(is_))
        elif changed := [name for name in TOLD if not _equal(getattr(was, name), getattr(is_, name))]:
            # The value says more than what follows from it.
            names = ["value"] if "value" in changed else changed
            told = [", ".join(_field(cell, name) for name in names) for cell in (was, is_)]
            yield Drift("metric", cell_name(was), told[0], told[1])


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE
    return one == other


def _field(cell: Cell, name: str) -> str:
    return _number(cell) if name == "value" else f"{name} {getattr(cell, name)}"


def _number(cell: Cell | None) -> str:
    if cell is None:
        return "no such cell"
    value = "no value" if cell.value is None else f"{100 * cell.value:.2f}"
    return f"{cell.metric} {value} (n {cell.n}, scored {cell.scored})"


def _outcome(line: QuestionLine) -> str:
    value = "" if line.value is None else f" {line.value:g}"
    note = f" ({short(one_line(line.detail), 60)})" if line.detail else ""
    return f"{line.status}{value}: {short(one_line(line.prediction or ''))!r}{note}"


def _by_cell(lines: Iterable[QuestionLine]) -> dict[str, list[QuestionLine]]:
    cells: dict[str, list[QuestionLine]] = {}
    for line in lines:
        cells.setdefault(_cell(line), []).append(line)
    return cells


def _cell(line: QuestionLine) -> str:
    return visible(f"{line.task} {line.setting} {line.tokenizer} {line.layers} {line.scoring}")


def _sha(digest: str | None) -> str:
    return "none" if digest is None else f"sha256 {digest[:12]}"
