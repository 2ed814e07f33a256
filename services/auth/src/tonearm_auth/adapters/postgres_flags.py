"""Flags in Postgres, and the watcher that hears of their changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from tonearm_auth.domain.flag import Flag
from tonearm_kit.db import Connection

CHANNEL = "auth_flags"
"""LISTEN channel; the payload is the key of the flag that changed."""

_SELECT = (
    "SELECT key, description, is_enabled, audience, percentage, "
    "EXISTS (SELECT FROM flag_overrides o WHERE o.flag_key = flags.key) AS has_overrides "
    "FROM flags"
)


def _to_flag(row: asyncpg.Record) -> Flag:
    return Flag(**dict(row))


class PostgresFlags:
    """`Flags` on one connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def all(self) -> Sequence[Flag]:
        """Return every flag, by key."""
        rows = await self._conn.fetch(f"{_SELECT} ORDER BY key")
        return [_to_flag(row) for row in rows]

    async def find(self, key: str) -> Flag | None:
        """Return the flag or None."""
        row = await self._conn.fetchrow(f"{_SELECT} WHERE key = $1", key)
        return None if row is None else _to_flag(row)

    async def lock(self, key: str) -> Flag | None:
        """Return the flag, held until the transaction ends."""
        row = await self._conn.fetchrow(f"{_SELECT} WHERE key = $1 FOR UPDATE OF flags", key)
        return None if row is None else _to_flag(row)

    async def save(self, flag: Flag, *, at: datetime) -> None:
        """Store the rules of a flag that exists and wake the watchers."""
        await self._conn.execute(
            "UPDATE flags SET is_enabled=$2, audience=$3, percentage=$4, updated_at=$5 "
            "WHERE key = $1",
            flag.key,
            flag.is_enabled,
            flag.audience,
            flag.percentage,
            at,
        )
        await self._wake(flag.key)

    async def overrides_for(self, account_id: str) -> Mapping[str, bool]:
        """Return the account's own values by flag key."""
        rows = await self._conn.fetch(
            "SELECT flag_key, value FROM flag_overrides WHERE account_id = $1", account_id
        )
        return {row["flag_key"]: row["value"] for row in rows}

    async def overrides_of(self, key: str, *, limit: int) -> Mapping[str, bool]:
        """Return a flag's own values by account id, at most `limit`."""
        rows = await self._conn.fetch(
            "SELECT account_id, value FROM flag_overrides WHERE flag_key = $1 "
            "ORDER BY account_id LIMIT $2",
            key,
            limit,
        )
        return {row["account_id"]: row["value"] for row in rows}

    async def override(
        self, key: str, *, account_id: str, value: bool | None, at: datetime
    ) -> None:
        """Set the account's own value, or drop it (None), and wake the watchers."""
        if value is None:
            await self._conn.execute(
                "DELETE FROM flag_overrides WHERE flag_key = $1 AND account_id = $2",
                key,
                account_id,
            )
        else:
            await self._conn.execute(
                "INSERT INTO flag_overrides (flag_key, account_id, value, updated_at) "
                "VALUES ($1,$2,$3,$4) ON CONFLICT (account_id, flag_key) "
                "DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at",
                key,
                account_id,
                value,
                at,
            )
        await self._wake(key)

    async def _wake(self, key: str) -> None:
        await self._conn.execute("SELECT pg_notify($1, $2)", CHANNEL, key)
