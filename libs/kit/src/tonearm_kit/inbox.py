"""The inbox: an event's effect and the mark that it is there, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from tonearm_kit.db import Connection, Database, literal
from tonearm_kit.logs import get_logger

RETENTION_S = 30 * 24 * 3600
"""Rows are kept longer than an event can come back: retries, redrives, replays by group."""

SWEEP_ROWS_MAX = 5_000

_INSERT_VALUES = (
    "INSERT INTO inbox (consumer_group, source, event_id) VALUES ({}) ON CONFLICT DO NOTHING"
)
_INSERT = _INSERT_VALUES.format("$1, $2, $3")
_MARKED = "INSERT 0 1"
"""Status of an insert that found nothing there."""

_INSERT_MANY = (
    "INSERT INTO inbox (consumer_group, source, event_id) "
    "SELECT $1, * FROM unnest($2::text[], $3::text[]) "
    "ON CONFLICT DO NOTHING RETURNING source, event_id"
)
_SWEEP = (
    "DELETE FROM inbox WHERE ctid IN (SELECT ctid FROM inbox "
    "WHERE seen_at < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED)"
)

log = get_logger(__name__)


async def first_time(conn: Connection, *, group: str, event_id: str, source: str) -> bool:
    """Mark the event as seen by `group`; False when it was seen before.

    Call it in the transaction of the effect, before the effect. While another transaction
    holds the same event, this waits for its outcome.
    """
    return await conn.execute(_INSERT, group, source, event_id) == _MARKED


async def first_times(
    conn: Connection, *, group: str, events: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Mark many events, given as (source, id), and return those seen for the first time."""
    rows = await conn.fetch(
        _INSERT_MANY, group, [source for source, _ in events], [each for _, each in events]
    )
    return {(row[0], row[1]) for row in rows}


class Inbox(Protocol):
    """How the consumer runner asks; tests give one that keeps its marks in memory."""

    def begin(
        self, db: Database, *, group: str, event_id: str, source: str
    ) -> AbstractAsyncContextManager[tuple[Connection, bool]]:
        """Run the transaction of one event; it comes with whether this is the first time."""
        ...

    async def first_times(
        self, conn: Connection, *, group: str, events: Sequence[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """See `tonearm_kit.inbox.first_times`."""
        ...


class PostgresInbox:
    """The table `inbox` in the database of the effect."""

    @asynccontextmanager
    async def begin(
        self, db: Database, *, group: str, event_id: str, source: str
    ) -> AsyncIterator[tuple[Connection, bool]]:
        """See `Inbox`. The mark travels with BEGIN, which saves one of four round trips."""
        values = f"{literal(group)}, {literal(source)}, {literal(event_id)}"
        async with db.begin_with(_INSERT_VALUES.format(values)) as (conn, status):
            yield conn, status == _MARKED

    async def first_times(
        self, conn: Connection, *, group: str, events: Sequence[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """See `tonearm_kit.inbox.first_times`."""
        return await first_times(conn, group=group, events=events)


async def sweep(db: Database, *, retention_s: float = RETENTION_S) -> int:
    """Delete rows older than `retention_s` in small transactions; return how many."""
    swept = 0
    while True:
        async with db.acquire() as conn:
            status = await conn.execute(_SWEEP, retention_s, SWEEP_ROWS_MAX)
        count = int(status.rsplit(" ", 1)[-1])
        swept += count
        if count < SWEEP_ROWS_MAX:
            return swept


async def sweep_forever(
    db: Database,
    stop: asyncio.Event,
    *,
    retention_s: float = RETENTION_S,
    every_s: float = 3_600.0,
) -> None:
    """Sweep every `every_s` seconds until `stop`; a database that is away is tried later."""
    while not stop.is_set():
        try:
            swept = await sweep(db, retention_s=retention_s)
            if swept:
                log.info("inbox swept", rows=swept)
        except Exception as error:  # noqa: BLE001 - housekeeping must not end the service
            log.warning("sweeping the inbox failed", reason=type(error).__name__)
        try:
            async with asyncio.timeout(every_s):
                await stop.wait()
        except TimeoutError:
            continue
