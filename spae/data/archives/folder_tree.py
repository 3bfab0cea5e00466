"""A folder as a `FileTree`, and the tree of whatever lies at a path: a folder, a .tar or a .tar.gz."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from spae.data.archives.file_tree import FileEntry, FileTree, examined, most_bytes, of_interest, too_large
from spae.data.archives.tar_tree import TarTree
from spae.data.datasets.samples import shown_name
from spae.data.issues import DataIssue
from spae.errors import DataError
from spae.regular_file import read_bytes


class FolderTree(FileTree):
    """The files below a folder."""

    def index(self, keep: bool = True) -> Iterator[str]:
        """See `FileTree.index`; a file whose size and time of change are as they were is not read again."""
        kept = self._kept("folder")
        known = self._load(kept) if keep else {}
        root = self.path.resolve()
        for folder, folders, files in os.walk(self.path, onerror=self._unlisted):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files) + [one for one in folders if Path(folder, one).is_symlink()]:
                file = Path(folder, name)
                inside = file.relative_to(self.path).as_posix()
                if name.startswith(".") or (name not in folders and not of_interest(inside)):
                    continue
                reason = self._refused(file, root)
                if reason:
                    self.issues.append(DataIssue(shown_name(inside), "", reason))
                elif name not in folders:
                    self._take(inside, file, known)
                    yield inside
        if keep and self.entries != known:
            self._save(kept)

    def read(self, name: str) -> bytes:
        """See `FileTree.read`."""
        entry = self.entry(name)
        try:
            content = read_bytes(self.path / name, most_bytes(name))
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be read ({error.strerror}): check its permissions") from error
        if len(content) != entry.size:
            raise DataError(f"{self.path / name} changed while it was in use: let it be, and run again")
        return content

    def _take(self, inside: str, file: Path, known: dict[str, FileEntry]) -> None:
        status = file.stat()
        old = known.get(inside)
        if old is not None and (old.size, old.place) == (status.st_size, status.st_mtime_ns):
            self.entries[inside] = old
            return
        problem = too_large(inside, status.st_size)
        if problem:
            self.issues.append(DataIssue(inside, "", problem))
            return
        try:
            content = read_bytes(file, most_bytes(inside))
        except OSError as error:
            self.issues.append(DataIssue(inside, "", f"cannot be read ({error.strerror}): check its permissions"))
            return
        self.entries[inside] = examined(inside, content, status.st_mtime_ns)

    def _refused(self, file: Path, root: Path) -> str:
        if not file.name.isprintable():
            return "a name must be printable UTF-8: rename the file"
        try:
            target = file.resolve(strict=True)
            mode = target.stat().st_mode
        except (OSError, RuntimeError):
            return "is a link that cannot be followed: correct it or remove it"
        if not target.is_relative_to(root):
            return f"is a link that leads out of {self.path}: copy the file in, links must stay inside"
        if stat.S_ISDIR(mode):
            return "is a link to a folder, which is not followed: put the folder itself there"
        return "" if stat.S_ISREG(mode) else "is no ordinary file: remove it"

    def _unlisted(self, error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be listed ({error.strerror}): check its permissions") from error


def open_tree(path: Path, keep: bool = True) -> FileTree:
    """The tree at a path, indexed.

    Raises:
        DataError: nothing is there, it is no archive that can be read, or one of its names may not be read.
    """
    tree = tree_at(path)
    for _ in tree.index(keep):
        pass
    if tree.issues:
        more = f" (and {len(tree.issues) - 1} more)" if len(tree.issues) > 1 else ""
        raise DataError(f"{path}: {tree.issues[0].line}{more}")
    return tree


def tree_at(path: Path) -> FileTree:
    """The tree at a path, to be indexed. Raises DataError where nothing is there."""
    if path.is_dir():
        return FolderTree(path)
    if not path.is_file():
        raise DataError(f"no folder or archive at {path}: check the path")
    return TarTree(path)
