"""The fake database and outbox keep the promises of the real ones that use cases rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tonearm_contracts.events import AudioDeleted
from tonearm_kit.clock import Clock
from tonearm_kit.db import Connection, Database
from tonearm_kit.outbox import Outbox
from tonearm_kit.testing.clock import CountingIds, FixedClock
from tonearm_kit.testing.fakes import FakeDb, FakeOutbox

pytestmark = pytest.mark.integration


class FakeShelf:
    """A store of one service, in memory: plain attributes."""

    def __init__(self) -> None:
        self.records: list[int] = []

    async def put(self, conn: Connection, record: int) -> None:
        self.records.append(record)

    async def list(self, conn: Connection) -> list[int]:
        return sorted(self.records)


class PostgresShelf:
    """The same store in a table."""

    async def put(self, conn: Connection, record: int) -> None:
        await conn.execute("INSERT INTO shelf VALUES ($1)", record)

    async def list(self, conn: Connection) -> list[int]:
        return [row["id"] for row in await conn.fetch("SELECT id FROM shelf ORDER BY id")]


class House:
    """Database, store and outbox that belong together; `sent` counts committed events."""

    def __init__(self, db: Any, shelf: Any, outbox: Any, sent: Callable[[], Awaitable[int]]):
        self.db, self.shelf, self.outbox, self.sent = db, shelf, outbox, sent

    async def work(self, record: int, *, then: Exception | None = None) -> str:
        async with self.db.begin() as conn:
            await self.shelf.put(conn, record)
            event = AudioDeleted(audio_id=f"a{record}", account_id="anna")
            event_id: str = await self.outbox.add(conn, event)
            if then is not None:
                raise then
        return event_id

    async def records(self) -> list[int]:
        async with self.db.acquire() as conn:
            found: list[int] = await self.shelf.list(conn)
        return found


def fake_house() -> House:
    shelf = FakeShelf()
    db = FakeDb(shelf)

    async def sent() -> int:
        return len(db.events)

    return House(db, shelf, FakeOutbox(), sent)


async def real_house(database: Database, clock: Clock) -> House:
    async with database.acquire() as conn:
        await conn.execute("CREATE TABLE shelf (id int)")

    async def sent() -> int:
        async with database.acquire() as conn:
            return int(await conn.fetchval("SELECT count(*) FROM outbox"))

    outbox = Outbox(source="/tonearm/test", clock=clock, new_id=CountingIds())
    return House(database, PostgresShelf(), outbox, sent)


@pytest.fixture(params=["fake", "postgres"])
async def house(
    request: pytest.FixtureRequest, database: Database, fixed_clock: FixedClock
) -> House:
    return fake_house() if request.param == "fake" else await real_house(database, fixed_clock)


class TestDatabaseAndOutbox:
    async def test_a_commit_keeps_rows_and_events(self, house: House) -> None:
        first, second = await house.work(1), await house.work(2)
        assert first != second
        assert await house.records() == [1, 2]
        assert await house.sent() == 2

    async def test_an_error_takes_rows_and_events_back(self, house: House) -> None:
        await house.work(1)
        with pytest.raises(ZeroDivisionError):
            await house.work(2, then=ZeroDivisionError())
        assert await house.records() == [1]
        assert await house.sent() == 1

    async def test_a_cancelled_transaction_is_taken_back(self, house: House) -> None:
        entered = asyncio.Event()

        async def hang() -> None:
            async with house.db.begin() as conn:
                await house.shelf.put(conn, 1)
                entered.set()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(hang())
            await entered.wait()
            task.cancel()
        assert await house.records() == []

    async def test_nothing_is_announced_before_the_commit(self, house: House) -> None:
        async with house.db.begin() as conn:
            event = AudioDeleted(audio_id="a", account_id="anna")
            await house.outbox.add(conn, event)
            assert await house.sent() == 0
        assert await house.sent() == 1

    async def test_a_database_says_that_it_is_there(self, house: House) -> None:
        await house.db.ping()
