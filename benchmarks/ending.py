"""What must happen however a block ends, without hiding why it ended."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.errors import deliberate_errors

log = logging.getLogger(__name__)


@contextmanager
def at_end(*actions: Callable[[], object]) -> Iterator[None]:
    """Runs each action when the block ends. After an error of the block, or of an earlier action, later errors are
    logged: on a full disk everything that writes once more fails, too, and the first error is the one to mend.
    """
    expected: tuple[type[Exception], ...] = (*deliberate_errors(), OSError, sqlite3.Error)
    first: BaseException | None = None
    try:
        yield
    except BaseException as error:
        first = error
    for action in actions:
        try:
            action()
        except expected as error:
            if first is None:
                first = error
            else:
                log.warning("after that, %s", " ".join(str(error).split()))
    if first is not None:
        raise first
