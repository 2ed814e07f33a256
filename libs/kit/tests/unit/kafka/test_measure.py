"""What messaging emits, against the pinned table of the semantic conventions 1.44."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tonearm_kit.kafka import Poison, Retry
from tonearm_kit.kafka.headers import span_context
from tonearm_kit.kafka.measure import METRICS, SPANS, Measures
from tonearm_kit.kafka.ports import OutRecord

from .test_runner import World, running, until

CREATED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CREATED_TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
CREATED_SPAN_ID = 0xB7AD6B7169203331
OTHER = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
OTHER_TRACE_ID = 0x1AF7651916CD43DD8448EB211C80319C

PINNED_SPANS = {
    "create": (SpanKind.PRODUCER, "create"),
    "send": (SpanKind.CLIENT, "send"),
    "poll": (SpanKind.CLIENT, "receive"),
    "process": (SpanKind.CONSUMER, "process"),
    "commit": (SpanKind.CLIENT, "settle"),
}
PINNED_METRICS = {
    "messaging.client.operation.duration": ("histogram", "s"),
    "messaging.process.duration": ("histogram", "s"),
    "messaging.client.sent.messages": ("counter", "{message}"),
    "messaging.client.consumed.messages": ("counter", "{message}"),
    "tonearm.messaging.retried.messages": ("counter", "{message}"),
    "tonearm.messaging.dead.messages": ("counter", "{message}"),
    "tonearm.messaging.duplicate.messages": ("counter", "{message}"),
    "tonearm.messaging.consumer.lag": ("gauge", "s"),
    "tonearm.messaging.brake": ("gauge", "1"),
    "tonearm.outbox.lag": ("gauge", "s"),
    "tonearm.outbox.rows": ("gauge", "{event}"),
}
PINNED_PROCESS = {
    "messaging.system": "kafka",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": "t",
    "messaging.destination.partition.id": "0",
    "messaging.consumer.group.name": "g",
    "messaging.client.id": "tonearm",
    "messaging.message.id": "1",
    "messaging.message.body.size": 2,
    "messaging.kafka.offset": 0,
    "messaging.kafka.message.key": "k",
    "cloudevents.event_source": "/s",
    "cloudevents.event_type": "x",
}
RETIRED = {
    "messaging.operation",
    "messaging.kafka.message.offset",
    "messaging.kafka.destination.partition",
}


class Recorded:
    """Providers of this test alone."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        self.measures = Measures(tracer=tracers.get_tracer("t"), meter=meters.get_meter("t"))

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def points(self) -> dict[str, list[tuple[Mapping[str, Any], Any]]]:
        data = self._reader.get_metrics_data()
        found: dict[str, list[tuple[Mapping[str, Any], Any]]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = [
                        (dict(point.attributes or {}), getattr(point, "value", None))
                        for point in metric.data.data_points
                    ]
        return found


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_the_tables_are_the_pinned_ones() -> None:
    assert dict(SPANS) == PINNED_SPANS
    assert {name: (kind, unit) for name, (kind, unit, _) in METRICS.items()} == PINNED_METRICS


async def test_a_single_message_continues_the_trace_that_made_it(recorded: Recorded) -> None:
    world = World(partitions=1)
    world.put("1")
    first = world.broker.log("t")[0]
    world.broker.append(
        OutRecord(
            topic="t", key=b"k", value=b"{}",
            headers=[*first.headers[:1], ("ce_id", b"2"), *first.headers[2:],
                     ("traceparent", CREATED.encode())],
        )
    )  # fmt: skip
    runner = world.runner(handlers={"x": world.effects.add}, measures=recorded.measures)
    async with running(runner):
        await until(lambda: sum(world.broker.committed("g").values()) == 2)
    plain, traced = recorded.spans("process t")
    assert plain.kind is SpanKind.CONSUMER
    assert plain.parent is None
    assert dict(plain.attributes or {}) == PINNED_PROCESS
    assert traced.parent is not None
    assert traced.parent.trace_id == CREATED_TRACE_ID
    assert traced.parent.span_id == CREATED_SPAN_ID
    assert [link.context.span_id for link in traced.links] == [CREATED_SPAN_ID]


async def test_poll_and_commit_are_client_spans_of_their_own(recorded: Recorded) -> None:
    world = World(partitions=1)
    world.put("1")
    async with running(world.runner(handlers={"x": world.effects.add}, measures=recorded.measures)):
        await until(lambda: sum(world.broker.committed("g").values()) == 1)
    (poll,), (commit,) = recorded.spans("poll t"), recorded.spans("commit t")
    for span, kind in ((poll, "receive"), (commit, "settle")):
        assert span.kind is SpanKind.CLIENT
        assert span.parent is None
        assert (span.attributes or {})["messaging.operation.type"] == kind
    assert (poll.attributes or {})["messaging.batch.message_count"] == 1


async def settled_as_a_batch(recorded: Recorded, traceparents: list[str | None]) -> list[int]:
    """Settle an event for each as one batch; return the traces in which the handlers ran."""
    world, traces = World(partitions=1), list[int]()
    for number, traceparent in enumerate(traceparents):
        world.put(str(number), traceparent=traceparent)

    async def handle(conn: object, event: object) -> None:
        traces.append(trace.get_current_span().get_span_context().trace_id)

    runner = world.runner(handlers={"x": handle}, batch=True, measures=recorded.measures)
    async with running(runner):
        await until(lambda: sum(world.broker.committed("g").values()) == len(traceparents))
    return traces


async def test_a_batch_of_several_traces_is_a_root_and_each_event_stays_in_its_own(
    recorded: Recorded,
) -> None:
    traces = await settled_as_a_batch(recorded, [CREATED, OTHER, None])
    (span,) = recorded.spans("process t")
    assert span.context is not None
    assert span.parent is None
    assert (span.attributes or {})["messaging.batch.message_count"] == 3
    assert [link.context.trace_id for link in span.links] == [CREATED_TRACE_ID, OTHER_TRACE_ID]
    assert traces == [CREATED_TRACE_ID, OTHER_TRACE_ID, span.context.trace_id]


async def test_a_batch_of_one_trace_continues_it(recorded: Recorded) -> None:
    traces = await settled_as_a_batch(recorded, [CREATED, CREATED.replace("b7ad", "b7ae")])
    (span,) = recorded.spans("process t")
    assert span.parent is not None
    assert span.parent.trace_id == CREATED_TRACE_ID
    assert span.parent.span_id == CREATED_SPAN_ID
    assert traces == [CREATED_TRACE_ID] * 2


async def test_the_dead_are_counted_from_zero_so_that_the_first_one_is_an_increase(
    recorded: Recorded,
) -> None:
    world = World(partitions=1)

    async def handle(conn: object, event: Any) -> None:
        world.effects.ids.append(event.id)

    world.put("1")
    async with running(world.runner(handlers={"x": handle}, measures=recorded.measures)):
        await until(lambda: world.effects.ids == ["1"])
        points = recorded.points()
    for name in ("tonearm.messaging.dead.messages", "tonearm.messaging.retried.messages"):
        shown = {str(each["messaging.destination.name"]): value for each, value in points[name]}
        assert {"t", "g.retry.1"} <= set(shown)
        assert set(shown.values()) == {0}


async def test_outcomes_are_counted_and_nothing_retired_is_emitted(recorded: Recorded) -> None:
    world = World(partitions=1)

    async def handle(conn: object, event: Any) -> None:
        if event.id == "2":
            raise Poison("x")
        if event.id == "3" and not world.broker.log("g.retry.1"):
            raise Retry
        world.effects.ids.append(event.id)

    for event_id in ("1", "2", "3", "1"):
        world.put(event_id)
    async with running(world.runner(handlers={"x": handle}, measures=recorded.measures)):
        await until(lambda: world.effects.ids == ["1", "3"])
        await until(lambda: sum(world.broker.committed("g").values()) == 4)
        points = recorded.points()
    counted = {
        name: sum(value for attributes, value in points[name] if value is not None)
        for name in PINNED_METRICS
        if PINNED_METRICS[name][0] == "counter" and name in points
    }
    assert counted["tonearm.messaging.dead.messages"] == 1
    assert counted["tonearm.messaging.retried.messages"] == 1
    assert counted["tonearm.messaging.duplicate.messages"] == 1
    assert counted["messaging.client.consumed.messages"] == 5
    assert points["tonearm.messaging.brake"][0][1] == 0
    assert set(points) <= set(PINNED_METRICS)
    failed = [span for span in recorded.spans("process t") if not span.status.is_ok]
    assert (failed[0].attributes or {})["error.type"] == "tonearm_kit.kafka.failures.Poison"
    for span in recorded.spans("process t"):
        assert not RETIRED & set(span.attributes or {})


async def test_the_lag_is_the_age_of_what_waits(recorded: Recorded) -> None:
    world, release = World(partitions=1), asyncio.Event()

    async def handle(conn: object, event: object) -> None:
        await release.wait()

    world.put("1")
    async with running(world.runner(handlers={"x": handle}, measures=recorded.measures)):
        await until(lambda: bool(recorded.spans("poll t")))
        (lag,) = (
            value for attributes, value in recorded.points()["tonearm.messaging.consumer.lag"]
            if attributes["messaging.destination.name"] == "t"
        )  # fmt: skip
        assert 0 < lag < 5
        release.set()
        await until(lambda: sum(world.broker.committed("g").values()) == 1)
        assert all(value == 0 for _, value in recorded.points()["tonearm.messaging.consumer.lag"])


@pytest.mark.parametrize(
    "broken", [None, "", "00-1-2-3", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"]
)
def test_a_broken_traceparent_is_no_link(broken: str | None) -> None:
    assert span_context(broken) is None
