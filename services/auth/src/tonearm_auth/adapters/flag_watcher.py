"""Hears of flag changes from every replica and tells whoever subscribed in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tonearm_auth.adapters.listener import Ear
from tonearm_auth.adapters.postgres_flags import CHANNEL
from tonearm_auth.usecases.evaluate_flags import EVERY_FLAG
from tonearm_kit.db import Connection


class FlagWatcher:
    """Fans notifications out to bounded queues of flag keys.

    A subscriber that falls behind, or a connection that was lost for a while, gets `EVERY_FLAG`
    instead of single keys: it knows less, but never misses a change.
    """

    def __init__(self, *, queue_max: int = 64) -> None:
        self._queue_max = queue_max
        self._queues: set[asyncio.Queue[str]] = set()

    def ear(self) -> Ear:
        """Return what to listen to."""
        return Ear(channel=CHANNEL, heard=self._tell, listening=self._on_listening)

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str]]:
        """Yield a queue of the keys that change from now on."""
        queue: asyncio.Queue[str] = asyncio.Queue(self._queue_max)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def _on_listening(self, _conn: Connection) -> None:
        self._tell(EVERY_FLAG)

    def _tell(self, key: str) -> None:
        for queue in self._queues:
            is_behind = queue.full()
            while is_behind and not queue.empty():
                queue.get_nowait()
            queue.put_nowait(EVERY_FLAG if is_behind else key)
