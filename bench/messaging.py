"""Our relay and runner beside bare aiokafka and FastStream: same broker, database and effect.

The others give no guarantee: they may lose, double and reorder. Ours run with everything on:
inbox, order per key, retries, traces and metrics.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream.kafka import KafkaBroker as FastStreamBroker
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.pace import LIMIT_S, Finish, Speed, median
from bench.report import Report, Row, machine, percentile
from tonearm_contracts.envelope import CloudEvent, EventData
from tonearm_contracts.topics import Topic
from tonearm_kit import logs
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Connection, Database
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import (
    BrakeSettings,
    ConsumerRunner,
    KafkaProducer,
    Poison,
    RunnerSettings,
)
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.headers import encode
from tonearm_kit.lifecycle import collect_less
from tonearm_kit.migrations import KIT, migrate
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_local.testing import Stack

_SCHEMA = "bench"
_PARTITIONS = 6
_BODY_BYTES = 512
_INSERT = "INSERT INTO effects (event_id, body) VALUES ($1, $2)"
_INSERT_MANY = "INSERT INTO effects (event_id, body) SELECT * FROM unnest($1::text[], $2::text[])"
_POISON = "poison"
_ROUNDS = 5


class Measured(EventData):
    """An event of the size that is measured."""

    TYPE: ClassVar[str] = "tonearm.bench.measured.v1"
    TOPIC: ClassVar[str] = "bench"

    name: str
    body: str

    def key(self) -> str:
        """Return the key."""
        return self.name


class _Sink(SpanExporter):
    """Spans are made, batched and handed over, then dropped: the cost without a backend."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@dataclass(frozen=True)
class Bench:
    """One broker, one database, and two topics full of events.

    Each way reads a topic to its end, the slow ones a short one: who fetches ahead of its work
    would otherwise be charged for what it never got to.
    """

    servers: str
    url: str
    topic: str
    db: Database

    @property
    def short_topic(self) -> str:
        """The topic with fewer events."""
        return f"{self.topic}.short"

    @classmethod
    @asynccontextmanager
    async def open(cls, stack: Stack, *, events: int, few: int) -> AsyncIterator[Bench]:
        """Make the database and fill the topics."""
        name = f"bench_{new_id().replace('-', '')}"
        url = urlunsplit(urlsplit(stack.database_admin_url)._replace(path=f"/{name}"))
        await _execute(stack.database_admin_url, f'CREATE DATABASE "{name}"')
        await _execute(url, f"CREATE SCHEMA {_SCHEMA}")
        async with Database.open(url, schema=_SCHEMA, size_max=8) as db:
            await migrate(db, [KIT])
            async with db.acquire() as conn:
                await conn.execute("CREATE TABLE effects (event_id text, body text)")
            bench = cls(stack.kafka, url, name, db)
            await bench.fill(bench.topic, events)
            await bench.fill(bench.short_topic, few)
            await bench.fill(f"{name}.relay", 0)
            yield bench

    async def fill(self, topic: str, count: int) -> None:
        """Make the topic and send it events as CloudEvents."""
        made = Topic(name=topic, partitions=_PARTITIONS, retention_s=3600)
        await KafkaBroker(self.servers).ensure_topics([made])
        records = [
            encode(
                CloudEvent(
                    id=new_id(), source="/bench", type=Measured.TYPE, subject=f"k{number % 500}",
                    time=datetime.now(UTC),
                    data={"name": f"k{number % 500}", "body": "x" * (_BODY_BYTES - 30)},
                ),
                topic=topic,
            )
            for number in range(count)
        ]  # fmt: skip
        async with KafkaProducer.open(self.servers, client_id="bench") as producer:
            for start in range(0, count, 5_000):
                await producer.send(records[start : start + 5_000])

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """Open a plain connection, as the others would."""
        return await asyncpg.connect(self.url, server_settings={"search_path": _SCHEMA})


async def _execute(url: str, statement: str) -> None:
    conn = await asyncpg.connect(url)
    await conn.execute(statement)
    await conn.close()


async def bare(bench: Bench, count: int) -> Speed:
    """Consume with aiokafka alone: auto-commit, one insert per message."""
    conn, finish = await bench.connect(), Finish(count)
    consumer = AIOKafkaConsumer(
        bench.short_topic, bootstrap_servers=bench.servers, group_id=new_id(),
        auto_offset_reset="earliest",
    )  # fmt: skip
    async with consumer:
        async for record in consumer:
            event_id = dict(record.headers)["ce_id"].decode()
            await conn.execute(_INSERT, event_id, json.loads(record.value)["body"])
            finish.count()
            if finish.done.is_set():
                break
    await conn.close()
    return await finish.wait()


async def faststream(bench: Bench, count: int) -> Speed:
    """Consume with FastStream: its default acknowledgement, one insert per message."""
    conn, finish = await bench.connect(), Finish(count)
    broker = FastStreamBroker(bench.servers, logger=None)

    @broker.subscriber(bench.short_topic, group_id=new_id(), auto_offset_reset="earliest")
    async def handle(body: dict[str, Any]) -> None:
        if not finish.done.is_set():
            await conn.execute(_INSERT, body["name"], body["body"])
            finish.count()

    await broker.start()
    try:
        return await finish.wait()
    finally:
        await broker.stop()
        await conn.close()


async def ours(bench: Bench, count: int, *, batch: bool) -> Speed:
    """Consume with our runner, in one of its grains."""
    finish = Finish(count)

    async def one(conn: Connection, event: CloudEvent) -> None:
        await conn.execute(_INSERT, event.id, event.data["body"])
        finish.count()

    async def many(conn: Connection, events: Sequence[CloudEvent]) -> None:
        bodies = [event.data["body"] for event in events]
        await conn.execute(_INSERT_MANY, [event.id for event in events], bodies)
        finish.count(len(events))

    runner = ConsumerRunner(
        bootstrap_servers=bench.servers,
        group=f"bench.{new_id()}",
        topics=[bench.topic if batch else bench.short_topic],
        db=bench.db,
        handlers={} if batch else {Measured.TYPE: one},
        batch_handlers={Measured.TYPE: many} if batch else {},
        settings=RunnerSettings(batch_messages_max=1_000, queue_messages_high=6_000),
    )
    async with _running(runner.run):
        return await finish.wait()


async def relay(bench: Bench, count: int) -> Speed:
    """Drain an outbox that holds `count` events."""
    outbox = Outbox(source="/bench", clock=SystemClock(), new_id=new_id)
    async with bench.db.begin() as conn:
        for number in range(count):
            event = Measured(name=f"k{number % 500}", body="x" * (_BODY_BYTES - 30))
            await outbox.add(conn, event, topic=f"{bench.topic}.relay")
    async with KafkaProducer.open(bench.servers, client_id="bench") as producer:
        drained = OutboxRelay(bench.db, producer)
        started, cpu, sent = time.perf_counter(), time.process_time(), 0
        while sent < count:
            sent += await drained.relay_once()
        took = time.perf_counter() - started
        return Speed(sent / took, (time.process_time() - cpu) / sent * 1e6)


async def idle_latency(bench: Bench, count: int, *, poison: bool = False) -> list[float]:
    """Return milliseconds from commit to effect, one event at a time.

    poison: each event comes right behind one of its key that goes to the dead letters.
    """
    outbox = Outbox(source="/bench", clock=SystemClock(), new_id=new_id)
    arrived: asyncio.Queue[float] = asyncio.Queue()
    topic = f"{bench.topic}.{_POISON if poison else 'idle'}"

    async def one(conn: Connection, event: CloudEvent) -> None:
        if event.data["body"] == _POISON:
            raise Poison("asked for")
        await conn.execute(_INSERT, event.id, event.data["body"])
        arrived.put_nowait(time.perf_counter())

    async def put(key: str, *bodies: str) -> float:
        async with bench.db.begin() as conn:
            for body in bodies:
                event = Measured(name=key, body=body)
                await outbox.add(conn, event, topic=topic)
        return time.perf_counter()

    runner = ConsumerRunner(
        bootstrap_servers=bench.servers, group=f"bench.{new_id()}", topics=[topic],
        db=bench.db, handlers={Measured.TYPE: one},
        # Every second message is poison here, on purpose.
        settings=RunnerSettings(brake=BrakeSettings(poison_share_max=1.0)),
    )  # fmt: skip
    await KafkaBroker(bench.servers).ensure_topics(
        [Topic(name=topic, partitions=_PARTITIONS, retention_s=3600)]
    )
    took: list[float] = []
    good = "x" * (_BODY_BYTES - 30)
    async with (
        KafkaProducer.open(bench.servers, client_id="bench") as producer,
        _running(runner.run),
        _running(OutboxRelay(bench.db, producer).run),
    ):
        for number in range(count + 10):
            committed = await put(f"k{number}", *([_POISON] if poison else []), good)
            async with asyncio.timeout(LIMIT_S):
                took.append((await arrived.get() - committed) * 1000)
            await asyncio.sleep(0.01)
    return took[10:]


async def bare_latency(bench: Bench, count: int) -> list[float]:
    """Return milliseconds from a plain send to the effect, without outbox or inbox."""
    conn, topic = await bench.connect(), f"{bench.topic}.idle"
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bench.servers, group_id=new_id())
    took: list[float] = []
    async with consumer, AIOKafkaProducer(bootstrap_servers=bench.servers) as producer:
        await consumer.seek_to_end()
        for number in range(count + 10):
            started = time.perf_counter()
            await producer.send_and_wait(topic, b"x" * _BODY_BYTES, key=f"k{number}".encode())
            await consumer.getone()
            await conn.execute(_INSERT, str(number), "x" * _BODY_BYTES)
            took.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.01)
    await conn.close()
    return took[10:]


@asynccontextmanager
async def _running(run: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()

    async def main() -> None:
        await run(stop)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(main())
        try:
            yield
        finally:
            stop.set()


def measure(stack: Stack, *, events: int) -> Report:
    """Run every way on the same broker and database; the slow ones on a part of the events."""
    logs.configure("bench", level="ERROR", format="console")
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(_Sink()))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(
        MeterProvider(metric_readers=[InMemoryMetricReader()], shutdown_on_exit=False)
    )
    collect_less()  # as in a service; for all ways alike
    try:
        return uvloop.run(_measure(stack, events=events))
    finally:
        traces.shutdown()


async def _measure(stack: Stack, *, events: int) -> Report:
    few = max(300, events // 10)
    report = Report("Messaging: our relay and runner beside bare aiokafka and FastStream")
    report.circumstances = machine() | {
        "events": events, "events per message": few, "body_bytes": _BODY_BYTES,
        "rounds": _ROUNDS, "shown": "median of rounds, ways taking turns",
        "telemetry of ours": "every span recorded and batched, then dropped; metrics aggregated",
    }  # fmt: skip
    rounds: dict[str, list[Speed]] = {}
    async with Bench.open(stack, events=events, few=few) as bench:
        ways: dict[str, Callable[[], Awaitable[Speed]]] = {
            "bare": lambda: bare(bench, few),
            "faststream": lambda: faststream(bench, few),
            "message": lambda: ours(bench, few, batch=False),
            "batch": lambda: ours(bench, events, batch=True),
            "relay": lambda: relay(bench, min(events, 20_000)),
        }
        for _ in range(_ROUNDS):
            for name, way in ways.items():
                rounds.setdefault(name, []).append(await way())
        idle = await idle_latency(bench, 200)
        behind = await idle_latency(bench, 200, poison=True)
        direct = await bare_latency(bench, 200)
    plain, other, single, batch, drained = (median(rounds[name]) for name in ways)
    for name, speed in (("per message", single), ("per batch", batch)):
        for baseline, other_speed in (("bare aiokafka", plain), ("FastStream", other)):
            rate, cpu = other_speed.events_per_s, other_speed.cpu_us_per_event
            row = Row(f"runner, effect {name}", "events/s", speed.events_per_s, rate, baseline)
            report.rows.append(row)
            row = Row(
                f"runner, {name}, client CPU", "us/event", speed.cpu_us_per_event, cpu, baseline
            )
            report.rows.append(row)
    report.rows.append(Row("relay", "events/s", drained.events_per_s, 8_000, "the aim"))
    report.rows.append(Row("relay, client CPU", "us/event", drained.cpu_us_per_event))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours_ms, bare_ms = percentile(idle, share), percentile(direct, share)
        row = Row(f"commit to effect, idle, {name}", "ms", ours_ms, bare_ms, "bare send to effect")
        report.rows.append(row)
        behind_ms = percentile(behind, share)
        row = Row(f"the same behind poison, {name}", "ms", behind_ms, ours_ms, "without poison")
        report.rows.append(row)
    return report
