"""Accounts and the audit log in Postgres."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import EmailTaken
from tonearm_auth.usecases.ports import AuditEntry
from tonearm_kit.db import Connection

_COLUMNS = (
    "id, email, password_hash, full_name, plan, is_active, is_beta, is_superuser, "
    "created_at, updated_at, last_login_at"
)


def _to_account(row: asyncpg.Record) -> Account:
    return Account(**dict(row))


class PostgresAccounts:
    """`Accounts` on one connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def add(self, account: Account) -> None:
        """Add an account; raise `EmailTaken` when another has its address."""
        added = await self._conn.fetchval(
            f"INSERT INTO accounts ({_COLUMNS}) "  # noqa: S608 - a constant
            "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11) "
            "ON CONFLICT (email) DO NOTHING RETURNING id",
            *_values(account),
        )
        if added is None:
            raise EmailTaken

    async def find(self, account_id: str) -> Account | None:
        """Return the account or None."""
        return await self._one(f"SELECT {_COLUMNS} FROM accounts WHERE id = $1", account_id)  # noqa: S608

    async def find_by_email(self, email: str) -> Account | None:
        """Return the account with this normalised address or None."""
        return await self._one(f"SELECT {_COLUMNS} FROM accounts WHERE email = $1", email)  # noqa: S608

    async def lock(self, account_id: str) -> Account | None:
        """Return the account, held against other writers until the transaction ends."""
        return await self._one(
            f"SELECT {_COLUMNS} FROM accounts WHERE id = $1 FOR NO KEY UPDATE",  # noqa: S608
            account_id,
        )

    async def save(self, account: Account) -> None:
        """Store every field of an account that exists."""
        await self._conn.execute(
            "UPDATE accounts SET email=$2, password_hash=$3, full_name=$4, plan=$5, is_active=$6, "
            "is_beta=$7, is_superuser=$8, created_at=$9, updated_at=$10, last_login_at=$11 "
            "WHERE id = $1",
            *_values(account),
        )

    async def delete(self, account_id: str) -> None:
        """Delete the account with its sessions, overrides and quota."""
        await self._conn.execute("DELETE FROM accounts WHERE id = $1", account_id)

    async def search(
        self, *, email_part: str | None, after_id: str | None, limit: int
    ) -> Sequence[Account]:
        """Return accounts by id, those after `after_id`, at most `limit`."""
        rows = await self._conn.fetch(
            f"SELECT {_COLUMNS} FROM accounts "  # noqa: S608
            "WHERE ($1::text IS NULL OR strpos(email, lower($1)) > 0) AND id > $2 "
            "ORDER BY id LIMIT $3",
            email_part,
            after_id or "",
            limit,
        )
        return [_to_account(row) for row in rows]

    async def lock_active_superusers(self) -> Sequence[str]:
        """Return the ids of active superusers, held until the transaction ends."""
        rows = await self._conn.fetch(
            "SELECT id FROM accounts WHERE is_superuser AND is_active ORDER BY id FOR NO KEY UPDATE"
        )
        return [row["id"] for row in rows]

    async def _one(self, sql: str, value: str) -> Account | None:
        row = await self._conn.fetchrow(sql, value)
        return None if row is None else _to_account(row)


def _values(account: Account) -> tuple[object, ...]:
    return (
        account.id,
        account.email,
        account.password_hash,
        account.full_name,
        account.plan,
        account.is_active,
        account.is_beta,
        account.is_superuser,
        account.created_at,
        account.updated_at,
        account.last_login_at,
    )


class PostgresAudit:
    """`Audit` on one connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def add(self, entry: AuditEntry) -> None:
        """Add a row."""
        await self._conn.execute(
            "INSERT INTO audit (id, at, actor_id, action, target, before, after) "
            "VALUES ($1,$2,$3,$4,$5,$6,$7)",
            entry.id,
            entry.at,
            entry.actor_id,
            entry.action,
            entry.target,
            entry.before,
            entry.after,
        )

    async def latest(self, *, before_id: str | None, limit: int) -> Sequence[AuditEntry]:
        """Return rows newest first, those before `before_id`."""
        rows = await self._conn.fetch(
            "SELECT id, at, actor_id, action, target, before, after FROM audit "
            "WHERE $1::text IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
            before_id,
            limit,
        )
        return [AuditEntry(**dict(row)) for row in rows]
