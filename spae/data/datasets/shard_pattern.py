"""Names of tar shards from one pattern: `train-{000..146}.tar`, `part-{a,b}.tar`, `shards/*.tar`."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from spae.errors import DataError

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 100_000


def expand(pattern: str) -> list[Path]:
    """The shards a pattern names, in its order; those of a `*` sorted.

    Raises:
        DataError: a remote address, a range that runs backwards or is endless, a shard that is not there.
    """
    if re.match(r"(?:https?|s3|gs|pipe|hdfs):", pattern):
        raise DataError(
            f"webdataset:{pattern} is not local: shards are read by offset, so copy them to a disk, or stream them "
            "through hf:webdataset"
        )
    found: list[Path] = []
    for name in _braces(pattern):
        if any(mark in name for mark in "*?[") and not Path(name).exists():
            matches = sorted(glob.glob(name))
            if not matches:
                raise DataError(f"no file matches {name}: check the pattern")
            found += [Path(match) for match in matches]
        elif Path(name).is_dir():
            raise DataError(f"{name} is a folder, expected tar shards: write {name}/*.tar")
        elif not Path(name).is_file():
            raise DataError(f"no shard at {name}, which {pattern} names: check the pattern")
        else:
            found.append(Path(name))
    twice = len(found) - len(set(found))
    if twice:
        raise DataError(f"{pattern} names {twice} shards twice: name each once")
    return found


def _braces(pattern: str) -> list[str]:
    names = [pattern]
    while any(BRACES.search(name) for name in names):
        names = [longer for name in names for longer in _first_brace(name)]
        if len(names) > MOST:
            raise DataError(f"{pattern} names over {MOST:,} shards: correct the range")
    return names


def _first_brace(name: str) -> list[str]:
    found = BRACES.search(name)
    if found is None:
        return [name]
    body = found.group(1)
    numbers = RANGE.fullmatch(body)
    if numbers:
        first, last = numbers.groups()
        if int(last) < int(first) or int(last) - int(first) >= MOST:
            raise DataError(f"{{{body}}} must count upwards and below {MOST:,}: correct the range")
        parts = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    else:
        parts = body.split(",")
    return [name[: found.start()] + part + name[found.end() :] for part in parts]
