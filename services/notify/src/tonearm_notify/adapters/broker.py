"""How replicas reach each other: Postgres LISTEN, one connection per process.

Announcements carry small publications whole, so that fan-out needs no read. What is missed
while the connection is away, or dropped because this process fell behind, is found by
comparing positions: after every reconnect, and every few seconds anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tonearm_kit.db import Connection, Database
from tonearm_kit.lifecycle import wait
from tonearm_kit.logs import get_logger
from tonearm_notify.adapters.journal import FIELD_MARK, NOTIFY_CHANNEL
from tonearm_notify.domain.wire import Publication
from tonearm_notify.usecases.deliver import Announcement, Compare
from tonearm_notify.usecases.ports import Lost, Published, Revocation

log = get_logger(__name__)


def to_announcement(payload: str) -> Announcement | None:
    """Return what a NOTIFY says; None for anything that this version does not know."""
    kind, _, rest = payload.partition(FIELD_MARK)
    if kind == "P":
        fields = rest.split(FIELD_MARK, 6)
        if len(fields) != 7:
            return None
        channel, epoch, offset, time_ms, traceparent, event_id, body = fields
        publication = Publication(int(offset), body, int(time_ms), traceparent or None, event_id)
        return Published(channel, epoch, publication)
    if kind == "R":
        lost, _, about = rest.partition(FIELD_MARK)
        subject, _, account_id = about.partition(FIELD_MARK)
        with suppress(ValueError):
            return Revocation(Lost(lost), subject, account_id)
    return None


class PostgresBroker:
    """Listens until told to stop, and hands every announcement to `put`, in order."""

    def __init__(
        self,
        db: Database,
        put: Callable[[Announcement | Compare], None],
        *,
        compare_every_s: float,
        answer_timeout_s: float = 5.0,
    ) -> None:
        self._db = db
        self._put = put
        self._compare_every_s = compare_every_s
        self._answer_timeout_s = answer_timeout_s
        self.listening = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; raises when the connection is lost (the caller starts anew)."""
        async with self._db.acquire() as conn:
            lost = asyncio.Event()

            def on_lost(_: Any) -> None:
                lost.set()

            conn.add_termination_listener(on_lost)
            await conn.add_listener(NOTIFY_CHANNEL, self._heard)
            self.listening.set()
            self._put(Compare(is_after_gap=True))
            try:
                await self._watch(conn, stop, lost)
            finally:
                self.listening.clear()
                with suppress(Exception):
                    conn.remove_termination_listener(on_lost)
                    await conn.remove_listener(NOTIFY_CHANNEL, self._heard)

    async def _watch(self, conn: Connection, stop: asyncio.Event, lost: asyncio.Event) -> None:
        """Ask the connection for a sign of life now and then: a dead peer says nothing."""
        while not await wait(stop, self._compare_every_s):
            if lost.is_set():
                raise ConnectionError("the listening connection was lost")
            async with asyncio.timeout(self._answer_timeout_s):
                await conn.fetchval("SELECT 1")
            self._put(Compare(is_after_gap=False))

    def _heard(self, _conn: Any, _pid: int, _channel: str, payload: Any) -> None:
        announcement = to_announcement(payload)
        if announcement is None:
            log.warning("unknown announcement", start=str(payload)[:80])
            return
        self._put(announcement)
