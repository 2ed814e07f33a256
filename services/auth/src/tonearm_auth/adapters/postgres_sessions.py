"""Sessions, refresh tokens and signing keys in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tonearm_auth.domain.session import Client, RefreshToken, Session
from tonearm_auth.domain.signing import KeyTimes
from tonearm_auth.usecases.ports import StoredKey
from tonearm_kit.db import Connection

CHANNEL = "auth_sessions"
"""LISTEN channel; the payload is the id of a session that ended."""

_COLUMNS = (
    "id, account_id, generation, created_at, refreshed_at, idle_expires_at, expires_at, "
    "ended_at, end_reason, user_agent, address"
)
_LIVE = "ended_at IS NULL AND least(idle_expires_at, expires_at) > $2"


def _to_session(row: asyncpg.Record) -> Session:
    values = dict(row)
    client = Client(user_agent=values.pop("user_agent"), address=values.pop("address"))
    return Session(**values, client=client)


class PostgresSessions:
    """`Sessions` on one connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def add(self, session: Session, *, token_hash: bytes) -> None:
        """Add a session with the hash of its first token."""
        await self._conn.execute(
            f"INSERT INTO sessions ({_COLUMNS}) "  # noqa: S608 - a constant
            "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)",
            session.id,
            session.account_id,
            session.generation,
            session.created_at,
            session.refreshed_at,
            session.idle_expires_at,
            session.expires_at,
            session.ended_at,
            session.end_reason,
            session.client.user_agent,
            session.client.address,
        )
        await self._add_token(session, token_hash=token_hash)

    async def find(self, session_id: str) -> Session | None:
        """Return the session or None."""
        row = await self._conn.fetchrow(
            f"SELECT {_COLUMNS} FROM sessions WHERE id = $1",  # noqa: S608
            session_id,
        )
        return None if row is None else _to_session(row)

    async def lock_by_token(self, token_hash: bytes) -> tuple[Session, RefreshToken] | None:
        """Return the token with its session, the latter held until the transaction ends.

        Three statements, not a join: after waiting for the lock a join would show the session
        as it is and the token as it was.
        """
        session_id = await self._conn.fetchval(
            "SELECT session_id FROM refresh_tokens WHERE token_hash = $1", token_hash
        )
        row = await self._conn.fetchrow(
            f"SELECT {_COLUMNS} FROM sessions WHERE id = $1 FOR UPDATE",  # noqa: S608
            session_id,
        )
        token = await self._conn.fetchrow(
            "SELECT token_hash, session_id, generation, superseded_at FROM refresh_tokens "
            "WHERE token_hash = $1",
            token_hash,
        )
        if row is None or token is None:
            return None
        return _to_session(row), RefreshToken(**dict(token))

    async def lock_live(self, account_id: str, *, now: datetime) -> Sequence[Session]:
        """Return the account's live sessions, newest first, held until the transaction ends."""
        rows = await self._conn.fetch(
            f"SELECT {_COLUMNS} FROM sessions WHERE account_id = $1 AND {_LIVE} "  # noqa: S608
            "ORDER BY created_at DESC, id DESC FOR UPDATE",
            account_id,
            now,
        )
        return [_to_session(row) for row in rows]

    async def live(self, account_id: str, *, now: datetime) -> Sequence[Session]:
        """Return the account's live sessions, newest first."""
        rows = await self._conn.fetch(
            f"SELECT {_COLUMNS} FROM sessions WHERE account_id = $1 AND {_LIVE} "  # noqa: S608
            "ORDER BY created_at DESC, id DESC",
            account_id,
            now,
        )
        return [_to_session(row) for row in rows]

    async def save(self, session: Session) -> None:
        """Store a session that exists."""
        await self._conn.execute(
            "UPDATE sessions SET generation=$2, refreshed_at=$3, idle_expires_at=$4, ended_at=$5, "
            "end_reason=$6 WHERE id = $1",
            session.id,
            session.generation,
            session.refreshed_at,
            session.idle_expires_at,
            session.ended_at,
            session.end_reason,
        )
        if session.ended_at is not None:
            await self._conn.execute("SELECT pg_notify($1, $2)", CHANNEL, session.id)

    async def supersede(
        self, session: Session, *, old_hash: bytes, new_hash: bytes, at: datetime
    ) -> None:
        """Store the rotated session, mark the old token superseded and add the new one."""
        await self.save(session)
        await self._conn.execute(
            "UPDATE refresh_tokens SET superseded_at = $2 WHERE token_hash = $1", old_hash, at
        )
        await self._add_token(session, token_hash=new_hash)

    async def sweep(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` sessions that ended or expired before; return how many."""
        rows = await self._conn.fetch(
            "DELETE FROM sessions WHERE id IN ("
            "SELECT id FROM sessions WHERE least(idle_expires_at, expires_at) < $1 "
            "ORDER BY least(idle_expires_at, expires_at) LIMIT $2 FOR UPDATE SKIP LOCKED"
            ") RETURNING id",
            before,
            limit,
        )
        return len(rows)

    async def _add_token(self, session: Session, *, token_hash: bytes) -> None:
        await self._conn.execute(
            "INSERT INTO refresh_tokens (token_hash, session_id, generation) VALUES ($1,$2,$3)",
            token_hash,
            session.id,
            session.generation,
        )


class PostgresSigningKeys:
    """`SigningKeys` on one connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def lock(self) -> None:
        """Wait until no other transaction changes keys."""
        await self._conn.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")

    async def all(self) -> Sequence[StoredKey]:
        """Return every key, by the time it begins to sign."""
        rows = await self._conn.fetch(
            "SELECT kid, active_from, public_jwk, sealed_private_key, created_at "
            "FROM signing_keys ORDER BY active_from, kid"
        )
        return [
            StoredKey(
                times=KeyTimes(kid=row["kid"], active_from=row["active_from"]),
                public_jwk=row["public_jwk"],
                sealed_private_key=row["sealed_private_key"],
                created_at=row["created_at"],
            )
            for row in rows
        ]

    async def add(self, key: StoredKey) -> None:
        """Add a key."""
        await self._conn.execute(
            "INSERT INTO signing_keys (kid, active_from, public_jwk, sealed_private_key, created_at) "
            "VALUES ($1,$2,$3,$4,$5)",
            key.times.kid,
            key.times.active_from,
            key.public_jwk,
            key.sealed_private_key,
            key.created_at,
        )

    async def delete(self, kids: Sequence[str]) -> None:
        """Delete keys."""
        await self._conn.execute("DELETE FROM signing_keys WHERE kid = ANY ($1)", list(kids))
