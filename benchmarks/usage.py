"""usage.json in a run's folder: what the run's requests used, kept up to date while it runs.

`total` is over every command that worked on the folder, `last` over the newest one alone. Each holds the fields of
`llm_backends.usage.Usage`, among them `slow_paths`: reason -> requests that took a slower path.
"""

from __future__ import annotations

import json
import time
from typing import Literal

from pydantic import ValidationError

from benchmarks.errors import UsageError
from llm_backends.protocol import Backend
from llm_backends.usage import Metered, Usage
from results.jsonl import read_file
from results.store import RunStore
from spae.canonical import Frozen

USAGE = "usage.json"
SAVE_SECONDS = 2.0
"""A killed run's last calls may be missing from the file for as long as this."""


class UsageTotals(Frozen):
    """The content of usage.json."""

    format: Literal[1] = 1
    total: Usage
    last: Usage


class UsageFile:
    """Writes what a backend has used. Does nothing for a backend that is not `Metered`.

    Args:
        store: whose folder holds the file.
        backend: opened by this command.

    Raises:
        UsageError: the folder's usage.json is broken.
    """

    def __init__(self, store: RunStore, backend: Backend) -> None:
        self._store = store
        self._backend = backend if isinstance(backend, Metered) else None
        self._before = Usage()
        self._saved = time.monotonic()
        path = store.folder / USAGE
        if self._backend is not None and path.exists():
            try:
                self._before = UsageTotals.model_validate_json(read_file(store.folder, USAGE)).total
            except ValidationError as error:
                raise UsageError(f"{path} must hold what a run writes, it does not: move it away") from error

    def tick(self) -> None:
        """Writes if the last time is `SAVE_SECONDS` ago; cheap enough to call after every record."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Writes now, if anything was used."""
        self._saved = time.monotonic()
        last = self._last
        if last is not None:
            totals = UsageTotals(total=self._before.plus(last), last=last)
            self._store.write_text(USAGE, json.dumps(totals.model_dump(mode="json"), indent=2) + "\n")

    @property
    def summary(self) -> str:
        """For people: one line for this command, and one for all together if there were others; empty for none."""
        last = self._last
        if last is None:
            return ""
        lines = [f"asked of the LLM: {last}"]
        if self._before != Usage():
            lines.append(f"with all earlier commands: {self._before.plus(last)}")
        return "\n".join(lines)

    @property
    def _last(self) -> Usage | None:
        """What this command used; None for nothing."""
        used = self._backend.usage if self._backend is not None else None
        return used if used is not None and used != Usage() else None
