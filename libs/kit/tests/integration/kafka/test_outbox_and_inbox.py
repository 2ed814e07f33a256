"""The outbox, its relay and the inbox on real Postgres, with the broker in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from obstore.store import MemoryStore

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AudioDeleted, AudioUpdated
from tonearm_contracts.topics import INGEST_AUDIO
from tonearm_kit import inbox
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Connection, Database
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import decode
from tonearm_kit.kafka.claims import ObjectClaims, resolve
from tonearm_kit.kafka.context import handling
from tonearm_kit.kafka.effects import Effects
from tonearm_kit.kafka.headers import decode_record
from tonearm_kit.kafka.ports import BrokerError, OutRecord
from tonearm_kit.outbox import EventTooLarge, Outbox, OutboxFull, OutboxRelay, RelaySettings
from tonearm_kit.testing.broker import FakeBroker, FakeSender
from tonearm_kit.testing.spans import Spans

pytestmark = pytest.mark.integration

QUICK = RelaySettings(poll_interval_s=0.05, backoff_first_s=0.01, backoff_max_s=0.05)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker(INGEST_AUDIO)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(source="/ingest", clock=SystemClock(), new_id=new_id)


def deleted(audio_id: str) -> AudioDeleted:
    return AudioDeleted(audio_id=audio_id, account_id="b")


@asynccontextmanager
async def relaying(db: Database, sender: Any, count: int = 1) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(OutboxRelay(db, sender, QUICK).run(stop))
        try:
            yield
        finally:
            stop.set()


async def rows(db: Database) -> int:
    async with db.acquire() as conn:
        return int(await conn.fetchval("SELECT count(*) FROM outbox"))


async def fail_after(db: Database, work: Callable[[Connection], Awaitable[object]]) -> None:
    async with db.begin() as conn:
        await work(conn)
        raise ZeroDivisionError


async def until_empty(db: Database) -> None:
    async with asyncio.timeout(20):
        while await rows(db):
            await asyncio.sleep(0.02)


async def test_events_of_committed_transactions_are_sent_once_and_in_order(
    database: Database, broker: FakeBroker, outbox: Outbox
) -> None:
    async with relaying(database, FakeSender(broker), count=2):
        for number in range(60):
            async with database.begin() as conn:
                event = AudioUpdated(
                    audio_id=f"a{number % 4}", account_id="b", status="uploaded",
                    filename=str(number),
                )  # fmt: skip
                await outbox.add(conn, event)
        await until_empty(database)
    events = [decode_record(record) for record in broker.log(INGEST_AUDIO.name)]
    assert len({event.id for event in events}) == len(events) == 60
    for key in range(4):
        mine = [int(each.data["filename"]) for each in events if each.subject == f"a{key}"]
        assert mine == list(range(key, 60, 4))


async def test_what_is_rolled_back_was_never_said(
    database: Database, broker: FakeBroker, outbox: Outbox
) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail_after(database, lambda conn: outbox.add(conn, deleted("a")))
    assert await rows(database) == 0


async def test_with_the_broker_away_rows_stay_and_are_sent_later(
    database: Database, broker: FakeBroker, outbox: Outbox
) -> None:
    broker.is_down = True
    async with database.begin() as conn:
        await outbox.add(conn, deleted("a"))
    relay = OutboxRelay(database, FakeSender(broker), QUICK)
    with pytest.raises(BrokerError):
        await relay.relay_once()
    assert await rows(database) == 1
    async with relaying(database, FakeSender(broker)):
        broker.is_down = False
        await until_empty(database)
    assert len(broker.log(INGEST_AUDIO.name)) == 1


class Blocked:
    """A sender that waits in the middle of a batch."""

    def __init__(self, broker: FakeBroker) -> None:
        self._sender = FakeSender(broker)
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    async def send(self, records: Sequence[OutRecord]) -> None:
        self.entered.set()
        await self.go.wait()
        await self._sender.send(records)


async def test_a_second_relay_leaves_a_lane_that_is_being_sent_alone(
    database: Database, broker: FakeBroker, outbox: Outbox
) -> None:
    async with database.begin() as conn:
        await outbox.add(conn, deleted("a"))
    blocked = Blocked(broker)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(OutboxRelay(database, blocked, QUICK).relay_once())
        await blocked.entered.wait()
        async with database.begin() as conn:
            await outbox.add(conn, deleted("a"))
        assert await OutboxRelay(database, FakeSender(broker), QUICK).relay_once() == 0
        blocked.go.set()
        assert await first == 1
    assert await OutboxRelay(database, FakeSender(broker), QUICK).relay_once() == 1
    assert [record.offset for record in broker.log(INGEST_AUDIO.name)] == [0, 1]


async def test_the_trace_and_the_cause_go_with_the_event(
    database: Database, broker: FakeBroker, outbox: Outbox, spans: Spans
) -> None:
    async with database.begin() as conn:
        first_id = await outbox.add(conn, deleted("a"))
    await OutboxRelay(database, FakeSender(broker), QUICK).relay_once()
    first = decode_record(broker.log(INGEST_AUDIO.name)[0])
    with handling(first):
        async with database.begin() as conn:
            await outbox.add(conn, deleted("a"))
    await OutboxRelay(database, FakeSender(broker), QUICK).relay_once()
    second = decode_record(broker.log(INGEST_AUDIO.name)[1])
    assert (second.causationid, second.correlationid) == (first_id, first_id)
    created, sent = (
        next(span for span in spans.all() if span.name == f"{name} {INGEST_AUDIO.name}")
        for name in ("create", "send")
    )
    trace_id, span_id = created.context.trace_id, created.context.span_id
    assert (first.traceparent or "")[3:52] == f"{trace_id:032x}-{span_id:016x}"
    headers = dict(broker.log(INGEST_AUDIO.name)[0].headers)
    assert headers["traceparent"].decode() == first.traceparent
    assert sent.parent is not None
    assert sent.parent.span_id == created.context.span_id
    assert sent.links[0].context.span_id == created.context.span_id


def large() -> AudioUpdated:
    return AudioUpdated(
        audio_id="a", account_id="b", status="failed", filename="x", reason="y" * 70_000
    )


async def test_what_is_too_large_travels_as_a_claim(
    database: Database, broker: FakeBroker, outbox: Outbox
) -> None:
    claims = ObjectClaims(MemoryStore(), url="memory://")
    checked = Outbox(source="/ingest", clock=SystemClock(), new_id=new_id, claims=claims)
    async with database.begin() as conn:
        await checked.add(conn, large())
        with pytest.raises(EventTooLarge):
            await outbox.add(conn, large())
    await OutboxRelay(database, FakeSender(broker), QUICK).relay_once()
    (record,) = broker.log(INGEST_AUDIO.name)
    assert len(record.value or b"") < 100
    event = await resolve(decode_record(record), claims)
    assert decode(event, AudioUpdated) == large()


async def test_a_full_outbox_refuses_rather_than_grow(database: Database) -> None:
    small = Outbox(source="/s", clock=SystemClock(), new_id=new_id, rows_max=1)
    async with database.begin() as conn:
        await small.add(conn, deleted("a"))
    fresh = Outbox(source="/s", clock=SystemClock(), new_id=new_id, rows_max=1)
    with pytest.raises(OutboxFull):
        async with database.begin() as conn:
            await fresh.add(conn, deleted("a"))


async def test_the_inbox_knows_an_event_per_group_and_source(database: Database) -> None:
    async with database.begin() as conn:
        assert await inbox.first_time(conn, group="g", event_id="1", source="/a")
        assert not await inbox.first_time(conn, group="g", event_id="1", source="/a")
        assert await inbox.first_time(conn, group="h", event_id="1", source="/a")
        assert await inbox.first_time(conn, group="g", event_id="1", source="/b")
        many = [("/a", "1"), ("/a", "2"), ("/a", "2"), ("/b", "3")]
        fresh = await inbox.first_times(conn, group="g", events=many)
    assert fresh == {("/a", "2"), ("/b", "3")}


async def test_an_event_costs_its_effect_and_two_round_trips(database: Database) -> None:
    """What keeps the message grain fast; the driver's pool is not asked in between either."""
    queries: list[str] = []

    async def handle(conn: Connection, event: CloudEvent) -> None:
        await conn.execute("SELECT $1::text", event.id)

    effects = Effects(
        group="g", db=database, handlers={"x": handle}, batch_handlers={}, job_handlers={},
        handler_timeout_s=10.0, job_timeout_s=10.0, inbox=inbox.PostgresInbox(),
    )  # fmt: skip
    async with database.begin() as conn:
        conn.add_query_logger(lambda record: queries.append(record.query.split("(")[0]))
    for event_id, is_new in (("1", True), ("2", True), ("1", False)):
        event = CloudEvent(
            id=event_id, source="/s", type="x", subject="k", time=SystemClock().now(), data={}
        )
        assert await effects.apply(event) is is_new
    await asyncio.sleep(0)  # the driver tells its loggers a turn later
    begin, end = "BEGIN; INSERT INTO inbox ", "COMMIT;"
    effect = [begin, "SELECT $1::text", end]
    assert queries[1:] == [*effect, *effect, begin, end]


async def test_a_mark_is_rolled_back_with_its_effect(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail_after(
            database, lambda conn: inbox.first_time(conn, group="g", event_id="1", source="/a")
        )
    async with database.begin() as conn:
        assert await inbox.first_time(conn, group="g", event_id="1", source="/a")


async def test_old_marks_are_swept_and_young_ones_stay(database: Database) -> None:
    async with database.begin() as conn:
        await inbox.first_times(conn, group="g", events=[("/a", str(each)) for each in range(10)])
        await conn.execute(
            "UPDATE inbox SET seen_at = now() - interval '31 days' WHERE event_id < '5'"
        )
    assert await inbox.sweep(database) == 5
    assert await inbox.sweep(database) == 0
