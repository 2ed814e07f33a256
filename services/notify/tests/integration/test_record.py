"""A batch of events is recorded as if they had come one by one, in one transaction."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from opentelemetry import trace

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Database
from tonearm_kit.testing.postgres import SCHEMA
from tonearm_notify.adapters.broker import to_announcement
from tonearm_notify.adapters.journal import NOTIFY_CHANNEL, PostgresJournal
from tonearm_notify.adapters.notifications import PostgresNotifications
from tonearm_notify.adapters.postgres import PostgresStore
from tonearm_notify.adapters.sealing import SecretBox
from tonearm_notify.adapters.webhooks import PostgresWebhooks
from tonearm_notify.usecases.ports import Lost, Published, Revocation
from tonearm_notify.usecases.record import Books, record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
_numbers = count(1)


def event(kind: str, account_id: str, audio_id: str, *, trace_id: int | None = None) -> CloudEvent:
    return CloudEvent(
        id=f"event-{next(_numbers)}",
        source="/tests",
        type=f"tonearm.{kind}.v1",
        subject=audio_id,
        time=datetime.now(UTC),
        data={"account_id": account_id, "audio_id": audio_id},
        traceparent=f"00-{trace_id:032x}-{7:016x}-01" if trace_id else None,
    )


class World:
    """A database, its books, and what another process hears of it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.store = PostgresStore(db)
        self.books = Books(
            journal=PostgresJournal(),
            notifications=PostgresNotifications(db),
            webhooks=PostgresWebhooks(db, SecretBox([Fernet.generate_key().decode()])),
            revoked_keep_s=3600,
            hand_over=lambda publications: self.handed.extend(publications),
        )
        self.heard: list[Any] = []
        self.handed: list[Published] = []

    async def record(self, *events: CloudEvent) -> int:
        return await record(self.db, "tests", events, books=self.books)

    async def hear(self, announcements: int) -> list[Any]:
        """Wait for so many announcements."""
        async with asyncio.timeout(10):
            while len(self.heard) < announcements:
                await asyncio.sleep(0.01)
        return self.heard

    async def history(self, channel: str) -> list[tuple[int, str]]:
        slice_ = await self.store.load_since(channel, 0, limit=10_000, size_bytes=1 << 30)
        return [(each.offset, each.event_id) for each in slice_.publications]


@pytest_asyncio.fixture
async def world(notify_database: str) -> AsyncIterator[World]:
    async with Database.open(notify_database, schema=SCHEMA, size_max=6, wait_s=5.0) as db:
        world = World(db)
        async with db.acquire() as conn:

            def on_notify(_conn: Any, _pid: int, _channel: str, payload: Any) -> None:
                world.heard.append(to_announcement(payload))

            await conn.add_listener(NOTIFY_CHANNEL, on_notify)
            yield world
            await conn.remove_listener(NOTIFY_CHANNEL, on_notify)


def by_channel(heard: Sequence[Any]) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for each in heard:
        assert isinstance(each, Published)
        found[each.channel].append((each.publication.offset, each.publication.event_id))
    return found


async def test_a_batch_keeps_the_order_of_every_channel(world: World) -> None:
    await world.record(event("audio.updated", "anna", "r1"))
    batch = [
        event("analysis.progressed", account_id, audio_id)
        for _ in range(20)
        for account_id, audio_id in (("anna", "r1"), ("bert", "r3"), ("anna", "r2"))
    ]
    assert await world.record(*batch) == 60
    heard = by_channel(await world.hear(122))
    assert set(heard) == {"account:#anna", "account:#bert", "audio:r1", "audio:r2", "audio:r3"}
    for channel, publications in heard.items():
        assert publications == await world.history(channel)
        assert [offset for offset, _ in publications] == list(range(1, len(publications) + 1))
    mine = [each.id for each in batch if each.data["account_id"] == "anna"]
    assert [event_id for _, event_id in heard["account:#anna"]][1:] == mine
    assert await world.store.find_owner("r3") == "bert"


async def test_batches_on_the_same_channels_never_wait_in_a_circle(world: World) -> None:
    """Recorders of several partitions meet on the same accounts and recordings."""

    async def record_many(order: Sequence[str]) -> None:
        for _ in range(10):
            await world.record(*[event("audio.updated", "anna", audio_id) for audio_id in order])

    names = [f"r{number}" for number in range(8)]
    async with asyncio.TaskGroup() as tasks:
        for turn in range(4):
            tasks.create_task(record_many(names[turn:] + names[:turn][::-1]))
    heard = by_channel(await world.hear(2 * 4 * 10 * 8))
    assert [offset for offset, _ in heard["account:#anna"]] == list(range(1, 321))
    assert all([n for n, _ in heard[f"audio:{name}"]] == list(range(1, 41)) for name in names)


async def test_what_was_rolled_back_is_not_heard(world: World) -> None:
    class Failing(PostgresJournal):
        async def forget_audio(self, tx: Any, audio_id: str, account_id: str) -> None:
            raise ZeroDivisionError

    kept = event("audio.updated", "anna", "r")
    books = replace(world.books, journal=Failing())
    with pytest.raises(ZeroDivisionError):
        await record(world.db, "tests", [kept, event("audio.deleted", "anna", "r")], books=books)
    assert world.handed == []
    assert await world.record(kept) == 1  # nor does the inbox know it
    assert by_channel(await world.hear(2))["audio:r"] == [(1, kept.id)]


async def test_what_is_handed_over_is_what_is_announced(world: World) -> None:
    first = event("audio.updated", "anna", "r")
    await world.record(first)
    assert await world.record(first, event("audio.updated", "bert", "s")) == 1
    assert await world.record(first) == 0
    heard = await world.hear(4)
    assert [replace(each, is_early=False) for each in world.handed] == heard
    assert all(each.is_early for each in world.handed)


async def test_an_event_twice_in_a_batch_is_recorded_once(world: World) -> None:
    first, second = event("audio.updated", "anna", "r"), event("audio.updated", "anna", "r")
    assert await world.record(first, second, first) == 2
    assert await world.history("audio:r") == [(1, first.id), (2, second.id)]


async def test_groups_do_not_share_their_marks(world: World) -> None:
    first = event("audio.updated", "anna", "r")
    assert await world.record(first) == 1
    assert await record(world.db, "others", [first], books=world.books) == 1


async def test_a_deletion_that_comes_again_is_told_once(world: World) -> None:
    deleted = event("audio.deleted", "anna", "r")
    assert await world.record(deleted) == 1
    assert await world.record(deleted) == 0
    last = event("audio.updated", "anna", "s")
    await world.record(last)
    heard = await world.hear(5)
    assert [each for each in heard if isinstance(each, Revocation)] == [
        Revocation(Lost.AUDIO, "r", "anna")
    ]


async def test_a_deletion_in_a_batch_is_told_after_its_publications(world: World) -> None:
    await world.record(event("audio.updated", "anna", "r"), event("audio.deleted", "anna", "r"))
    *published, lost = await world.hear(5)
    assert lost == Revocation(Lost.AUDIO, "r", "anna")
    assert len(by_channel(published)["audio:r"]) == 2
    assert await world.store.find_owner("r") == ""


async def test_a_batch_notes_what_a_person_should_find_again(world: World) -> None:
    batch = [
        event("analysis.completed", "anna", "r1"),
        event("analysis.progressed", "anna", "r1"),
        event("analysis.failed", "bert", "r2"),
    ]
    await world.record(*batch)
    page = await PostgresNotifications(world.db).load_page(
        "anna", before=None, limit=10, unread_only=False
    )
    assert [item.event_id for item in page.items] == [batch[0].id]


async def test_in_a_batch_each_event_goes_on_with_its_own_trace(world: World, spans: Any) -> None:
    batch = [event("audio.updated", "anna", f"r{n}", trace_id=n) for n in (1, 2)]
    with trace.get_tracer("test").start_as_current_span("process ingest.audio.v1") as process:
        await world.record(*batch)
    heard = await world.hear(4)
    published = {span.context.trace_id: span for span in spans.all() if span.name == "publish"}
    assert set(published) == {1, 2}
    assert all(span.parent.span_id == 7 for span in published.values())
    assert all(span.links[0].context == process.get_span_context() for span in published.values())
    for each in heard:
        if each.channel.startswith("audio:"):
            span = published[int(each.channel[-1])]
            assert each.publication.traceparent == (
                f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
            )
