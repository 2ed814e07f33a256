"""Who may work next: turns by urgency, with a share that even the least urgent lane gets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


class Turnstile:
    """Lets `capacity` units of work in at a time and picks the next lane when one leaves.

    Lane 0 is the most urgent. Whenever a lane with work is passed over it saves up `fair_share`
    of a turn; with a whole turn saved it goes first. So with two busy lanes and a share of 0.1
    the less urgent one gets every eleventh turn at least, and nobody starves.
    """

    def __init__(self, capacity: int, *, lanes: int = 1, fair_share: float = 0.1) -> None:
        if capacity < 1 or lanes < 1 or not 0.0 <= fair_share <= 1.0:
            raise ValueError("a turnstile needs capacity >= 1, lanes >= 1 and a share in 0..1")
        self._free = capacity
        self._share = fair_share
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = tuple(
            deque() for _ in range(lanes)
        )
        self._saved = [0.0] * lanes

    @asynccontextmanager
    async def turn(self, lane: int = 0) -> AsyncIterator[None]:
        """Hold one turn of `lane` for as long as the context lasts."""
        await self._enter(lane)
        try:
            yield
        finally:
            self._free += 1
            # Not at once: whoever leaves may queue up again before the loop turns, and then its
            # lane takes part in the choice.
            asyncio.get_running_loop().call_soon(self._admit)

    async def _enter(self, lane: int) -> None:
        if self._free and not any(self._waiting):
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free += 1  # the turn was given in the moment its owner was cancelled
                self._admit()
            else:
                self._waiting[lane].remove(turn)
            raise

    def _admit(self) -> None:
        while self._free and any(self._waiting):
            turn = self._waiting[self._pick()].popleft()
            if not turn.done():
                turn.set_result(None)
                self._free -= 1

    def _pick(self) -> int:
        busy = [lane for lane, waiting in enumerate(self._waiting) if waiting]
        saved = [lane for lane in busy if self._saved[lane] >= 1.0 - 1e-9]
        chosen = saved[0] if saved else busy[0]
        for lane in busy:
            if lane > chosen or (saved and lane != chosen and lane != busy[0]):
                self._saved[lane] = min(1.0, self._saved[lane] + self._share)
        if saved:
            self._saved[chosen] = 0.0
        return chosen


def lane_of(topic: str, priority_topics: Sequence[str]) -> int:
    """Return the lane of a topic; topics without a rank share the last one."""
    return priority_topics.index(topic) if topic in priority_topics else len(priority_topics)
