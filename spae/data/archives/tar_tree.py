"""A .tar or .tar.gz as a `FileTree`: read by offset, never unpacked."""

from __future__ import annotations

import contextlib
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import indexed_gzip

from spae.atomic import atomic_path
from spae.data.archives.file_tree import FileTree, examined, of_interest, too_large
from spae.data.datasets.samples import shown_name
from spae.data.image_file import is_inside_name
from spae.data.issues import DataIssue
from spae.errors import DataError
from spae.regular_file import open_regular

GZIP = b"\x1f\x8b"
PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"7z\xbc": "7z"}
MOST_HEADER = 2**20
"""Bytes of one header: a long name or a list of attributes, which tarfile reads whole into memory."""
MOST_TIMES, LEAST_ROOM = 100, 2**30
"""A .tar.gz may unpack to so many times its own size, or to this many bytes. JPEGs hardly shrink at all."""
READ_ERRORS = (
    tarfile.TarError,
    indexed_gzip.ZranError,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
)


class TarTree(FileTree):
    """The ordinary files of an archive. Safe to read from several threads."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        try:
            with open_regular(path) as stream:
                start = stream.read(8)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from error
        packed = next((kind for mark, kind in PACKED.items() if start.startswith(mark)), None)
        if packed:
            raise DataError(f"{path} is packed with {packed}, .tar and .tar.gz are read: unpack it to a folder")
        self._gzip = start.startswith(GZIP)
        self._stream: Any = None

    def index(self, keep: bool = True) -> Iterator[str]:
        """See `FileTree.index`."""
        status = self.path.stat()
        kept = self._kept(status.st_size, status.st_mtime_ns)
        points = kept.with_suffix(".points")
        if keep and kept.exists() and (not self._gzip or points.exists()):
            self.entries = self._load(kept)
            if self.entries:
                self._stream = self._opened(points) if self._gzip else None
                yield from self.entries
                return
        self._stream = self._opened(None)
        try:
            yield from self._members()
        except READ_ERRORS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.path} does not read as a whole .tar or .tar.gz ({reason}): download it again"
            ) from error
        finally:
            if not self._gzip:
                self._stream.close()
        if keep and not self.issues:
            with contextlib.suppress(OSError):
                if self._gzip:
                    with atomic_path(points) as draft:
                        self._stream.export_index(str(draft))
            self._save(kept)

    def read(self, name: str) -> bytes:
        """See `FileTree.read`."""
        entry = self.entry(name)
        try:
            with self._lock:
                stream = self._stream if self._gzip else open_regular(self.path)
                with contextlib.nullcontext(stream) if self._gzip else stream:
                    stream.seek(entry.place)
                    content: bytes = stream.read(entry.size)
        except READ_ERRORS as error:
            raise DataError(f"{shown_name(name)} of {self.path} cannot be read ({error}): download it again") from error
        if len(content) != entry.size:
            raise DataError(f"{self.path} changed while it was in use: let it be, and run again")
        return content

    def _opened(self, points: Path | None) -> Any:
        if self._gzip:
            # It opens the file for each read, so that processes that fork do not share a place in it.
            return indexed_gzip.IndexedGzipFile(str(self.path), index_file=None if points is None else str(points))
        return open_regular(self.path)

    def _members(self) -> Iterator[str]:
        room = max(LEAST_ROOM, MOST_TIMES * self.path.stat().st_size) if self._gzip else self.path.stat().st_size
        bounded = _Bounded(self._stream, room, self.path)
        with tarfile.open(fileobj=bounded, mode="r:", errors="surrogateescape") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # otherwise it grows without bound
                yield from self._take(member, bounded)
            # tarfile takes a block that is no header for the end; a whole archive ends with zeros.
            bounded.seek(archive.offset)
            if bounded.read(512) != bytes(512):
                raise tarfile.ReadError("no block of zeros at its end")
            # To the very end, where the checksum of the whole stream is.
            while bounded.read(MOST_HEADER):
                bounded.seek(bounded.tell())

    def _take(self, member: tarfile.TarInfo, stream: _Bounded) -> Iterator[str]:
        name = member.name.removeprefix("./")
        shown = shown_name(name)
        if not is_inside_name(name):
            self.issues.append(DataIssue(shown, "", "a name in an archive must not lead out of it: remove the file"))
        elif member.islnk() or member.issym():
            what = f"is a link to {shown_name(member.linkname)!r}"
            self.issues.append(DataIssue(shown, "", f"{what}, links in an archive are not read: pack the file itself"))
        elif member.isdir() or not of_interest(name):
            return
        elif not member.isreg() or member.issparse():
            self.issues.append(DataIssue(shown, "", "is no ordinary file: remove it"))
        elif not name.isprintable():
            self.issues.append(DataIssue(shown, "", "a name must be printable UTF-8: rename the file"))
        elif name in self.entries:
            self.issues.append(DataIssue(shown, "", "is in the archive twice: remove one"))
        elif reason := too_large(name, member.size):
            self.issues.append(DataIssue(shown, "", reason))
        else:
            content = stream.content(member.offset_data, member.size)
            self.entries[name] = examined(name, content, member.offset_data)
            yield name


class _Bounded:
    """The stream that tarfile reads: it bounds the size of a header, and how far an archive may unpack."""

    def __init__(self, stream: Any, room: int, path: Path) -> None:
        self._stream, self._room, self._path = stream, room, path

    def read(self, size: int) -> bytes:
        if size > MOST_HEADER:
            raise DataError(f"{self._path} has a header of {size:,} bytes, at most {MOST_HEADER:,} are read: repack it")
        content: bytes = self._stream.read(size)
        return content

    def content(self, start: int, size: int) -> bytes:
        self._check(start + size)
        self._stream.seek(start)
        content: bytes = self._stream.read(size)
        if len(content) != size:
            raise tarfile.ReadError("it ends in the middle of a file")
        return content

    def seek(self, place: int) -> int:
        self._check(place)
        self._stream.seek(place)
        return place

    def tell(self) -> int:
        return int(self._stream.tell())

    def _check(self, place: int) -> None:
        if place > self._room:
            raise DataError(
                f"{self._path} would unpack to more than {self._room:,} bytes, which no archive of images of its "
                "size does: download it again, or unpack it yourself if you trust it"
            )
