"""Bodies of answers, within a cap: one of megabytes may unpack to gigabytes, be it an answer or a refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MAX_BODY = 16 * 1024 * 1024
"""Bytes of an answer, unpacked. Echoed log-probabilities take about 100 a token, all else is less."""


class BodyTooLong(Exception):
    """A body beyond the cap."""


async def bound_body(response: httpx2.Response) -> None:
    """A hook for responses: whoever reads the body gets it unpacked, and at most `MAX_BODY` of it.

    The HTTP library unpacks every encoding piece by piece, but keeps all pieces; so they are counted before it does.
    """
    packed = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)
    response.stream = _Bounded(packed)
    response.headers.pop("content-encoding", None)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, packed: httpx2.Response) -> None:
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for piece in self._packed.aiter_bytes():
            total += len(piece)
            if total > MAX_BODY:
                raise BodyTooLong(f"an answer may have {MAX_BODY:,} bytes unpacked, it has more")
            yield piece

    async def aclose(self) -> None:
        await self._packed.aclose()
