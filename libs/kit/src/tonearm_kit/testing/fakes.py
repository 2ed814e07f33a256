"""In-memory stand-ins for the database and the outbox, with real transaction semantics.

`FakeDb` rolls back what it was told to remember: the fake stores keep plain attributes, and a
transaction that fails restores them. One transaction at a time, as tests run one.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from tonearm_contracts.envelope import EventData
from tonearm_kit.db import Connection
from tonearm_kit.ids import NewId
from tonearm_kit.testing.clock import CountingIds


class FakeConnection:
    """What a `FakeDb` lends; it has no SQL, only the events of its transaction."""

    def __init__(self) -> None:
        self.pending: list[EventData] = []


class FakeDb:
    """`Database` by shape: `events` are those of committed transactions, in order."""

    def __init__(self, *stores: object) -> None:
        self._stores = list(stores)
        self.events: list[EventData] = []
        self.commits = 0
        self.rollbacks = 0

    def remember(self, *stores: object) -> None:
        """Roll back the attributes of `stores`, too, when a transaction fails."""
        self._stores.extend(stores)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """Run one transaction on the remembered stores."""
        before = [(store, copy.deepcopy(vars(store))) for store in self._stores]
        conn = FakeConnection()
        try:
            yield cast("Connection", conn)
        except BaseException:
            for store, attributes in before:
                vars(store).clear()
                vars(store).update(attributes)
            self.rollbacks += 1
            raise
        self.events.extend(conn.pending)
        self.commits += 1

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection for reads."""
        yield cast("Connection", FakeConnection())

    async def ping(self) -> None:
        """Answer."""


class FakeOutbox:
    """`Outbox` by shape: events appear in `FakeDb.events` when their transaction commits."""

    def __init__(self, new_id: NewId | None = None) -> None:
        self._new_id = new_id or CountingIds()

    async def add(self, conn: Connection, event: EventData, **options: Any) -> str:
        """Add the event to the transaction and return its id."""
        cast("FakeConnection", conn).pending.append(event)
        return self._new_id()
