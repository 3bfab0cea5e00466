"""What can be known of a run's options from names alone, checked before anything heavy is imported: under a second.

Whatever this lets pass is checked again by what opens it. Standard library and registries only.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import UsageError
from llm_backends.errors import BackendUnavailable
from llm_backends.registry import find_backend
from results.analysis.settings import in_words
from spae.data.registry import SETS
from spae.layers import parse_layers
from spae.tokenizers.registry import check_spec, entries
from tasks.registry import TaskEntry, entry

if TYPE_CHECKING:
    from llm_backends.protocol import Identity

SWEEP = "sweep"
MOST_NAMES = 10_000
"""Names in a folder among which a near miss is looked for."""
_SCHEME = re.compile(r"[a-z]+:")
_NUMBERED = re.compile(r"(\w+)=\d+", re.ASCII)


def check_names(
    *,
    tasks: Sequence[str],
    tokenizers: Sequence[str],
    data: str | None,
    settings: Sequence[str] | None,
    layers: Sequence[str],
    scorings: Sequence[str] | None,
    paths: Iterable[Path],
) -> None:
    """Checks the options of `run`.

    Args:
        paths: files that must be there.

    Raises:
        UsageError, TaskInputError, InputError: a name is unknown (with the nearest one), or nothing is at a path.
    """
    facts = [entry(name) for name in tasks]
    for fact in facts:
        check_rules(fact, scorings or ())
        _check_settings(fact, settings or ())
    for name in tokenizers:
        check_spec(name)
    for text in layers:
        _check_layers(text, tokenizers)
    if data is not None and any(fact.opens == "spae.data.opening:open_set" for fact in facts):
        _check_data(data)
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} is not there{_near(path)}: check the path")


def check_key(llm: str, options: Mapping[str, str], stored: Callable[[Identity], bool]) -> None:
    """Fails early where a server's key is missing and nothing is stored that could be used without one.

    Args:
        llm: as of `--llm`.
        options: as of `--llm-args`.
        stored: whether there are replies of a model; asked only where the key is missing.

    Raises:
        BackendUnavailable, BackendInputError: as the first request would.
    """
    if not find_backend(llm)[0].server:
        return
    from llm_backends.protocol import ChecksKey
    from llm_backends.registry import open_backend

    backend = open_backend(llm, options=options)
    if not isinstance(backend, ChecksKey):
        return
    try:
        backend.check_key()
    except BackendUnavailable:
        if not stored(backend.identity):
            raise


def layer_subsets(text: str, depth: int = 1) -> list[tuple[int, ...]]:
    """The layer subsets of one --layers, each ascending.

    "sweep" is layer 1, layers 1-2, and so on to all `depth` of them: the rows of the paper's Table 5. Parts that
    share no layer make one subset ("1,3", "1-2,4"); parts that do share one are several subsets, each to be run
    ("1-2,1-3").

    Raises:
        InputError: not a list of layers from 1.
        UsageError: no list of layers, but a near miss of "sweep".
    """
    if text == SWEEP:
        return [tuple(range(1, last + 1)) for last in range(1, depth + 1)]
    if not text[:1].isdigit():
        raise UsageError(f"--layers takes layers from 1, such as 1-2 or 1,3, or {SWEEP}, got {text[:40]!r}")
    parts = parse_layers(text)
    together = sorted(layer for part in parts for layer in part)
    if len(set(together)) == len(together):
        return [tuple(together)]
    return list(dict.fromkeys(parts))


def check_rules(fact: TaskEntry, scorings: Iterable[str]) -> None:
    """Raises UsageError for a scoring rule that a task does not have."""
    for scoring in scorings:
        if fact.scorings and scoring not in fact.scorings:
            raise UsageError(
                f"{fact.name} has no scoring {scoring!r}: {_hint(scoring, fact.scorings)}--scoring "
                f"{','.join(fact.scorings)}"
            )


def _check_settings(fact: TaskEntry, settings: Iterable[str]) -> None:
    numbered = {found[1] for one in fact.settings if (found := _NUMBERED.fullmatch(one))}
    for setting in settings:
        found = _NUMBERED.fullmatch(setting)
        if not fact.settings or setting in fact.settings or (found is not None and found[1] in numbered):
            continue
        spoken = {in_words(one): one for one in reversed(fact.settings)} | {one: one for one in fact.settings}
        near = difflib.get_close_matches(setting, spoken, n=1, cutoff=0.5)
        hint = f"did you mean {spoken[near[0]]!r}? " if near else ""
        raise UsageError(f"{fact.name} has no setting {setting!r}: {hint}known: {', '.join(fact.settings)}")


def _check_layers(text: str, tokenizers: Iterable[str]) -> None:
    known = entries()
    depths = {name: known[name].depth for name in tokenizers if name in known}
    for name, depth in depths.items():
        for layers in layer_subsets(text, depth or 1):
            if depth and depth > 1 and layers[-1] > depth:
                raise UsageError(
                    f"{name} has layers 1 to {depth}, got --layers {text}: pass --layers 1-{depth} or fewer"
                )
    if not depths:
        layer_subsets(text)


def _check_data(text: str) -> None:
    place = text.partition("?")[0]
    if not place or _SCHEME.fullmatch(place):
        raise UsageError(f"--data takes a data set's name, a path, or hf:NAME and the like, got {text!r}: add the name")
    if text in SETS or _SCHEME.match(text) or os.path.exists(place):
        return
    names = [*SETS, *(str(path) for path in _beside(Path(place)))]
    raise UsageError(
        f"--data {text}: no data set of that name and nothing at that path: {_hint(place, names)}known: "
        f"{', '.join(SETS)}, the path of images (docs/data-formats.md), hf:NAME, webdataset:PATTERN, mnist:FOLDER"
    )


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? " if near else ""


def _near(path: Path) -> str:
    hint = _hint(str(path), map(str, _beside(path)))
    return f" ({hint.rstrip()})" if hint else ""


def _beside(path: Path) -> list[Path]:
    """What the folder of a path that is not there holds."""
    try:
        with os.scandir(path.parent) as found:
            return [path.parent / one.name for _, one in zip(range(MOST_NAMES), found, strict=False)]
    except OSError:
        return []
