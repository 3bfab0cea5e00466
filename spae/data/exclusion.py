"""Classes left out of training: a file of names, one a line, `#` begins a remark.

`mini-imagenet-test` names the list that comes with this package. The `disjoint` recipe leaves those test classes of
mini-ImageNet out, so that few-shot tasks ask about classes never seen.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spae.data.class_names import ClassText
from spae.errors import DataError

LISTS = Path(__file__).with_name("exclusions")


@dataclass(frozen=True)
class KeptClasses:
    """The classes that stay.

    Attributes:
        texts: label text of the K that stay, in the order of the labels given.
        unnamed: how many of them are called by an id.
        place: [labels given] int32, the place of each in `texts`; -1 where it is left out.
    """

    texts: tuple[str, ...]
    unnamed: int
    place: np.ndarray


def keep_classes(labels: Sequence[str], names: ClassText, exclude: Path | None, where: str) -> KeptClasses:
    """Names all classes and leaves out those that the file lists, by label, other id or name.

    Args:
        labels: folder names, WordNet ids or numbers, each once.
        names: their text.
        exclude: the file; None keeps all.
        where: the data, for messages.

    Raises:
        DataError: the file cannot be read, a line of it is no class of the data, or no class stays.
    """
    texts, unnamed = names.texts(labels)
    out = _matched(labels, texts, names, exclude, where) if exclude is not None else set()
    kept = [number for number in range(len(labels)) if number not in out]
    if not kept:
        raise DataError(f"{exclude or where} leaves no class to train on, of {len(labels)}: leave fewer out")
    place = np.full(len(labels), -1, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    if unnamed and out:
        unnamed = sum(names.text(labels[number]) is None for number in kept)
    return KeptClasses(tuple(texts[number] for number in kept), unnamed, place)


def _matched(labels: Sequence[str], texts: Sequence[str], names: ClassText, exclude: Path, where: str) -> set[int]:
    numbers: dict[str, set[int]] = {}
    for number, (label, text) in enumerate(zip(labels, texts, strict=True)):
        # One name may be two classes (ImageNet has two cranes): leaving it out leaves out both.
        for key in {label, names.other_ids.get(label, label), text}:
            numbers.setdefault(key, set()).add(number)
    out: set[int] = set()
    for line, name in read_exclusions(exclude):
        if name not in numbers:
            near = difflib.get_close_matches(name, numbers, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else "correct it or take it out"
            raise DataError(f"{exclude} line {line} leaves out {name!r}, which is no class of {where}: {hint}")
        out |= numbers[name]
    return out


def read_exclusions(path: Path) -> list[tuple[int, str]]:
    """Line numbers and names of an exclusion list. Raises DataError where it is missing, empty or no UTF-8 text."""
    # A file of that name, in the folder where the program runs, wins over a list of this package.
    shipped = {file.stem: file for file in LISTS.glob("*.txt")}
    try:
        lines = (path if path.exists() else shipped.get(str(path), path)).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"exclude={path} does not read as UTF-8 text ({error}): give a file of class names") from error
    found = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1)]
    found = [(number, name) for number, name in found if name]
    if not found:
        raise DataError(f"{path} names no class to leave out: write one a line, or leave exclude empty")
    return found
