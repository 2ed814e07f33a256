"""The deadline of the call that is being served, so that calls made for it end before it does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REPLY_RESERVE_S = 0.02
"""Taken off for the way back: a caller that has hung up cannot be told anything."""

_ends_at: ContextVar[float | None] = ContextVar("tonearm_grpc_deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit calls made inside to `seconds` from now; an outer, shorter limit stays."""
    ends_at = asyncio.get_running_loop().time() + seconds
    outer = _ends_at.get()
    token = _ends_at.set(ends_at if outer is None else min(ends_at, outer))
    try:
        yield
    finally:
        _ends_at.reset(token)


def shorten(timeout_s: float) -> float:
    """Return `timeout_s`, or less where the surrounding deadline comes first; never negative."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return timeout_s
    left_s = ends_at - asyncio.get_running_loop().time() - REPLY_RESERVE_S
    return max(0.0, min(timeout_s, left_s))
