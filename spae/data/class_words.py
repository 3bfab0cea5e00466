"""The text that an LLM is shown for each class of a user's set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spae.data.class_text import WNID, ClassText, find_class_text
from spae.data.mini_imagenet import TEST_CLASSES
from spae.data.validation.protocol import Report, told
from spae.errors import DataError

NAMES_FILE = "classes.txt"


def names_beside(given: Path | None, home: Path) -> ClassText:
    """The names of the file the user gives (?classes=FILE), else of one found beside the data, else none.

    Raises:
        DataError: the file cannot be read; the message names it.
    """
    try:
        return find_class_text(given, (home,))
    except DataError as error:
        # Not all of the messages say of which file they are.
        where = str(given or home / NAMES_FILE)
        raise error if where in str(error) else DataError(f"{where}: {error}") from error


def class_words(labels: Iterable[str], names: ClassText, home: Path, report: Report | None = None) -> dict[str, str]:
    """Label -> text. No two may be alike when case is ignored: replies are compared so.

    A name that a file gives is taken. Else, where all labels are WordNet ids, they are mini-ImageNet's test classes;
    and any other label is a name itself, underscores read as spaces.

    Args:
        labels: each once.
        names: of a file, or none.
        home: the folder of the data, for messages.
        report: told of every label without a name of its own; None raises the first.

    Raises:
        DataError: see `report`.
    """
    labels = list(labels)
    all_wnids = all(WNID.fullmatch(label) for label in labels)
    words: dict[str, str] = {}
    owner: dict[str, str] = {}
    for label in labels:
        with told(report, ".", f"class {label}"):
            text = _text(label, names, home, all_wnids)
            other = owner.setdefault(text.casefold(), label)
            if other != label:
                raise DataError(f"{home} has two classes called {text!r} ({other!r}, {label!r}): rename one")
            words[label] = text
    return words


def _text(label: str, names: ClassText, home: Path, all_wnids: bool) -> str:
    if label in names.names:
        return names.names[label]
    if not all_wnids:
        text = " ".join(label.replace("_", " ").split())
        if not text:
            raise DataError(f"{home} has a class {label!r} without a name: rename the folder")
        return text
    if label in TEST_CLASSES:
        return TEST_CLASSES[label]
    raise DataError(
        f"{home} has the WordNet id {label}, which is no test class of mini-ImageNet: "
        f"write its name to {home / NAMES_FILE} as a line '{label} NAME', or name a file of names by ?classes=FILE"
    )
