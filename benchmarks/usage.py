"""What a run has cost, in its folder: usage.json, kept up to date while the run goes on.

`total` is over every command that ever worked on the folder, `last` over the newest one alone.
"""

from __future__ import annotations

import json
import time

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.errors import UsageError
from llm_backends.protocol import Backend
from llm_backends.usage import Metered, Usage
from results.store import RunStore

USAGE = "usage.json"
SAVE_SECONDS = 2.0
"""A killed run's last calls may be missing from the file for as long as this."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: int = 1
    total: Usage
    last: Usage


class Spending:
    """Writes what a backend has used. Does nothing for one that does not count.

    Args:
        store: whose folder holds the file.
        backend: opened by this command.

    Raises:
        UsageError: the folder holds a usage.json that is none.
    """

    def __init__(self, store: RunStore, backend: Backend) -> None:
        self._store = store
        self._backend = backend if isinstance(backend, Metered) else None
        self._before = Usage()
        self._saved = time.monotonic()
        path = store.folder / USAGE
        if self._backend is not None and path.exists():
            try:
                self._before = _File.model_validate_json(path.read_bytes()).total
            except ValidationError as error:
                raise UsageError(f"{path} is not what a run writes: move it away") from error

    def tick(self) -> None:
        """To be called often; writes now and then."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Writes now, where anything was used."""
        self._saved = time.monotonic()
        if self._backend is None:
            return
        last = self._backend.usage
        if last != Usage():
            file = _File(total=self._before.plus(last), last=last)
            self._store.write_text(USAGE, json.dumps(file.model_dump(mode="json"), indent=2) + "\n")

    @property
    def said(self) -> str:
        """For people: one line on this command, and one on all together where there were others; empty for none."""
        if self._backend is None or not self._backend.usage.calls:
            return ""
        last = self._backend.usage
        lines = [f"asked of the server: {last}"]
        if self._before.calls:
            lines.append(f"with all earlier commands: {self._before.plus(last)}")
        return "\n".join(lines)
