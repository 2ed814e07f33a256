"""One ordered worker per partition."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tonearm_kit.kafka.ports import Partition, Record


class Hand(Protocol):
    """What the work tells its worker."""

    def done(self, position: int) -> None:
        """Everything before this offset is settled."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Mark the part that is better finished than cut; waiting for a turn is not."""
        ...


Work = Callable[[Sequence[Record], Hand], Awaitable[None]]
"""Settles records of one partition in order, telling its `Hand` as it goes; raises only bugs."""


class PartitionWorker:
    """Settles the records of one partition, in order, one unit at a time.

    `position` is the next offset to commit: it only moves when everything before it is settled,
    so a crash at any point redelivers work but never skips any.
    """

    def __init__(self, partition: Partition, *, work: Work, unit_max: int) -> None:
        self.partition = partition
        self.position: int | None = None
        self.committed: int | None = None
        self.is_paused = False
        self.task: asyncio.Task[None] | None = None
        self._work = work
        self._unit_max = unit_max
        self._queue: deque[Record] = deque()
        self._in_hand: Sequence[Record] = ()
        self._taken_to = -1
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many records are not settled yet, those in hand included."""
        return len(self._queue) + len(self._in_hand)

    @property
    def oldest_ms(self) -> int | None:
        """Timestamp of the oldest record that is not settled; None when there is none."""
        if self._in_hand:
            return self._in_hand[0].timestamp
        return self._queue[0].timestamp if self._queue else None

    @property
    def to_commit(self) -> int | None:
        """The position, if it is not committed yet."""
        return self.position if self.position != self.committed else None

    def offer(self, records: Sequence[Record]) -> None:
        """Add records that were polled; those already taken (after a rebalance) are left out."""
        fresh = [record for record in records if record.offset > self._taken_to]
        if fresh:
            self._taken_to = fresh[-1].offset
            self._queue.extend(fresh)
            self._wake.set()

    def drop_queue(self) -> None:
        """Forget what was not begun; it will be polled again, here or elsewhere."""
        self._queue.clear()
        if self._in_hand:
            self._taken_to = self._in_hand[-1].offset
        elif self.position is not None:
            self._taken_to = self.position - 1
        else:
            self._taken_to = -1

    def rebase(self, committed: int | None) -> None:
        """Take over the group's stored position after a rebalance.

        It can be ahead of ours when another member had the partition in between; then ours must
        never be committed over it.
        """
        self.committed = committed
        if committed is not None and (self.position is None or committed > self.position):
            self.position = committed

    async def settle(self, *, timeout_s: float) -> bool:
        """Wait until nothing is being worked on; False if that takes longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def cancel(self) -> None:
        """End the worker; the unit in hand is rolled back and will be redelivered."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            size = min(self._unit_max, len(self._queue))
            self._in_hand = [self._queue.popleft() for _ in range(size)]
            try:
                await self._work(self._in_hand, self)
            finally:
                self._in_hand = ()

    def done(self, position: int) -> None:
        """See `Hand`."""
        if self.position is None or position > self.position:
            self.position = position

    @contextmanager
    def working(self) -> Iterator[None]:
        """See `Hand`."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()
