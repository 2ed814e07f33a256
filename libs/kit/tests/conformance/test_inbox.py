"""What an inbox promises, asked of the one in memory and of Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from tonearm_kit.db import Database
from tonearm_kit.inbox import Inbox, PostgresInbox
from tonearm_kit.testing.broker import FakeInbox
from tonearm_kit.testing.fakes import FakeDb
from tonearm_kit.testing.postgres import SCHEMA, temporary_database


class Place:
    """An inbox and the database of its effects."""

    def __init__(self, db: Database, inbox: Inbox) -> None:
        self.db, self.inbox = db, inbox

    async def first(self, event_id: str, *, group: str = "g", source: str = "/s") -> bool:
        async with self.inbox.begin(self.db, group=group, event_id=event_id, source=source) as (
            _,
            is_first,
        ):
            return is_first


@asynccontextmanager
async def in_memory() -> AsyncIterator[Place]:
    inbox = FakeInbox()
    yield Place(cast("Database", FakeDb(inbox)), inbox)


@asynccontextmanager
async def in_postgres() -> AsyncIterator[Place]:
    async with (
        temporary_database() as url,
        Database.open(url, schema=SCHEMA, size_max=2, wait_s=5.0) as db,
    ):
        yield Place(db, PostgresInbox())


@pytest.fixture(
    params=[in_memory, pytest.param(in_postgres, marks=pytest.mark.integration)],
    ids=["memory", "postgres"],
)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with request.param() as made:
        yield made


async def mark_and_fail(place: Place) -> None:
    async with place.inbox.begin(place.db, group="g", event_id="1", source="/s") as (_, is_first):
        assert is_first
        raise ZeroDivisionError


class TestInbox:
    async def test_an_event_is_new_once_per_group_and_source(self, place: Place) -> None:
        assert await place.first("1")
        assert not await place.first("1")
        assert await place.first("1", group="other")
        assert await place.first("1", source="/other")

    @pytest.mark.parametrize("name", ["o'clock", 'a"b', "back\\slash", "$1; --", "é€😀", "{}"])
    async def test_any_text_is_a_name(self, place: Place, name: str) -> None:
        assert await place.first(name, group=name, source=name)
        assert not await place.first(name, group=name, source=name)
        async with place.db.begin() as conn:
            marked = [(name, name), ("/s", "1")]
            assert await place.inbox.first_times(conn, group=name, events=marked) == {("/s", "1")}

    async def test_of_many_only_the_new_ones_come_back(self, place: Place) -> None:
        await place.first("1")
        many = [("/s", "1"), ("/s", "2"), ("/s", "2"), ("/t", "1")]
        async with place.db.begin() as conn:
            fresh = await place.inbox.first_times(conn, group="g", events=many)
        assert fresh == {("/s", "2"), ("/t", "1")}
        assert not await place.first("2")

    async def test_of_none_there_is_nothing_new(self, place: Place) -> None:
        async with place.db.begin() as conn:
            assert await place.inbox.first_times(conn, group="g", events=[]) == set()

    async def test_a_mark_goes_with_a_transaction_that_fails(self, place: Place) -> None:
        with pytest.raises(ZeroDivisionError):
            await mark_and_fail(place)
        assert await place.first("1")
