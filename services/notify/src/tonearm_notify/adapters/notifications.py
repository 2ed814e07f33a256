"""Notifications in notify's schema."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tonearm_kit.db import Connection, Database
from tonearm_notify.usecases.notifications import Notification, Page

_KEEP_PER_ACCOUNT: Final = 1000


class PostgresNotifications:
    """What a person should find again; see `usecases.notifications`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load_page(
        self, account_id: str, *, before: int | None, limit: int, unread_only: bool
    ) -> Page:
        """Return notifications, newest first, and how many are unread in all."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "SELECT seq, event_id, type, audio_id, body, event_at, read_at FROM notifications"
                " WHERE account_id = $1 AND ($2::bigint IS NULL OR seq < $2)"
                " AND (NOT $3 OR read_at IS NULL) ORDER BY seq DESC LIMIT $4",
                account_id,
                before,
                unread_only,
                limit + 1,
            )
            unread = await self._unread(conn, account_id)
        items = [Notification(**dict(row)) for row in rows[:limit]]
        return Page(items, items[-1].seq if len(rows) > limit else None, unread)

    async def mark_read(
        self, account_id: str, *, event_ids: list[str] | None, up_to: str | None
    ) -> int:
        """Mark some, or everything up to one, or everything as read; return what is unread."""
        async with self._db.begin() as conn:
            await conn.execute(
                "UPDATE notifications SET read_at = now()"
                " WHERE account_id = $1 AND read_at IS NULL"
                " AND ($2::text[] IS NULL OR event_id = ANY($2))"
                " AND ($3::text IS NULL OR seq <= (SELECT seq FROM notifications"
                "      WHERE account_id = $1 AND event_id = $3))",
                account_id,
                event_ids,
                up_to,
            )
            return await self._unread(conn, account_id)

    async def _unread(self, conn: Connection, account_id: str) -> int:
        count: int = await conn.fetchval(
            "SELECT count(*) FROM notifications WHERE account_id = $1 AND read_at IS NULL",
            account_id,
        )
        return count

    async def forget_account(self, tx: Connection, account_id: str) -> None:
        """Delete an account's notifications."""
        await tx.execute("DELETE FROM notifications WHERE account_id = $1", account_id)

    async def sweep(self, *, keep_s: float) -> int:
        """Delete what is older than `keep_s` or beyond an account's newest thousand."""
        async with self._db.acquire() as conn:
            done = await conn.execute(
                "DELETE FROM notifications n WHERE event_at < now() - $1::interval"
                " OR seq < (SELECT seq FROM notifications m WHERE m.account_id = n.account_id"
                "         ORDER BY seq DESC OFFSET $2 LIMIT 1)",
                timedelta(seconds=keep_s),
                _KEEP_PER_ACCOUNT - 1,
            )
        return int(done.rpartition(" ")[2])
