"""Files of a training set that could not be read: counted, named, tolerated up to a limit.

One damaged image in a million must not stop a run of a week; a folder of damaged ones must.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from spae.errors import DataError

_log = logging.getLogger(__name__)

NAMED = 20
LEAST = 10
SHARE = 0.01


class CorruptFiles:
    """The corrupt files met so far, each counted once however often it is met.

    Args:
        total: how many files there are; 0 for unknown (a stream).
        share: of the total that may be bad.
        least: so many may be bad however small the total.
        file: all names and reasons are appended to it, a line each; None keeps the first NAMED only.
    """

    def __init__(self, total: int, share: float = SHARE, least: int = LEAST, file: Path | None = None) -> None:
        self.total, self.share, self.least, self.file = total, share, least, file
        self._named: dict[str, str] = {}
        self._seen: set[str] = set()
        self._used = 0
        self.repeated = 0
        """Rows of batches that show a sample again, in the place of one that cannot be used."""
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Different files that could not be used."""
        return len(self._seen)

    @property
    def named(self) -> dict[str, str]:
        """Name -> reason of the first NAMED."""
        with self._lock:
            return dict(self._named)

    @property
    def limit(self) -> int:
        """How many may be bad. Of an unknown total: of those read so far."""
        return max(self.least, int(self.share * (self.total or self._used)))

    def used(self, count: int = 1) -> None:
        """So many more files were read, good or bad."""
        with self._lock:
            self._used += count

    def add(self, name: str, reason: str) -> None:
        """A file that cannot be used.

        Raises:
            DataError: there are more of them than the limit.
        """
        with self._lock:
            if name in self._seen:
                return
            self._seen.add(name)
            if len(self._named) < NAMED:
                self._named[name] = reason
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a", encoding="utf-8") as stream:
                    stream.write(f"{name!a}\t{' '.join(reason.split())}\n")
        if self.count > self.limit:
            raise DataError(
                f"{self.count} files are unreadable; the limit is {self.limit} "
                f"({self.share:.0%}, at least {self.least}): "
                f"{self.summary()}: replace them or remove them"
            )

    def replaced(self, meant: Sequence[str], shown: Sequence[str]) -> None:
        """Counts the rows of a batch whose replacement stands in it a second time; logs the first.

        Args:
            meant: names of the samples that the batch was to show.
            shown: of those that it shows.
        """
        again = sum(one != other and shown.count(other) > 1 for one, other in zip(meant, shown, strict=True))
        if again and not self.repeated:
            _log.warning(
                "a batch shows other samples again in the place of %d of its %d that cannot be used: %s",
                again, len(shown), self.summary(),
            )  # fmt: skip
        self.repeated += again

    def summary(self) -> str:
        """How many and which, on one line; empty where there were none."""
        if not self._seen:
            return ""
        shown = "; ".join(self._named.values())
        more = self.count - len(self._named)
        where = f", listed in {self.file}" if self.file else ""
        again = f"; in their place {self.repeated} rows show another sample again" if self.repeated else ""
        return shown + (f"; and {more} more{where}" if more else "") + again
