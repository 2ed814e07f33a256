"""Hears of flag changes from every replica and tells whoever subscribed in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tonearm_auth.adapters.postgres_flags import CHANNEL
from tonearm_auth.usecases.evaluate_flags import EVERY_FLAG
from tonearm_kit.db import Database
from tonearm_kit.lifecycle import wait

_POLL_S = 5.0


class FlagWatcher:
    """Fans `NOTIFY` out to bounded queues of flag keys.

    A subscriber that falls behind, or a connection that was lost for a while, gets `EVERY_FLAG`
    instead of single keys: it knows less, but never misses a change.
    """

    def __init__(self, db: Database, *, queue_max: int = 64) -> None:
        self._db, self._queue_max = db, queue_max
        self._queues: set[asyncio.Queue[str]] = set()

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str]]:
        """Yield a queue of the keys that change from now on."""
        queue: asyncio.Queue[str] = asyncio.Queue(self._queue_max)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; raise when the connection is lost, to be run again."""
        async with self._db.acquire() as conn:
            await conn.add_listener(CHANNEL, self._on_notify)
            # What changed before this connection listened was heard by nobody.
            self._tell(EVERY_FLAG)
            try:
                while not await wait(stop, _POLL_S):
                    await conn.fetchval("SELECT 1")
            finally:
                if not conn.is_closed():
                    await conn.remove_listener(CHANNEL, self._on_notify)

    def _on_notify(self, _conn: object, _pid: int, _channel: str, payload: object) -> None:
        self._tell(str(payload))

    def _tell(self, key: str) -> None:
        for queue in self._queues:
            is_behind = queue.full()
            while is_behind and not queue.empty():
                queue.get_nowait()
            queue.put_nowait(EVERY_FLAG if is_behind else key)
