"""The transaction that use cases open: every store on one connection, and the outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tonearm_auth.adapters.postgres_accounts import PostgresAccounts, PostgresAudit
from tonearm_auth.adapters.postgres_flags import PostgresFlags
from tonearm_auth.adapters.postgres_quotas import PostgresQuotas
from tonearm_auth.adapters.postgres_sessions import PostgresSessions, PostgresSigningKeys
from tonearm_auth.usecases.ports import Begin
from tonearm_contracts.envelope import EventData
from tonearm_kit.db import Connection, Database
from tonearm_kit.outbox import Outbox


class PostgresTx:
    """`Tx` on one connection whose transaction somebody else opened."""

    def __init__(self, conn: Connection, *, outbox: Outbox) -> None:
        self.accounts = PostgresAccounts(conn)
        self.sessions = PostgresSessions(conn)
        self.keys = PostgresSigningKeys(conn)
        self.flags = PostgresFlags(conn)
        self.quotas = PostgresQuotas(conn)
        self.audit = PostgresAudit(conn)
        self.conn = conn
        self._outbox = outbox

    async def announce(self, event: EventData) -> None:
        """Put an event into the outbox of this transaction."""
        await self._outbox.add(self.conn, event)


def begin_on(db: Database, *, outbox: Outbox) -> Begin:
    """Return what opens a transaction per call."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[PostgresTx]:
        async with db.begin() as conn:
            yield PostgresTx(conn, outbox=outbox)

    return begin
