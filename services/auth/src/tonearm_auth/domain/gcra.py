"""The generic cell rate algorithm: a steady drip with a bounded burst, one timestamp per key.

No window has an edge to burst around, and a key that has been quiet costs nothing to forget.
Times are integer microseconds, so that every implementation of the rule agrees exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`quota` requests per `window_s` seconds, at most `burst` of them at once."""

    quota: int
    window_s: int
    burst: int

    @property
    def interval_us(self) -> int:
        """Microseconds that one request costs (rounded up: never more than the quota)."""
        return -(-self.window_s * MICROS // self.quota)

    @property
    def tolerance_us(self) -> int:
        """How far the theoretical arrival time may run ahead of the clock."""
        return self.interval_us * self.burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The answer for one key. `tat_us` is what to store: unchanged when refused."""

    is_allowed: bool
    tat_us: int
    remaining: int
    """Requests that would be allowed right now, after this one."""
    reset_s: float
    """Seconds until the full burst is there again."""
    retry_s: float
    """Seconds until this very request would be allowed; 0 when it is."""


def decide(pace: Pace, *, tat_us: int | None, hits: int, now_us: int) -> Cell:
    """Judge `hits` requests at `now_us`; `tat_us` is what the last decision stored, if any.

    More hits than the burst are never allowed; their `retry_s` is then when the key is empty.
    """
    before = max(now_us, tat_us or 0)
    after = before + hits * pace.interval_us
    is_allowed = after - now_us <= pace.tolerance_us
    tat = after if is_allowed else before
    room_us = max(0, pace.tolerance_us - (tat - now_us))
    return Cell(
        is_allowed=is_allowed,
        tat_us=tat,
        remaining=room_us // pace.interval_us,
        reset_s=(tat - now_us) / MICROS,
        retry_s=0.0
        if is_allowed
        else min(after - now_us - pace.tolerance_us, before - now_us) / MICROS,
    )
