"""A clock that moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""Where a `FixedClock` stands by default."""


class FixedClock:
    """A `Clock` for tests."""

    def __init__(self, now: datetime = START) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock's time is aware")
        self._now = now
        self._monotonic_s = 1000.0

    def now(self) -> datetime:
        """Return the time it stands at."""
        return self._now

    def monotonic_s(self) -> float:
        """Return seconds, which move together with `now`."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both times on by `seconds` (>= 0)."""
        if seconds < 0:
            raise ValueError("time does not run backwards; make a new clock")
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds


class CountingIds:
    """A `NewId` whose ids are UUID-shaped and count up from 1."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"00000000-0000-7000-8000-{self._count:012d}"
