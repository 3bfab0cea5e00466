"""The server that most tests of this folder ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.llm_backends.openai_server import FaultServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = FaultServer()
    yield running
    running.close()
