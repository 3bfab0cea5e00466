"""Where each sample of a tar shard lies: read once, kept in the cache folder, so that any row can be read by offset.

A sample is the members of one key (the name up to its first dot, folders counting): an image or a video, and a label:

    000017.jpg  000017.cls      cls: a whole number;  txt: the label's text;  json: {"label": ...}

As webdataset reads names: 000017.seg.png is the part seg.png of the sample 000017, and a.b.jpg no image of its own.
Members that are no part of a sample here are passed over, counted by their ending.

Members are never unpacked to names of their own: they are read by offset, from files of ordinary kind alone. Links,
devices and names that climb out of a folder are refused all the same, for a tool that unpacks would follow them.

n samples of a shard.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from spae.atomic import atomic_path
from spae.cache_folder import cache_folder, time_only
from spae.data.datasets.samples import NameTable, shown_name
from spae.data.image_file import SUFFIXES, is_inside_name
from spae.errors import DataError
from spae.regular_file import open_regular

LABELS = ("cls", "txt", "json")
"""In the order of preference, where a sample has several."""
JSON_KEYS = ("label", "cls", "class", "class_name", "wnid", "synset")
LABEL_BYTES = 65_536
FORMAT = 2
MOST_ENDINGS = 100
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7z": "xz", b"\x28\xb5": "zstd"}


@dataclass(frozen=True)
class ShardIndex:
    """One shard.

    Attributes:
        offsets, sizes: [n] int64, where the bytes of the image or video lie.
        names: [n] member names.
        labels: [n] text of the label; "" where the sample has none.
        bad: member -> why it cannot be used.
        passed_over: ending -> how many members of that ending are in no sample, and the first one's name.
    """

    offsets: np.ndarray
    sizes: np.ndarray
    names: NameTable
    labels: NameTable
    bad: dict[str, str]
    passed_over: dict[str, tuple[int, str]]


@dataclass
class _Found:
    """Members of the shard, key by key."""

    media: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    labels: dict[str, tuple[int, str]] = field(default_factory=dict)
    label_names: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, tuple[int, str]] = field(default_factory=dict)

    def pass_over(self, shown: str) -> None:
        """Counts a member by its ending; of an archive of countless endings the rest together."""
        ending = "." + shown.rpartition("/")[2].partition(".")[2]
        if ending not in self.passed_over and len(self.passed_over) >= MOST_ENDINGS:
            ending = "of other endings"
        count, first = self.passed_over.get(ending, (0, shown))
        self.passed_over[ending] = (count + 1, first)


def shard_index(path: Path, kinds: frozenset[str] = SUFFIXES, label: str = "") -> ShardIndex:
    """The index, from the cache folder where it was made of this very file (path, size, time of change) before.

    Args:
        path: the shard.
        kinds: suffixes of the members that are images or videos.
        label: cls, txt or json to take that one alone, none to take no label; "" takes the first there is.

    Raises:
        DataError: the file is no plain tar.
    """
    status = path.stat()
    wanted = [FORMAT, str(path.resolve()), status.st_size, status.st_mtime_ns, sorted(kinds), label]
    key = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
    kept = cache_folder() / "shards" / f"{key[:32]}.npz"
    with contextlib.suppress(OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return _stored(kept)
    index = _read(path, kinds, label)
    with time_only(), atomic_path(kept) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            offsets=index.offsets,
            sizes=index.sizes,
            names=np.frombuffer(index.names.blob, np.uint8),
            name_ends=index.names.ends,
            labels=np.frombuffer(index.labels.blob, np.uint8),
            label_ends=index.labels.ends,
            said=np.frombuffer(json.dumps([index.bad, index.passed_over]).encode(), np.uint8),
        )
    return index


def _stored(path: Path) -> ShardIndex:
    # Opened here: numpy leaves a file open that turns out to be no archive.
    with open_regular(path) as stream, np.load(stream, allow_pickle=False) as file:
        names = NameTable.of_arrays(file["names"].tobytes(), file["name_ends"])
        labels = NameTable.of_arrays(file["labels"].tobytes(), file["label_ends"])
        bad, passed_over = json.loads(file["said"].tobytes())
        passed_over = {ending: (count, first) for ending, (count, first) in passed_over.items()}
        return ShardIndex(file["offsets"], file["sizes"], names, labels, bad, passed_over)


def _read(path: Path, kinds: frozenset[str], label: str) -> ShardIndex:
    found = _Found()
    length = path.stat().st_size
    with open_regular(path) as stream:
        start = stream.read(8)
        packed = next((kind for mark, kind in COMPRESSED.items() if start.startswith(mark)), None)
        if packed:
            raise DataError(
                f"shard {path} is packed with {packed}, shards are read by offset: unpack it to a plain tar"
            )
        stream.seek(0)
        try:
            with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as archive:
                for member in _members(archive):
                    _take(found, member, length, archive, kinds, label)
                # tarfile takes a block that is no header for the end; a whole archive ends with zeros.
                stream.seek(archive.offset)
                if stream.read(512) != bytes(512):
                    raise tarfile.ReadError("no block of zeros at its end")
        except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, RecursionError) as error:
            if not found.media:
                raise DataError(f"shard {path} does not read as a tar ({error}): download it again") from error
            found.bad[path.name] = f"shard {path.name} ends in its middle ({error}): download it again"
    lacking = {key: shown for key, shown in found.unread.items() if key in found.media and key not in found.labels}
    for shown in lacking.values():
        found.bad[shown] = f"{shown} holds no label that can be read (at most {LABEL_BYTES:,} bytes of UTF-8 text)"
    for key, shown in (found.label_names | found.unread).items():
        if key not in found.media:
            found.pass_over(shown)
    keys = [key for key in found.media if key not in lacking]
    return ShardIndex(
        np.array([found.media[key][1] for key in keys], dtype=np.int64),
        np.array([found.media[key][2] for key in keys], dtype=np.int64),
        NameTable(found.media[key][0] for key in keys),
        NameTable(found.labels.get(key, (0, ""))[1] for key in keys),
        found.bad,
        found.passed_over,
    )


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in turn. The archive's own list of them is emptied, for it would grow without bound."""
    while (member := archive.next()) is not None:
        yield member
        archive.members = []  # type: ignore[attr-defined]


def _take(
    found: _Found, member: tarfile.TarInfo, length: int, archive: tarfile.TarFile, kinds: frozenset[str], label: str
) -> None:
    name = member.name.removeprefix("./")
    if member.isdir():
        return
    pure, shown = PurePosixPath(name), shown_name(name)
    if not is_inside_name(name):
        found.bad[shown] = f"{shown} is a name that leads out of the archive"
        return
    stem, _, suffix = pure.name.partition(".")
    suffix = suffix.lower()
    kind = "." + suffix
    if not stem or (kind not in kinds and suffix not in LABELS):  # without a stem: left behind by operating systems
        found.pass_over(shown)
        return
    reason = None
    if not member.isreg() or member.issparse():
        reason = "a link or no ordinary file"
    elif member.offset_data + member.size > length:
        reason = "cut short: the archive ends before it does"
    if reason:
        found.bad[shown] = f"{shown} is {reason}"
        return
    key = str(pure.parent / stem)
    if kind in kinds:
        if key in found.media:
            found.bad[shown] = f"{shown} is a second one of the sample {key!a}"
            return
        found.media[key] = (name, member.offset_data, member.size)
        return
    if label and suffix != label:
        return
    rank = LABELS.index(suffix)
    if key in found.labels and found.labels[key][0] <= rank:
        return
    stream = archive.extractfile(member) if member.size <= LABEL_BYTES else None
    text = _label(suffix, stream.read()) if stream is not None else None
    if text is None:
        # No issue yet: another member may hold the label (a json of sizes beside a txt).
        found.unread[key] = shown
        return
    found.labels[key] = (rank, text)
    found.label_names[key] = shown


def _label(suffix: str, content: bytes) -> str | None:
    """The label's text; None if it cannot be read."""
    try:
        text = content.decode("utf-8").strip()
        if suffix == "json":
            record = json.loads(text)
            value = (
                next((record[key] for key in JSON_KEYS if key in record), None) if isinstance(record, dict) else None
            )
            text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        elif suffix == "cls":
            text = str(int(text))
    except (UnicodeDecodeError, ValueError, RecursionError):
        return None
    return text if text and text.isprintable() else None
