"""What keeps a model from answering: a run without any answer is stopped, one that lost some says what it lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from benchmarks.errors import NothingAnswered
from llm_backends.cache.cached_backend import Answer
from llm_backends.errors import CallFailed
from results.record import Record

SAME_FAULTS = 5
LASTING_FAULTS = 3
"""Requests that fail alike, without one answer, before the run is stopped: fewer where the fault lasts, by its kind."""
SHOWN = 3
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|[0-9a-f]{8,}|\d+(\.\d+)?")
"""What differs between two messages of one fault: quoted text, lists, hashes and numbers."""


def kind_of_fault(message: str) -> str:
    """A message without what is particular to one request."""
    return _PARTICULAR.sub("…", message)


class FaultWatch:
    """Stops a run that asks in vain: nothing was answered, and request after request fails for the same reason.

    Args:
        answered: the run has an answer already, of an earlier command.
    """

    def __init__(self, answered: bool = False) -> None:
        self._answered = answered
        self._alike: Counter[str] = Counter()
        self._lasting = True
        self._message = ""

    def note(self, answer: Answer) -> None:
        """Looks at one answer. Raises NothingAnswered."""
        if answer.reply is not None:
            self._answered = True
        elif isinstance(answer.error, CallFailed):
            self._message = self._message or str(answer.error)
            self._alike[kind_of_fault(str(answer.error))] += 1
            self._lasting = self._lasting and answer.error.lasting
        if self._hopeless(LASTING_FAULTS if self._lasting else SAME_FAULTS):
            raise self._stop("asking stops here")

    def finish(self) -> None:
        """At the end of a run. Raises NothingAnswered if all of it failed alike."""
        if self._hopeless(2):
            raise self._stop("there is nothing to score")

    def _hopeless(self, least: int) -> bool:
        return not self._answered and len(self._alike) == 1 and self._alike.total() >= least

    def _stop(self, then: str) -> NothingAnswered:
        count = self._alike.total()
        return NothingAnswered(
            f"{self._message} (the same for each of {count} requests, and none was answered: {then}; put that right "
            "and give the same command again)"
        )


def fault_lines(records: Iterable[Record]) -> list[str]:
    """The commonest reasons for which records failed or do not fit, with counts, for the terminal."""
    found = list(records)
    lines = []
    for status in ("failed", "infeasible", "refused"):
        groups: dict[str, list[str]] = {}
        for record in found:
            if record.status == status:
                groups.setdefault(kind_of_fault(record.explanation), []).append(record.explanation)
        ranked = sorted(groups.values(), key=len, reverse=True)
        lines += [f"{status}: {len(one):,} of {len(found):,}: {one[0] or 'no reason given'}" for one in ranked[:SHOWN]]
        if rest := sum(map(len, ranked[SHOWN:])):
            lines.append(
                f"{status}: {rest:,} of {len(found):,} for {len(ranked) - SHOWN:,} other reasons: see the report"
            )
    return lines
