"""Sending what transactions wrote: in order per key, side by side per lane, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import asyncpg
from opentelemetry.metrics import Observation

from tonearm_kit import semconv, telemetry
from tonearm_kit.backoff import Backoff
from tonearm_kit.db import Connection, Database
from tonearm_kit.kafka import measure
from tonearm_kit.kafka.failures import DATABASE_TROUBLE
from tonearm_kit.kafka.headers import TRACEPARENT, encode_headers, span_context
from tonearm_kit.kafka.measure import Measures
from tonearm_kit.kafka.ports import BrokerError, OutRecord, Sender
from tonearm_kit.logs import get_logger
from tonearm_kit.outbox.add import LANES, ROWS_MAX

_LOCK_CLASS: Final = 0x70E
"""First half of our advisory lock keys; the second mixes schema and lane."""

# Two statements on purpose: the rows must be read with a snapshot taken after the lock, or a
# relay could see rows that the lock's last holder has just sent and deleted.
_CLAIM = """
WITH busy AS MATERIALIZED (
    SELECT every.lane FROM generate_series(0, $2::int - 1) AS every (lane)
    WHERE EXISTS (SELECT 1 FROM outbox WHERE outbox.lane = every.lane)
)
SELECT lane FROM busy
WHERE pg_try_advisory_xact_lock($1, hashtext(current_schema() || '/' || lane))
"""
_READ = """
SELECT found.* FROM unnest($1::smallint[]) AS mine (lane)
CROSS JOIN LATERAL (
    SELECT lane, position, topic, message_key, headers, value FROM outbox
    WHERE outbox.lane = mine.lane ORDER BY position LIMIT $2
) AS found
"""
_DELETE = """
DELETE FROM outbox USING unnest($1::smallint[], $2::bigint[]) AS sent (lane, position)
WHERE outbox.lane = sent.lane AND outbox.position = sent.position
"""
_AGE = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS age_s,
       count(*) AS rows FROM (SELECT created_at FROM outbox ORDER BY lane, position LIMIT $1) AS head
"""

_TROUBLE: Final[tuple[type[Exception], ...]] = (BrokerError, *DATABASE_TROUBLE)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Bounds and waits of one relay."""

    batch_events_max: int = 1_000
    poll_interval_s: float = 1.0
    """Longest wait when no notification comes; NOTIFY wakes the relay much sooner."""
    backoff_first_s: float = 0.1
    backoff_max_s: float = 10.0
    lag_interval_s: float = 5.0
    rows_max: int = ROWS_MAX


class OutboxRelay:
    """Moves rows from the outbox to the broker; any number may run side by side.

    A row is deleted only after all replicas acknowledged it, in the transaction that holds its
    lane's lock. A crash in between sends it again, with the same event id.
    """

    def __init__(
        self,
        db: Database,
        producer: Sender,
        settings: RelaySettings | None = None,
        *,
        measures: Measures | None = None,
    ) -> None:
        self._db, self._producer = db, producer
        self._settings = settings or RelaySettings()
        self._measures = measures or measure.default()
        self._wake = asyncio.Event()
        self._lag_s, self._rows = 0.0, 0

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`; a database or broker that is away is waited for."""
        with (
            self._measures.gauge(measure.OUTBOX_LAG, lambda: self._gauge(self._lag_s)),
            self._measures.gauge(measure.OUTBOX_ROWS, lambda: self._gauge(self._rows)),
        ):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_lag(stop))
                waker = tasks.create_task(self._wake_on_stop(stop))
                await self._relay(stop)
                waker.cancel()

    async def _wake_on_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _relay(self, stop: asyncio.Event) -> None:
        backoff = Backoff(
            first_s=self._settings.backoff_first_s, max_s=self._settings.backoff_max_s
        )
        while not stop.is_set():
            try:
                async with self._listening() as conn:
                    # Deaf, it would still poll, but every event would wait for that.
                    while not stop.is_set() and not conn.is_closed():
                        self._wake.clear()
                        while not stop.is_set() and await self.relay_once():
                            backoff.reset()
                        await self._sleep()
            except _TROUBLE as error:
                delay_s = backoff.next_s()
                log.warning(
                    "the relay waits", reason=f"{type(error).__name__}: {error}"[:200],
                    retry_in_s=round(delay_s, 3),
                )  # fmt: skip
                await self._pause(delay_s, stop)

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_interval_s):
                await self._wake.wait()
        except TimeoutError:
            return

    @staticmethod
    async def _pause(delay_s: float, stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await stop.wait()
        except TimeoutError:
            return

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[Connection]:
        """Keep one connection listening; when it breaks, `relay_once` notices by itself."""
        async with self._db.acquire() as conn:
            channel = f"outbox_{self._db.schema}"
            await conn.add_listener(channel, self._notified)
            try:
                yield conn
            finally:
                # A connection that broke has left the pool and with it its listeners.
                with suppress(*DATABASE_TROUBLE):
                    await conn.remove_listener(channel, self._notified)

    def _notified(self, *_: object) -> None:
        self._wake.set()

    async def relay_once(self) -> int:
        """Send one batch; return how many events were sent, 0 when nothing was free to send.

        Raises `BrokerError` and database errors; then nothing was removed.
        """
        async with self._db.begin() as conn:
            lanes = [row[0] for row in await conn.fetch(_CLAIM, _LOCK_CLASS, LANES)]
            if not lanes:
                return 0
            # A share for each lane, so that a full one cannot starve the others.
            share = max(1, self._settings.batch_events_max // len(lanes))
            rows = await conn.fetch(_READ, lanes, share)
            if not rows:
                return 0
            await self._send(rows)
            await self._delete(conn, rows)
        return len(rows)

    async def _delete(self, conn: Connection, rows: list[asyncpg.Record]) -> None:
        await conn.execute(
            _DELETE, [row["lane"] for row in rows], [row["position"] for row in rows]
        )

    async def _send(self, rows: list[asyncpg.Record]) -> None:
        records = [_record(row) for row in rows]
        topics = sorted({record.topic for record in records})
        single = rows[0]["headers"] if len(rows) == 1 else {}
        parent = telemetry.context_from(single) if TRACEPARENT in single else None
        links = [
            link for row in rows[: measure.LINKS_MAX]
            if (link := span_context(row["headers"].get(TRACEPARENT))) is not None
        ]  # fmt: skip
        with self._measures.operation(
            "send",
            topics[0] if len(topics) == 1 else "(several)",
            parent=parent,
            links=links,
            batch_count=len(rows) if len(rows) > 1 else None,
        ):
            await self._producer.send(records)
        for topic, group in groupby(sorted(record.topic for record in records)):
            self._measures.count(
                semconv.MESSAGING_CLIENT_SENT_MESSAGES,
                sum(1 for _ in group),
                {
                    semconv.MESSAGING_OPERATION_NAME: "send",
                    semconv.MESSAGING_DESTINATION_NAME: topic,
                },
            )

    async def _watch_lag(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with self._db.acquire() as conn:
                    row = await conn.fetchrow(_AGE, self._settings.rows_max)
            except DATABASE_TROUBLE:
                log.info("the lag of the outbox is unknown: the database is away")
            else:
                if row is not None:
                    self._lag_s, self._rows = float(row["age_s"]), int(row["rows"])
            await self._pause(self._settings.lag_interval_s, stop)

    def _gauge(self, value: float) -> Iterable[Observation]:
        return [Observation(value, {"db.namespace": self._db.schema})]


def _record(row: asyncpg.Record) -> OutRecord:
    return OutRecord(
        topic=row["topic"],
        key=row["message_key"].encode(),
        value=row["value"],
        headers=encode_headers(row["headers"]),
    )
