"""Spans and metrics of messaging, by the semantic conventions that `semconv` pins.

`SPANS` and `METRICS` below are the whole list; the tests compare what is emitted against it.

- create T (PRODUCER): an event is put into the outbox. Its context is the one that consumers
  continue, in this process or another, however long the event waited.
- send T (CLIENT): the relay hands a batch to the broker; linked to the creations, and a child of
  the creation when it carries a single one.
- poll T (CLIENT), process T (CONSUMER), commit T (CLIENT): the consumer. `process` is linked to
  the creations. It is a child of the first where all are of one trace, as a single message's is;
  for a batch of several traces it is a root, and each handler continues the trace of its event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import Token
from types import TracebackType
from typing import Final, NamedTuple

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from tonearm_kit import semconv, telemetry
from tonearm_kit.kafka.failures import Failed, class_name

SYSTEM: Final = "kafka"
LINKS_MAX: Final = 128
"""Links of one span; a larger batch names its first ones only."""

SPANS: Final[Mapping[str, tuple[SpanKind, str]]] = {
    "create": (SpanKind.PRODUCER, "create"),
    "send": (SpanKind.CLIENT, "send"),
    "poll": (SpanKind.CLIENT, "receive"),
    "process": (SpanKind.CONSUMER, "process"),
    "commit": (SpanKind.CLIENT, "settle"),
}
"""Operation name -> kind of its span and `messaging.operation.type`."""

LAG: Final = "tonearm.messaging.consumer.lag"
RETRIED: Final = "tonearm.messaging.retried.messages"
DEAD: Final = "tonearm.messaging.dead.messages"
DUPLICATES: Final = "tonearm.messaging.duplicate.messages"
BRAKE: Final = "tonearm.messaging.brake"
OUTBOX_LAG: Final = "tonearm.outbox.lag"
OUTBOX_ROWS: Final = "tonearm.outbox.rows"

METRICS: Final[Mapping[str, tuple[str, str, str]]] = {
    semconv.MESSAGING_CLIENT_OPERATION_DURATION: (
        "histogram", "s", "Duration of send, poll and commit calls.",
    ),
    semconv.MESSAGING_PROCESS_DURATION: (
        "histogram", "s", "Duration of applying one message or one batch.",
    ),
    semconv.MESSAGING_CLIENT_SENT_MESSAGES: (
        "counter", "{message}", "Messages handed to the broker.",
    ),
    semconv.MESSAGING_CLIENT_CONSUMED_MESSAGES: (
        "counter", "{message}", "Messages delivered to the application.",
    ),
    RETRIED: ("counter", "{message}", "Messages sent to a retry topic."),
    DEAD: ("counter", "{message}", "Messages sent to the dead letters."),
    DUPLICATES: ("counter", "{message}", "Messages whose effect was there already."),
    LAG: ("gauge", "s", "Age of the oldest message that this member has not settled; 0 if none."),
    BRAKE: ("gauge", "1", "1 while the brake holds this consumer, else 0."),
    OUTBOX_LAG: ("gauge", "s", "Age of the oldest event that is not sent; 0 if none."),
    OUTBOX_ROWS: ("gauge", "{event}", "Events not yet sent; counted up to the bound."),
}  # fmt: skip
"""Metric name -> instrument, unit, meaning."""

Gauge = Callable[[], Iterable[Observation]]


Attributes = dict[str, AttributeValue]


class _Known(NamedTuple):
    """What all operations of one kind on one topic share; made once, never changed."""

    span_name: str
    metric: Attributes
    span: Attributes


class _Operation(AbstractContextManager[trace.Span]):
    """One operation under way; a class, because there are two for each message."""

    __slots__ = ("_metric", "_record", "_span", "_started_s", "_token")

    def __init__(
        self, span: trace.Span | None, metric: Attributes, record: Callable[..., None] | None
    ) -> None:
        self._span, self._metric, self._record = span, metric, record
        self._started_s = 0.0
        self._token: Token[Context] | None = None

    def __enter__(self) -> trace.Span:
        self._started_s = time.perf_counter()
        if self._span is None:
            return trace.INVALID_SPAN
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        metric = self._metric
        if isinstance(error, Failed):
            error = error.cause  # what went wrong, not that something did
        if error is not None:
            metric = {**metric, semconv.ERROR_TYPE: class_name(error)}
        if self._span is not None:
            if self._token is not None:
                context.detach(self._token)
            if error is not None:
                self._span.record_exception(error)
                self._span.set_attribute(semconv.ERROR_TYPE, class_name(error))
                self._span.set_status(Status(StatusCode.ERROR, str(error)[:200]))
            self._span.end()
        if self._record is not None:
            self._record(time.perf_counter() - self._started_s, metric)


class Measures:
    """Emits everything in `SPANS` and `METRICS`; tests give it providers of their own."""

    def __init__(
        self,
        *,
        tracer: trace.Tracer | None = None,
        meter: metrics.Meter | None = None,
        client_id: str = "tonearm",
    ) -> None:
        self._tracer = tracer or telemetry.tracer("tonearm_kit.kafka")
        meter = meter or telemetry.meter("tonearm_kit.kafka")
        self._client_id = client_id
        self._gauges: dict[str, list[Gauge]] = {}
        self._known: dict[tuple[str, str, str | None], _Known] = {}
        self._operation_s = self._histogram(meter, semconv.MESSAGING_CLIENT_OPERATION_DURATION)
        self._process_s = self._histogram(meter, semconv.MESSAGING_PROCESS_DURATION)
        self._records = {
            "process": self._process_s.record,
            **dict.fromkeys(("send", "poll", "commit"), self._operation_s.record),
        }
        self._counters = {
            name: meter.create_counter(name, unit=unit, description=text)
            for name, (kind, unit, text) in METRICS.items()
            if kind == "counter"
        }
        for name, (kind, unit, text) in METRICS.items():
            if kind == "gauge":
                self._gauges[name] = []
                meter.create_observable_gauge(
                    name, callbacks=[self._observer(name)], unit=unit, description=text
                )

    @staticmethod
    def _histogram(meter: metrics.Meter, name: str) -> metrics.Histogram:
        return telemetry.duration_histogram(meter, name, METRICS[name][2])

    def _observer(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return [found for gauge in tuple(self._gauges[name]) for found in gauge()]

        return observe

    @contextmanager
    def gauge(self, name: str, read: Gauge) -> Iterator[None]:
        """Report what `read` returns under `name`, as long as the context lasts."""
        self._gauges[name].append(read)
        try:
            yield
        finally:
            self._gauges[name].remove(read)

    def count(self, name: str, amount: int, attributes: Mapping[str, AttributeValue]) -> None:
        """Add to one of the counters in `METRICS`."""
        if amount:
            self._counters[name].add(amount, {semconv.MESSAGING_SYSTEM: SYSTEM, **attributes})

    def count_from_zero(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Show a counter before its first event.

        A series that begins at 1 has not increased: an alert would sleep through the first one.
        """
        self._counters[name].add(0, {semconv.MESSAGING_SYSTEM: SYSTEM, **attributes})

    def operation(
        self,
        name: str,
        topic: str,
        *,
        group: str | None = None,
        parent: Context | None = None,
        links: Sequence[SpanContext] = (),
        attributes: Mapping[str, AttributeValue] | None = None,
        span: bool = True,
        batch_count: int | None = None,
    ) -> AbstractContextManager[trace.Span]:
        """Measure one operation of `SPANS` on a topic; an exception marks it as failed.

        Enter it at once, it has begun. parent: None starts a new trace; pass a context to
        continue one.
        """
        known = self._known_of(name, topic, group)
        current: trace.Span | None = None
        if span:
            own = known.span if attributes is None else {**known.span, **attributes}
            if batch_count is not None:
                own = {**own, semconv.MESSAGING_BATCH_MESSAGE_COUNT: batch_count}
            current = self._tracer.start_span(
                known.span_name,
                context=parent if parent is not None else Context(),
                kind=SPANS[name][0],
                attributes=own,
                links=[Link(each) for each in links[:LINKS_MAX]],
            )
        return _Operation(current, known.metric, self._records.get(name))

    def _known_of(self, name: str, topic: str, group: str | None) -> _Known:
        known = self._known.get((name, topic, group))
        if known is None:
            metric: Attributes = {
                semconv.MESSAGING_SYSTEM: SYSTEM,
                semconv.MESSAGING_OPERATION_NAME: name,
                semconv.MESSAGING_DESTINATION_NAME: topic,
            }
            if group is not None:
                metric[semconv.MESSAGING_CONSUMER_GROUP_NAME] = group
            span = {
                **metric,
                semconv.MESSAGING_OPERATION_TYPE: SPANS[name][1],
                semconv.MESSAGING_CLIENT_ID: self._client_id,
            }
            known = self._known[(name, topic, group)] = _Known(f"{name} {topic}", metric, span)
        return known

    def polled(
        self, topic: str, *, group: str, count: int, started_ns: int, took_s: float, span: bool
    ) -> None:
        """Measure a poll that brought `count` messages; empty polls are not worth a span."""
        known = self._known_of("poll", topic, group)
        if span:
            self._tracer.start_span(
                known.span_name,
                context=Context(),
                kind=SPANS["poll"][0],
                start_time=started_ns,
                attributes={**known.span, semconv.MESSAGING_BATCH_MESSAGE_COUNT: count},
            ).end()
        self._operation_s.record(took_s, known.metric)
        self._counters[semconv.MESSAGING_CLIENT_CONSUMED_MESSAGES].add(count, known.metric)


_default: dict[str, Measures] = {}


def default(client_id: str = "tonearm") -> Measures:
    """Return this process's measures: instruments of one name must exist once."""
    return _default.setdefault("measures", Measures(client_id=client_id))
