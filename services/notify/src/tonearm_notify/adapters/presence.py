"""Presence in notify's schema: each replica writes what changed on it, and its sign of life."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from tonearm_kit.db import Database
from tonearm_notify.usecases.presence import Follower


class PostgresPresence:
    """See `usecases.presence.PresenceStore`."""

    def __init__(self, db: Database, *, replica: str, alive_s: float) -> None:
        self._db = db
        self._replica = replica
        self._alive = timedelta(seconds=alive_s)

    async def apply(
        self, *, added: Mapping[Follower, str], removed: Collection[Follower], is_first: bool
    ) -> None:
        """Write a sign of life and what changed since the last time; at first, all of it."""
        async with self._db.begin() as conn:
            if is_first:
                await conn.execute("DELETE FROM replicas WHERE replica = $1", self._replica)
            await conn.execute(
                "INSERT INTO replicas (replica) VALUES ($1)"
                " ON CONFLICT (replica) DO UPDATE SET seen_at = now()",
                self._replica,
            )
            await conn.execute(
                "INSERT INTO presence (replica, channel, client_id, account_id)"
                " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])"
                " ON CONFLICT DO NOTHING",
                self._replica,
                [channel for channel, _ in added],
                [client for _, client in added],
                list(added.values()),
            )
            await conn.execute(
                "DELETE FROM presence p USING unnest($2::text[], $3::text[]) AS gone(channel, id)"
                " WHERE replica = $1 AND p.channel = gone.channel AND p.client_id = gone.id",
                self._replica,
                [channel for channel, _ in removed],
                [client for _, client in removed],
            )

    async def load_elsewhere(self, channel: str, *, limit: int) -> dict[str, str]:
        """Return the followers on other living replicas: client to account."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "SELECT client_id, account_id FROM presence JOIN replicas USING (replica)"
                " WHERE channel = $1 AND replica <> $2 AND seen_at > now() - $3::interval LIMIT $4",
                channel,
                self._replica,
                self._alive,
                limit,
            )
        return {row["client_id"]: row["account_id"] for row in rows}

    async def sweep(self) -> None:
        """Forget replicas that have been silent for long."""
        async with self._db.acquire() as conn:
            await conn.execute(
                "DELETE FROM replicas WHERE seen_at < now() - 10 * $1::interval", self._alive
            )
