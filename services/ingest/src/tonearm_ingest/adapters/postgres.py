"""Recordings, notes on ownerless objects and the outbox in Postgres, one transaction at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from tonearm_contracts.envelope import EventData
from tonearm_ingest.adapters.postgres_resumable import PostgresResumables, enter_account
from tonearm_ingest.domain.audio import Audio, Failure, Properties, Status
from tonearm_ingest.domain.errors import RequestStillRunning
from tonearm_ingest.usecases.ports import LooseObject, Transaction
from tonearm_kit.db import Connection, Database
from tonearm_kit.outbox import Outbox

_COLUMNS = """
    id, account_id, filename, object_key, sha256, size_bytes, format, codec, duration_s,
    sample_rate_hz, channels, bit_depth, bitrate_bps, tags, status, job_id, reservation_id,
    idempotency_key, failure_code, failure_reason, summary, uploaded_at, updated_at, completed_at
"""
_SELECT = f"SELECT {_COLUMNS} FROM audio "  # noqa: S608 - a constant
_INSERT = f"""
    INSERT INTO audio ({_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $20, $21, $22, $23, $24)
"""  # noqa: S608 - a constant
_PAGE = """
    WHERE account_id = $1 AND ($2::text IS NULL OR id < $2) AND ($3::text IS NULL OR status = $3)
    ORDER BY id DESC LIMIT $4
"""

# Closing the account excludes everybody who enters it.
_OWN_ACCOUNT = "SELECT pg_advisory_xact_lock(hashtextextended('account:' || $1, 0))"


class PostgresAudioRows:
    """Port `AudioRows` on one connection inside its transaction."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def add(self, audio: Audio) -> None:
        """Insert; raises `AccountGone`, or `RequestStillRunning` where the same key was faster."""
        await enter_account(self._conn, audio.account_id)
        try:
            await self._conn.execute(_INSERT, *_to_row(audio))
        except asyncpg.UniqueViolationError as error:
            raise RequestStillRunning(retry_after_s=1) from error

    async def find(self, audio_id: str, *, account_id: str) -> Audio | None:
        """Select by id and owner."""
        row = await self._conn.fetchrow(
            _SELECT + "WHERE id = $1 AND account_id = $2",
            audio_id,
            account_id,
        )
        return None if row is None else _from_row(row)

    async def find_for_update(self, audio_id: str) -> Audio | None:
        """Select by id and lock the row."""
        row = await self._conn.fetchrow(
            _SELECT + "WHERE id = $1 FOR UPDATE",
            audio_id,
        )
        return None if row is None else _from_row(row)

    async def find_by_idempotency_key(self, key: str, *, account_id: str) -> Audio | None:
        """Select by the key of the request that made it."""
        row = await self._conn.fetchrow(
            _SELECT + "WHERE account_id = $1 AND idempotency_key = $2",
            account_id,
            key,
        )
        return None if row is None else _from_row(row)

    async def page(
        self, *, account_id: str, before_id: str | None, status: Status | None, limit: int
    ) -> Sequence[Audio]:
        """Select by key set, so that deep pages cost no more than the first."""
        rows = await self._conn.fetch(
            _SELECT + _PAGE, account_id, before_id, None if status is None else status.value, limit
        )
        return [_from_row(row) for row in rows]

    async def save(self, audio: Audio) -> None:
        """Update status, failure, summary and times."""
        await self._conn.execute(
            """
            UPDATE audio SET status = $2, failure_code = $3, failure_reason = $4, summary = $5,
                             updated_at = $6, completed_at = $7
            WHERE id = $1
            """,
            audio.id,
            audio.status.value,
            audio.failure and audio.failure.code,
            audio.failure and audio.failure.reason,
            None if audio.summary is None else dict(audio.summary),
            audio.updated_at,
            audio.completed_at,
        )

    async def remove(self, audio: Audio, *, at: datetime) -> None:
        """Delete and leave a tombstone."""
        await self._conn.execute("DELETE FROM audio WHERE id = $1", audio.id)
        await self._conn.execute(
            """
            INSERT INTO removed_audio (id, account_id, removed_at) VALUES ($1, $2, $3)
            ON CONFLICT (id) DO NOTHING
            """,
            audio.id,
            audio.account_id,
            at,
        )

    async def was_removed(self, audio_id: str, *, account_id: str) -> bool:
        """Look for the tombstone."""
        found = await self._conn.fetchval(
            "SELECT true FROM removed_audio WHERE id = $1 AND account_id = $2",
            audio_id,
            account_id,
        )
        return bool(found)

    async def forget_removed(self, *, before: datetime) -> int:
        """Delete old tombstones."""
        tag = await self._conn.execute("DELETE FROM removed_audio WHERE removed_at < $1", before)
        return int(tag.rsplit(" ", 1)[-1])

    async def close_account(self, account_id: str) -> None:
        """Wait for transactions that add to the account, and refuse the ones that follow."""
        await self._conn.execute(_OWN_ACCOUNT, account_id)
        await self._conn.execute(
            "INSERT INTO closed_account (account_id) VALUES ($1) ON CONFLICT DO NOTHING",
            account_id,
        )

    async def of_account(self, account_id: str, *, limit: int) -> Sequence[Audio]:
        """Select and lock in id order."""
        rows = await self._conn.fetch(
            _SELECT + "WHERE account_id = $1 ORDER BY id LIMIT $2 FOR UPDATE",
            account_id,
            limit,
        )
        return [_from_row(row) for row in rows]


class PostgresLooseObjects:
    """Port `LooseObjects` on one connection inside its transaction."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def note(self, loose: LooseObject, *, now: datetime) -> bool:
        """Insert; a note with the same idempotency key means that another upload is running."""
        if loose.idempotency_key is not None:
            await self._conn.execute(
                """
                UPDATE loose_object SET idempotency_key = NULL
                WHERE account_id = $1 AND idempotency_key = $2 AND sweep_after <= $3
                """,
                loose.account_id,
                loose.idempotency_key,
                now,
            )
        tag = await self._conn.execute(
            """
            INSERT INTO loose_object (object_key, account_id, idempotency_key, sweep_after)
            VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
            """,
            loose.object_key,
            loose.account_id,
            loose.idempotency_key,
            loose.sweep_after,
        )
        return tag == "INSERT 0 1"

    async def drop(self, object_key: str) -> bool:
        """Delete the note, waiting for a sweeper that holds it."""
        tag = await self._conn.execute("DELETE FROM loose_object WHERE object_key = $1", object_key)
        return tag == "DELETE 1"

    async def take_due(self, *, now: datetime, limit: int) -> Sequence[LooseObject]:
        """Select due notes, skipping what another sweeper holds."""
        rows = await self._conn.fetch(
            """
            SELECT object_key, account_id, sweep_after, idempotency_key FROM loose_object
            WHERE sweep_after <= $1
            ORDER BY sweep_after LIMIT $2 FOR UPDATE SKIP LOCKED
            """,
            now,
            limit,
        )
        return [LooseObject(**dict(row)) for row in rows]

    async def postpone(self, object_key: str, *, until: datetime) -> None:
        """Move the due time."""
        await self._conn.execute(
            "UPDATE loose_object SET sweep_after = $2 WHERE object_key = $1", object_key, until
        )


class OutboxEvents:
    """Port `Events`: the kit's outbox on the transaction's connection."""

    def __init__(self, conn: Connection, outbox: Outbox) -> None:
        self._conn, self._outbox = conn, outbox

    async def add(
        self, event: EventData, *, topic: str | None = None, correlation_id: str | None = None
    ) -> None:
        """Insert into the outbox."""
        await self._outbox.add(self._conn, event, topic=topic, correlation_id=correlation_id)


class PostgresTransaction:
    """Port `Transaction`."""

    def __init__(self, conn: Connection, outbox: Outbox) -> None:
        self.audio = PostgresAudioRows(conn)
        self.loose = PostgresLooseObjects(conn)
        self.resumable = PostgresResumables(conn)
        self.events = OutboxEvents(conn, outbox)


class PostgresLibrary:
    """Opens transactions on the service's database."""

    def __init__(self, db: Database, outbox: Outbox) -> None:
        self._db, self._outbox = db, outbox

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """Run one transaction: port `Begin`."""
        async with self._db.begin() as conn:
            yield self.within(conn)

    def within(self, conn: Connection) -> Transaction:
        """Return the ports on a transaction that someone else opened: the consumer."""
        return PostgresTransaction(conn, self._outbox)


def _to_row(audio: Audio) -> tuple[Any, ...]:
    properties, failure = audio.properties, audio.failure
    return (
        audio.id,
        audio.account_id,
        audio.filename,
        audio.object_key,
        audio.sha256,
        audio.size_bytes,
        properties.format,
        properties.codec,
        properties.duration_s,
        properties.sample_rate_hz,
        properties.channels,
        properties.bit_depth,
        properties.bitrate_bps,
        dict(properties.tags),
        audio.status.value,
        audio.job_id,
        audio.reservation_id,
        audio.idempotency_key,
        failure and failure.code,
        failure and failure.reason,
        None if audio.summary is None else dict(audio.summary),
        audio.uploaded_at,
        audio.updated_at,
        audio.completed_at,
    )


def _from_row(row: asyncpg.Record) -> Audio:
    properties = Properties(
        format=row["format"],
        codec=row["codec"],
        duration_s=row["duration_s"],
        sample_rate_hz=row["sample_rate_hz"],
        channels=row["channels"],
        bit_depth=row["bit_depth"],
        bitrate_bps=row["bitrate_bps"],
        tags=row["tags"],
    )
    failure = (
        None
        if row["failure_code"] is None
        else Failure(code=row["failure_code"], reason=row["failure_reason"])
    )
    return Audio(
        id=row["id"],
        account_id=row["account_id"],
        filename=row["filename"],
        object_key=row["object_key"],
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        properties=properties,
        job_id=row["job_id"],
        reservation_id=row["reservation_id"],
        idempotency_key=row["idempotency_key"],
        uploaded_at=row["uploaded_at"],
        updated_at=row["updated_at"],
        status=Status(row["status"]),
        completed_at=row["completed_at"],
        failure=failure,
        summary=row["summary"],
    )
