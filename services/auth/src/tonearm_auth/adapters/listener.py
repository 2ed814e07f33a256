"""One connection that hears what Postgres is told, for everybody in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from tonearm_kit.db import Connection, Database
from tonearm_kit.lifecycle import wait

_POLL_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """Who wants to hear a channel."""

    channel: str
    heard: Callable[[str], None]
    """Called with every payload."""
    listening: Callable[[Connection], Awaitable[None]]
    """Called once the connection listens: whatever was told before may have been missed."""


class Listener:
    """Listens to every ear's channel until the connection is lost; then run it again."""

    def __init__(self, db: Database, ears: Sequence[Ear]) -> None:
        self._db, self._ears = db, {ear.channel: ear for ear in ears}

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; raise when the connection is lost."""
        async with self._db.acquire() as conn:
            for channel in self._ears:
                await conn.add_listener(channel, self._on_notify)
            try:
                for ear in self._ears.values():
                    await ear.listening(conn)
                while not await wait(stop, _POLL_S):
                    await conn.fetchval("SELECT 1")
            finally:
                # A connection that was cut is not lent any more, and says so by raising.
                with suppress(asyncpg.InterfaceError):
                    for channel in self._ears:
                        await conn.remove_listener(channel, self._on_notify)

    def _on_notify(self, _conn: object, _pid: int, channel: str, payload: object) -> None:
        self._ears[channel].heard(str(payload))
