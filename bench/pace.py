"""How fast one way of consuming is, from its first effect to its last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT_S = 120.0
"""Longest that one way may take."""


@dataclass(frozen=True)
class Speed:
    """What one way of consuming reached."""

    events_per_s: float
    cpu_us_per_event: float


class Finish:
    """Counts effects; timing starts with the first one."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._seen = wanted, 0
        self._first = self._first_cpu = 0.0
        self.done = asyncio.Event()
        self.speed = Speed(0.0, 0.0)

    def count(self, amount: int = 1) -> None:
        """Note `amount` more effects."""
        if not self._seen:
            self._first, self._first_cpu = time.perf_counter(), time.process_time()
            self._wanted -= amount
            self._seen = amount
            return
        self._seen += amount
        self._wanted -= amount
        if self._wanted <= 0 and not self.done.is_set():
            took = time.perf_counter() - self._first
            cpu = time.process_time() - self._first_cpu
            self.speed = Speed(self._seen / took, cpu / self._seen * 1e6)
            self.done.set()

    async def wait(self) -> Speed:
        """Return the speed once all effects are there."""
        async with asyncio.timeout(LIMIT_S):
            await self.done.wait()
        return self.speed


def median(speeds: Sequence[Speed]) -> Speed:
    """Return the one in the middle."""
    return sorted(speeds, key=lambda speed: speed.events_per_s)[len(speeds) // 2]
