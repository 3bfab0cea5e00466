"""A loop in a thread: work runs in the background, and ends with the loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from llm_backends.openai.background_loop import BackgroundLoop


def test_closing_cancels_background_work() -> None:
    loop = BackgroundLoop()
    ended = threading.Event()

    async def answer() -> str:
        return threading.current_thread().name

    async def forever() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    assert loop.start(answer()).result(10) == "openai"
    endless = loop.start(forever())
    loop.start(answer()).result(10)  # the endless work has begun
    loop.close()
    assert ended.is_set()
    with pytest.raises(CancelledError):
        endless.result(10)
    assert "openai" not in [thread.name for thread in threading.enumerate()]
    loop.close()
