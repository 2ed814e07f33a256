"""Outbox, Kafka and runner together: one trace, exact effects, poison that delays nobody."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tonearm_contracts.envelope import MAX_EVENT_BYTES, CloudEvent
from tonearm_contracts.events import AnalysisProgressed, AudioDeleted
from tonearm_contracts.topics import Topic
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Connection, Database
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import (
    BrakeSettings,
    ConsumerRunner,
    KafkaProducer,
    Poison,
    RetryPolicy,
    RunnerSettings,
    decode,
    retries,
)
from tonearm_kit.kafka.claims import ObjectClaims
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.log import KafkaLog
from tonearm_kit.kafka.topics import KafkaSettings
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_kit.testing.spans import Spans

pytestmark = pytest.mark.integration

SETTINGS = RunnerSettings(
    session_timeout_s=6.0, heartbeat_interval_s=0.2, retries=RetryPolicy(delays_s=(0.1,))
)


@pytest.fixture
def servers() -> str:
    return KafkaSettings().kafka_bootstrap_servers


@pytest.fixture
async def topic(servers: str) -> str:
    name = f"test.{new_id()}"
    await KafkaBroker(servers).ensure_topics([Topic(name=name, partitions=2, retention_s=3600)])
    return name


class Story:
    """What the handler saw, and when."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self.order: list[str] = []

    async def handle(self, conn: Connection, event: CloudEvent) -> None:
        if event.data["account_id"] == "poison":
            raise Poison("asked for")
        await self.effect(conn, event)

    async def effect(self, conn: Connection, event: CloudEvent) -> None:
        await conn.execute("SELECT 1")
        self.seen[event.subject] = time.perf_counter()
        self.order.append(event.subject)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(40):
            while len(self.seen) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    db: Database, servers: str, topic: str, story: Story, *, settings: RunnerSettings = SETTINGS
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    runner = ConsumerRunner(
        bootstrap_servers=servers,
        group=f"group.{topic}",
        topics=[topic],
        db=db,
        handlers={AudioDeleted.TYPE: story.handle},
        settings=settings,
    )
    async with (
        KafkaProducer.open(servers, client_id="test") as producer,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(runner.run(stop))
        tasks.create_task(OutboxRelay(db, producer).run(stop))
        try:
            yield
        finally:
            stop.set()


async def put(db: Database, topic: str, *keys: str, account: str = "b") -> None:
    outbox = Outbox(source="/test", clock=SystemClock(), new_id=new_id)
    async with db.begin() as conn:
        for key in keys:
            await outbox.add(conn, AudioDeleted(audio_id=key, account_id=account), topic=topic)


async def test_one_trace_spans_the_writer_the_relay_and_the_consumer(
    database: Database, servers: str, topic: str, spans: Spans
) -> None:
    story = Story()
    async with running(database, servers, topic, story):
        await put(database, topic, "a")
        await story.until(1)
    created, sent, processed = (
        next(span for span in spans.all() if span.name == f"{name} {topic}")
        for name in ("create", "send", "process")
    )
    assert created.context.trace_id == sent.context.trace_id == processed.context.trace_id
    assert processed.parent is not None
    assert processed.parent.span_id == created.context.span_id
    assert [link.context.span_id for link in processed.links] == [created.context.span_id]


async def test_poison_does_not_delay_what_is_behind_it(
    database: Database, servers: str, topic: str
) -> None:
    story = Story()
    async with running(database, servers, topic, story):
        await put(database, topic, "warm-1", "warm-2", "warm-3")
        await story.until(3)
        clean = await round_trips(database, topic, story, poison=False)
        mixed = await round_trips(database, topic, story, poison=True)
    figures = f"median {clean * 1000:.1f} ms without poison, {mixed * 1000:.1f} ms behind poison"
    sys.stdout.write(f"\n{figures}\n")  # seen with -s
    assert mixed < clean + 0.1, figures


async def round_trips(db: Database, topic: str, story: Story, *, poison: bool) -> float:
    took = []
    for _ in range(15):
        key = new_id()
        if poison:
            await put(db, topic, key, account="poison")
        await put(db, topic, key)
        started = time.perf_counter()
        await story.until(len(story.seen) if key in story.seen else len(story.seen) + 1)
        took.append(story.seen[key] - started)
    return sorted(took)[len(took) // 2]


async def test_sixty_percent_poison_trips_the_brake_and_nothing_more_dies(
    database: Database, servers: str, topic: str
) -> None:
    """A bad deploy: three of five events fail for good, until somebody rolls it back."""
    story, is_broken = Story(), True

    async def handle(conn: Connection, event: CloudEvent) -> None:
        if is_broken and event.data["account_id"] == "poison":
            raise Poison("a bad deploy")
        await story.effect(conn, event)

    group = f"group.{topic}"
    log, dead = KafkaLog(servers), retries.dead_letter_topic(group)
    for number in range(40):
        bad, good = [f"bad-{number}-{each}" for each in range(3)], [f"a-{number}", f"b-{number}"]
        await put(database, topic, *bad, account="poison")
        await put(database, topic, *good)

    @asynccontextmanager
    async def deployed() -> AsyncIterator[ConsumerRunner]:
        stop = asyncio.Event()
        runner = ConsumerRunner(
            bootstrap_servers=servers, group=group, topics=[topic], db=database,
            handlers={AudioDeleted.TYPE: handle}, settings=SETTINGS,
        )  # fmt: skip
        async with (
            KafkaProducer.open(servers, client_id="test") as producer,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(OutboxRelay(database, producer).run(stop))
            tasks.create_task(runner.run(stop))
            try:
                yield runner
            finally:
                stop.set()

    async with deployed() as runner, asyncio.timeout(60):
        while not runner.braked:
            await asyncio.sleep(0.01)
    held, died = len(story.seen), len(await log.read([dead]))
    assert held < 80  # the others wait in place
    assert BrakeSettings().poison_count_min - 1 <= died < 40
    is_broken = False
    async with deployed() as runner, asyncio.timeout(60):
        while len(story.seen) < 200 - died:
            await asyncio.sleep(0.01)
        assert not runner.braked
    assert len(await log.read([dead])) == died
    sys.stdout.write(f"\n{died} of 120 poisoned events died before the brake held\n")  # with -s


async def test_an_event_above_64_kib_travels_by_claim_check_and_arrives_whole(
    database: Database, servers: str, topic: str
) -> None:
    """Outbox, broker and object store of this stack: the record stays small, the data is whole."""
    claims = ObjectClaims.open(os.environ["OBJECT_STORE_URL"])
    outbox = Outbox(source="/test", clock=SystemClock(), new_id=new_id, claims=claims)
    large = AnalysisProgressed(
        job_id="j", audio_id="a", account_id="b", stage="rhythm", stages_done=1, stages_total=6,
        stage_duration_s=1.0, result={"beats_s": [number / 3 for number in range(20_000)]},
    )  # fmt: skip
    async with database.begin() as conn:
        event_id = await outbox.add(conn, large, topic=topic)
    seen: asyncio.Queue[CloudEvent] = asyncio.Queue()

    async def handle(conn: Connection, event: CloudEvent) -> None:
        seen.put_nowait(event)

    stop = asyncio.Event()
    without, with_claims = (
        ConsumerRunner(
            bootstrap_servers=servers, group=f"{name}.{topic}", topics=[topic], db=database,
            handlers={AnalysisProgressed.TYPE: handle}, settings=SETTINGS, claims=store,
        )
        for name, store in (("without", None), ("with", claims))
    )  # fmt: skip
    log, dead = KafkaLog(servers), retries.dead_letter_topic(f"without.{topic}")
    async with (
        KafkaProducer.open(servers, client_id="test") as producer,
        asyncio.TaskGroup() as tasks,
    ):
        for run in (OutboxRelay(database, producer).run, without.run, with_claims.run):
            tasks.create_task(run(stop))
        async with asyncio.timeout(60):
            event = await seen.get()
            while dead not in await log.topics():  # its consumer may not have joined yet
                await asyncio.sleep(0.05)
            while not (letters := await log.read([dead])):
                await asyncio.sleep(0.05)
        stop.set()
    assert (event.id, decode(event, AnalysisProgressed)) == (event_id, large)
    (record,) = await log.read([topic])
    assert len(record.value or b"") < MAX_EVENT_BYTES < len(large.model_dump_json())
    assert dict(record.headers)["ce_dataref"].decode().endswith(f"/claims/{event_id}")
    assert b"has no claim store; set OBJECT_STORE_URL" in dict(letters[0].headers)[retries.REASON]
    assert seen.empty()


async def test_a_job_longer_than_the_session_keeps_its_partition(
    database: Database, servers: str, topic: str
) -> None:
    runs: list[str] = []
    finished = asyncio.Event()

    async def job(event: CloudEvent) -> None:
        runs.append(event.subject)
        await asyncio.sleep(8.0)  # the point: longer than the session, and nobody takes over
        finished.set()

    stop = asyncio.Event()
    settings = replace(SETTINGS, stop_grace_s=1.0)
    runners = [
        ConsumerRunner(
            bootstrap_servers=servers, group=f"group.{topic}", topics=[topic], db=None,
            job_handlers={AudioDeleted.TYPE: job}, settings=settings,
        )
        for _ in range(2)
    ]  # fmt: skip
    async with (
        KafkaProducer.open(servers, client_id="test") as producer,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(OutboxRelay(database, producer).run(stop))
        for runner in runners:
            tasks.create_task(runner.run(stop))
        await put(database, topic, "a")
        async with asyncio.timeout(40):
            await finished.wait()
        stop.set()
    assert runs == ["a"]
