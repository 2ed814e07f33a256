"""Tickets for event streams."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tonearm_kit.db import Database
from tonearm_kit.ids import new_token
from tonearm_notify.usecases.ports import Identity


class PostgresTickets:
    """Tickets that stand for an access token's rights until it expires."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def issue(self, identity: Identity) -> tuple[str, datetime]:
        """Return a new ticket and when it ends."""
        ticket = new_token(24)
        expires_at = datetime.fromtimestamp(identity.expires_at_s or 0.0, UTC)
        async with self._db.acquire() as conn:
            await conn.execute(
                "INSERT INTO stream_tickets (digest, account_id, session_id, expires_at)"
                " VALUES ($1, $2, $3, $4)",
                _digest(ticket),
                identity.account_id,
                identity.session_id,
                expires_at,
            )
        return ticket, expires_at

    async def find(self, ticket: str) -> Identity | None:
        """Return whose ticket this is, None when it is unknown or has expired."""
        async with self._db.acquire() as conn:
            row = await conn.fetchrow(
                "SELECT account_id, session_id, expires_at FROM stream_tickets"
                " WHERE digest = $1 AND expires_at > now()",
                _digest(ticket),
            )
        if row is None:
            return None
        return Identity(row["account_id"], row["session_id"], row["expires_at"].timestamp())

    async def sweep(self) -> None:
        """Delete what has expired."""
        async with self._db.acquire() as conn:
            await conn.execute("DELETE FROM stream_tickets WHERE expires_at < now()")


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
