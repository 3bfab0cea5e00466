"""Names of classes: the text that an LLM is shown, for labels that are WordNet ids, numbers or folder names.

Files of names that are read, recognized by their content:

    LOC_synset_mapping.txt       n01440764 tench, Tinca tinca          (ImageNet's; the first synonym is the name)
    words.txt                    n01440764<TAB>tench, Tinca tinca      (WordNet's, for ImageNet-21k)
    imagenet_class_index.json    {"0": ["n01440764", "tench"], ...}    (names a number and an id at once)
    classes.txt                  rose_1 garden rose                    (a user's own: id, then the whole name)
    labels.json                  ["tench", ...] or {"0": "tench", ...}

Files of classes to leave out of training: one name a line, `#` begins a comment. The `disjoint` recipe leaves out the
test classes of mini-ImageNet, so that few-shot tasks ask about classes never trained on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spae.canonical import composed, folded
from spae.data.issues import Report, reported
from spae.errors import DataError
from spae.regular_file import parse_json, read_bytes, read_text

WNID = re.compile(r"n\d{8}")
FOUND_BESIDE = ("classes.txt", "LOC_synset_mapping.txt", "imagenet_class_index.json", "synset_words.txt", "words.txt")
NAMES_FILE = "classes.txt"
MOST_BYTES = 64 * 1024 * 1024
EXCLUSION_LISTS = Path(__file__).with_name("exclusions")
"""Lists of classes to leave out that come with this package; `mini-imagenet-test` is the classes below."""

TEST_CLASSES: dict[str, str] = {
    "n01930112": "nematode",
    "n01981276": "king crab",
    "n02099601": "golden retriever",
    "n02110063": "malamute",
    "n02110341": "dalmatian",
    "n02116738": "African hunting dog",
    "n02129165": "lion",
    "n02219486": "ant",
    "n02443484": "black-footed ferret",
    "n02871525": "bookshop",
    "n03127925": "crate",
    "n03146219": "cuirass",
    "n03272010": "electric guitar",
    "n03544143": "hourglass",
    "n03775546": "mixing bowl",
    "n04146614": "school bus",
    "n04149813": "scoreboard",
    "n04418357": "theater curtain",
    "n04522168": "vase",
    "n07613480": "trifle",
}
"""The 20 test classes of mini-ImageNet by WordNet id, named as the paper's few-shot task names them."""


@dataclass(frozen=True)
class ClassText:
    """Names by id.

    Attributes:
        names: id -> name.
        other_ids: id -> another id of the same class ("0" -> "n01440764").
        source: the file, for messages; "" for none.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    other_ids: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def text(self, label: str) -> str | None:
        """The name of a class, or None where only its id is known.

        A label that is neither a WordNet id nor a number is a name itself, underscores read as spaces.
        """
        label = composed(label)
        if label in self.names:
            return self.names[label]
        if WNID.fullmatch(label):
            return TEST_CLASSES.get(label) if not self.names else None
        if label.isascii() and label.isdigit():
            return None
        return " ".join(label.replace("_", " ").split()) or None

    def texts(self, labels: Sequence[str]) -> tuple[tuple[str, ...], int]:
        """The name of each class, or its id if it has none, and how many have none.

        Raises:
            DataError: a file of names was found and lacks some of the classes; or a label that cannot be printed.
        """
        found = [self.text(_printable(label)) for label in labels]
        lacking = [label for label, text in zip(labels, found, strict=True) if text is None]
        if self.source and lacking:
            raise DataError(
                f"{self.source} names no class {lacking[0]!r} ({len(lacking)} of {len(labels)} are missing): add lines "
                "'id name', or name another file by ?classes=FILE"
            )
        texts = tuple(text if text is not None else label for label, text in zip(labels, found, strict=True))
        return texts, len(lacking)


def find_class_text(given: Path | None, beside: Iterable[Path]) -> ClassText:
    """The file that the user names, else the first of FOUND_BESIDE in these folders, else no names.

    Raises:
        DataError: a file that cannot be read as one of the five kinds.
    """
    if given is not None:
        if not given.is_file():
            raise DataError(f"classes={given} is no file: name one of {', '.join(FOUND_BESIDE)}")
        return read_class_text(given)
    for folder in beside:
        for name in FOUND_BESIDE:
            if (folder / name).is_file():
                return read_class_text(folder / name)
    return ClassText()


def read_class_text(path: Path) -> ClassText:
    """A file of names. Raises DataError."""
    try:
        if path.suffix.lower() == ".json":
            return _from_json(path, read_bytes(path, MOST_BYTES))
        return _from_lines(path, read_text(path, MOST_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} does not read as UTF-8 text ({error}): save it so") from error


def _from_lines(path: Path, text: str) -> ClassText:
    names: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        label, *rest = composed(line).strip().split(None, 1)[:2] or ("",)
        if not label:
            continue
        # Of synonyms the first; a user's own name may hold a comma.
        name = (rest[0].split(",")[0] if WNID.fullmatch(label) else rest[0]) if rest else ""
        if not name.strip() or label in names:
            raise DataError(f"{path} line {number} is {line[:80]!r}, expected one line 'id name' a class: correct it")
        names[label] = _printable(" ".join(name.split()))
    if not names:
        raise DataError(f"{path} names no class: expected lines 'id name'")
    return ClassText(names, {}, str(path))


def _from_json(path: Path, text: bytes) -> ClassText:
    wanted = f'{path} must hold {{"0": ["n01440764", "tench"], ...}}, {{"id": "name", ...}} or ["name", ...]'
    try:
        content = parse_json(text)
    except ValueError as error:
        raise DataError(f"{wanted}, it is no JSON ({error}): correct it") from error
    if isinstance(content, list):
        content = {str(number): name for number, name in enumerate(content)}
    if not isinstance(content, dict) or not content:
        raise DataError(f"{wanted}, got {type(content).__name__}: correct it")
    names: dict[str, str] = {}
    other: dict[str, str] = {}
    for label, value in content.items():
        pair = [label, value] if isinstance(value, str) else value
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
            raise DataError(f"{wanted}, got {str(value)[:80]!r} for {label!r}: correct it")
        label, other_id, name = map(composed, (label, *pair))
        name = _printable(" ".join(name.replace("_", " ").split()))
        names[label] = name
        if other_id != label:
            names[other_id] = name
            other |= {label: other_id, other_id: label}
    return ClassText(names, other, str(path))


def _printable(name: str) -> str:
    if not name.isprintable():
        raise DataError(f"a class is called {name[:80]!a}, a name must be printable UTF-8: rename it")
    return name


def names_beside(given: Path | None, home: Path) -> ClassText:
    """The names of the file the user gives (?classes=FILE), else of one found beside the data, else none.

    Raises:
        DataError: the file cannot be read; the message names it.
    """
    try:
        return find_class_text(given, (home,))
    except DataError as error:
        # Not all messages name the file.
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
        report: called for every label without a name of its own; None raises the first.

    Raises:
        DataError: see `report`.
    """
    labels = list(labels)
    all_wnids = all(WNID.fullmatch(label) for label in labels)
    words: dict[str, str] = {}
    owner: dict[str, str] = {}
    for label in labels:
        with reported(report, ".", f"class {label}"):
            text = _text(label, names, home, all_wnids)
            other = owner.setdefault(folded(text), label)
            if other != label:
                _check_form(label, other, str(home))
                raise DataError(f"{home} has two classes called {text!r} ({other!r}, {label!r}): rename one")
            words[label] = text
    return words


def _check_form(label: str, other: str, where: str) -> None:
    """Raises DataError for two labels that a reader cannot tell apart."""
    if composed(label) == composed(other):
        raise DataError(
            f"{where} has the class {composed(label)!r} twice, spelt by other Unicode characters ({other!a}, "
            f"{label!a}): rename one, or put their images together"
        )


def _text(label: str, names: ClassText, home: Path, all_wnids: bool) -> str:
    label = composed(label)
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


def keep_classes(
    labels: Sequence[str], names: ClassText, exclude: Path | None, where: str, *, numbered: bool = False
) -> KeptClasses:
    """Names all classes and leaves out those that the file lists: by label, other id or name; see also `numbered`.

    Args:
        labels: folder names, WordNet ids or numbers, each once.
        names: their text.
        exclude: the file; None keeps all.
        where: the data, for messages.
        numbered: the data number their classes and may name each by its synonyms ("ant, emmet, pismire"), as a Hugging
            Face ImageNet does: the file may then list a number (what `names` says of it counts, too), any synonym, or
            the WordNet id of a class whose name is known.

    Raises:
        DataError: the file cannot be read, a line of it is no class of the data, two labels differ by Unicode form
            only, or no class stays.
    """
    by_form: dict[str, str] = {}
    for label in labels:
        if by_form.setdefault(composed(label), label) != label:
            _check_form(label, by_form[composed(label)], where)
    texts, unnamed = names.texts(labels)
    out = _matched(labels, texts, names, exclude, where, numbered) if exclude is not None else set()
    kept = [number for number in range(len(labels)) if number not in out]
    if not kept:
        raise DataError(f"{exclude or where} leaves no class to train on, of {len(labels)}: leave fewer out")
    place = np.full(len(labels), -1, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    if unnamed and out:
        unnamed = sum(names.text(labels[number]) is None for number in kept)
    return KeptClasses(tuple(texts[number] for number in kept), unnamed, place)


def _matched(
    labels: Sequence[str], texts: Sequence[str], names: ClassText, exclude: Path, where: str, numbered: bool
) -> set[int]:
    numbers: dict[str, set[int]] = {}
    for number, (label, text) in enumerate(zip(map(composed, labels), texts, strict=True)):
        keys = {label, names.other_ids.get(label, label), text}
        if numbered:
            keys |= _other_names(label, number, names)
        # One name may be two classes (ImageNet has two cranes): leaving it out leaves out both.
        for key in keys:
            numbers.setdefault(key, set()).add(number)
    out: set[int] = set()
    for line, name in read_exclusions(exclude):
        if numbered and name not in numbers:
            name = names.names.get(name, TEST_CLASSES.get(name, name))
        if name not in numbers:
            near = difflib.get_close_matches(name, numbers, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else "correct it or remove it"
            raise DataError(f"{exclude} line {line} leaves out {name!r}, which is no class of {where}: {hint}")
        out |= numbers[name]
    return out


def _other_names(label: str, number: int, names: ClassText) -> set[str]:
    """What a class of a numbered list may be called besides its label: its number, its synonyms, its WordNet id."""
    synonyms = {one.strip() for one in label.split(",")} - {""}
    spelt = {one.replace("_", " ") for one in synonyms}
    known = {names.other_ids[str(number)], names.names[str(number)]} if str(number) in names.other_ids else set()
    return {str(number)} | synonyms | spelt | known


def read_exclusions(path: Path) -> list[tuple[int, str]]:
    """Line numbers and names of an exclusion list. Raises DataError where it is missing, empty or no UTF-8 text."""
    # A file of that name, in the folder where the program runs, wins over a list of this package.
    shipped = {file.stem: file for file in EXCLUSION_LISTS.glob("*.txt")}
    try:
        lines = read_text(path if path.exists() else shipped.get(str(path), path), MOST_BYTES).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"exclude={path} does not read as UTF-8 text ({error}): give a file of class names") from error
    found = [(number, composed(line.partition("#")[0].strip())) for number, line in enumerate(lines, start=1)]
    found = [(number, name) for number, name in found if name]
    if not found:
        raise DataError(f"{path} names no class to leave out: write one a line, or leave exclude empty")
    return found
