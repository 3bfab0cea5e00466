"""Random draws that never change: a counter hashed by SHA-256.

`random` and numpy promise the same numbers for the same seed only within limits (a method's algorithm may change
with the version), and an episode that changes between machines is another benchmark. Here draw i of a stream is the
first eight bytes, big-endian, of sha256("<key>#<i>"): a rule short enough to write down, in any language, for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_SPAN = 1 << 64


class Stream:
    """An endless row of draws, fixed by its key. Streams of different keys are independent.

    Args:
        key: says what the draws are for; part of the protocol wherever the draws are.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self._drawn = 0

    def below(self, n: int) -> int:
        """One of 0..n-1, all exactly as likely.

        Raises:
            ValueError: n is not in 1..2**64.
        """
        if not 1 <= n <= _SPAN:
            raise ValueError(f"n must be in 1..2**64, got {n}")
        fair = _SPAN - _SPAN % n  # the rest would favour small numbers: draw again instead
        while True:
            digest = hashlib.sha256(f"{self.key}#{self._drawn}".encode()).digest()
            self._drawn += 1
            number = int.from_bytes(digest[:8], "big")
            if number < fair:
                return number % n

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items in random order; the first k of a larger sample are the sample of k.

        Raises:
            ValueError: count is not in 0..len(items).
        """
        if not 0 <= count <= len(items):
            raise ValueError(f"count must be in 0..{len(items)}, got {count}")
        pool = list(items)
        for place in range(count):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:count]
