"""Resumable uploads in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tonearm_ingest.domain.errors import AccountGone, RequestStillRunning
from tonearm_ingest.domain.resumable import Part, Resumable
from tonearm_kit.db import Connection

_SELECT = """
    SELECT id, account_id, length_bytes, offset_bytes, filename, metadata, created_at, expires_at,
           idempotency_key, audio_id, concat, partials_sha256, is_length_deferred
    FROM upload
"""
_SHARE_ACCOUNT = "SELECT pg_advisory_xact_lock_shared(hashtextextended('account:' || $1, 0))"
_OWN_OPENING = "SELECT pg_advisory_xact_lock(hashtextextended('opening:' || $1, 0))"


async def enter_account(conn: Connection, account_id: str) -> None:
    """Keep the account from being closed until the transaction ends; raises `AccountGone`.

    One lock per account: many uploads share it, closing the account excludes them.
    """
    await conn.execute(_SHARE_ACCOUNT, account_id)
    if await conn.fetchval("SELECT true FROM closed_account WHERE account_id = $1", account_id):
        raise AccountGone


class PostgresResumables:
    """Port `Resumables` on one connection inside its transaction."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def add(self, upload: Resumable) -> None:
        """Insert, in an account that is still there."""
        await enter_account(self._conn, upload.account_id)
        tag = await self._conn.execute(
            """
            INSERT INTO upload (id, account_id, length_bytes, offset_bytes, filename, metadata,
                                created_at, expires_at, idempotency_key, audio_id, concat,
                                partials_sha256, is_length_deferred)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            ON CONFLICT DO NOTHING
            """,
            upload.id,
            upload.account_id,
            upload.length_bytes,
            upload.offset_bytes,
            upload.filename,
            upload.metadata,
            upload.created_at,
            upload.expires_at,
            upload.idempotency_key,
            upload.audio_id,
            upload.concat,
            upload.partials_sha256,
            upload.is_length_deferred,
        )
        if tag != "INSERT 0 1":
            raise RequestStillRunning(retry_after_s=1)

    async def find_by_idempotency_key(self, key: str, *, account_id: str) -> Resumable | None:
        """Select by the unique index."""
        row = await self._conn.fetchrow(
            _SELECT + "WHERE account_id = $1 AND idempotency_key = $2", account_id, key
        )
        return None if row is None else _from_row(row)

    async def find_by_partials(self, partials_sha256: str, *, account_id: str) -> Resumable | None:
        """Select by the unique index."""
        row = await self._conn.fetchrow(
            _SELECT + "WHERE account_id = $1 AND partials_sha256 = $2", account_id, partials_sha256
        )
        return None if row is None else _from_row(row)

    async def open_in_account(self, account_id: str) -> tuple[int, int]:
        """Count under a lock of the account's openings."""
        await self._conn.execute(_OWN_OPENING, account_id)
        row = await self._conn.fetchrow(
            """
            SELECT count(*) AS n, coalesce(sum(length_bytes), 0)::bigint AS size_bytes FROM upload
            WHERE account_id = $1 AND audio_id IS NULL
            """,
            account_id,
        )
        return (0, 0) if row is None else (row["n"], row["size_bytes"])

    async def find(self, upload_id: str) -> Resumable | None:
        """Select by id."""
        row = await self._conn.fetchrow(_SELECT + "WHERE id = $1", upload_id)
        return None if row is None else _from_row(row)

    async def find_for_update(self, upload_id: str) -> Resumable | None:
        """Select by id and lock the row."""
        row = await self._conn.fetchrow(_SELECT + "WHERE id = $1 FOR UPDATE", upload_id)
        return None if row is None else _from_row(row)

    async def hold(self, upload_id: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Update the row where nobody else is in time."""
        tag = await self._conn.execute(
            """
            UPDATE upload SET holder = $2, held_until = $4
            WHERE id = $1 AND (holder IS NULL OR holder = $2 OR held_until <= $3)
            """,
            upload_id,
            holder,
            now,
            until,
        )
        return tag == "UPDATE 1"

    async def release(self, upload_id: str, holder: str) -> None:
        """Clear the holder, if it is still this one."""
        await self._conn.execute(
            "UPDATE upload SET holder = NULL, held_until = NULL WHERE id = $1 AND holder = $2",
            upload_id,
            holder,
        )

    async def set_length(self, upload_id: str, length_bytes: int) -> None:
        """Update by id."""
        await self._conn.execute(
            "UPDATE upload SET length_bytes = $2, is_length_deferred = false WHERE id = $1",
            upload_id,
            length_bytes,
        )

    async def append(self, upload_id: str, part: Part) -> None:
        """Insert the part and update the offset."""
        await self._conn.execute(
            """
            INSERT INTO upload_part (upload_id, offset_bytes, size_bytes, object_key)
            VALUES ($1, $2, $3, $4)
            """,
            upload_id,
            part.offset_bytes,
            part.size_bytes,
            part.object_key,
        )
        await self._conn.execute(
            "UPDATE upload SET offset_bytes = $2 WHERE id = $1",
            upload_id,
            part.offset_bytes + part.size_bytes,
        )

    async def parts(self, upload_id: str) -> Sequence[Part]:
        """Select by offset."""
        rows = await self._conn.fetch(
            """
            SELECT offset_bytes, size_bytes, object_key FROM upload_part
            WHERE upload_id = $1 ORDER BY offset_bytes
            """,
            upload_id,
        )
        return [
            Part(
                offset_bytes=row["offset_bytes"],
                size_bytes=row["size_bytes"],
                object_key=row["object_key"],
            )
            for row in rows
        ]

    async def finish(self, upload_id: str, *, audio_id: str) -> None:
        """Update the row, delete the parts."""
        await self._conn.execute(
            "UPDATE upload SET offset_bytes = length_bytes, audio_id = $2 WHERE id = $1",
            upload_id,
            audio_id,
        )
        await self._conn.execute("DELETE FROM upload_part WHERE upload_id = $1", upload_id)

    async def remove(self, upload_id: str) -> None:
        """Delete; the parts go with it."""
        await self._conn.execute("DELETE FROM upload WHERE id = $1", upload_id)

    async def take_expired(self, *, now: datetime, limit: int) -> Sequence[Resumable]:
        """Select by time, skipping what another sweeper or a request holds."""
        rows = await self._conn.fetch(
            _SELECT + "WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            now,
            limit,
        )
        return [_from_row(row) for row in rows]

    async def of_account(self, account_id: str, *, limit: int) -> Sequence[Resumable]:
        """Select and lock in id order."""
        rows = await self._conn.fetch(
            _SELECT + "WHERE account_id = $1 ORDER BY id LIMIT $2 FOR UPDATE", account_id, limit
        )
        return [_from_row(row) for row in rows]


def _from_row(row: asyncpg.Record) -> Resumable:
    return Resumable(**dict(row))
