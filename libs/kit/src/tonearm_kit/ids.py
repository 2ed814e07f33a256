"""Identifiers: time-ordered for rows and events, unguessable for secrets."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable

NewId = Callable[[], str]
"""Makes a new identifier per call; tests pass one that counts."""

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


class _Uuid7:
    """UUIDv7 (RFC 9562): 48 bits of milliseconds, then 12 bits of a counter, then 62 random.

    Ids of one process increase strictly, even within a millisecond and when the wall clock
    steps back: the counter runs over into the next millisecond.
    """

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        now = (time.time_ns() // 1_000_000) << 12
        # No await and no lock: one process makes ids on one thread, and a torn read on another
        # costs only the order, never the uniqueness, which the 62 random bits keep.
        self._last = max(now, self._last + 1)
        millis, counter = self._last >> 12, self._last & 0xFFF
        value = (millis << 80) | _VERSION_7 | (counter << 64) | _VARIANT_RFC | secrets.randbits(62)
        return str(uuid.UUID(int=value))


new_id: NewId = _Uuid7()
"""Return a new UUIDv7 as text; later ids of one process sort after earlier ones."""


def new_token(n_bytes: int = 32) -> str:
    """Return `n_bytes` (>= 16) random bytes as URL-safe text, for secrets of any kind."""
    if n_bytes < 16:
        raise ValueError("a token of fewer than 16 bytes can be guessed")
    return secrets.token_urlsafe(n_bytes)
