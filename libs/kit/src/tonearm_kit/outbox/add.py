"""Writing events, inside the caller's transaction."""

from __future__ import annotations

import zlib
from typing import ClassVar, Final

from opentelemetry.trace import SpanKind

from tonearm_contracts.envelope import MAX_EVENT_BYTES, CloudEvent, EventData
from tonearm_kit import semconv, telemetry
from tonearm_kit.clock import Clock
from tonearm_kit.db import Connection
from tonearm_kit.errors import AppError, Kind
from tonearm_kit.ids import NewId
from tonearm_kit.kafka import measure
from tonearm_kit.kafka.claims import ClaimStore
from tonearm_kit.kafka.context import current_event
from tonearm_kit.kafka.headers import to_headers

LANES: Final = 16
"""Lanes of the table; a change needs an empty outbox, or keys would change lanes."""

ROWS_MAX: Final = 200_000
"""Bound of the table: with Kafka away for long, writers are refused rather than the disk filled."""

_CHECK_EVERY_S = 5.0
_INSERT = (
    "INSERT INTO outbox (lane, topic, message_key, headers, value) VALUES ($1, $2, $3, $4, $5)"
)
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT $1) AS head"


class OutboxFull(AppError):
    """Too many events wait for Kafka; try again later."""

    code: ClassVar[str] = "outbox_full"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    retryable: ClassVar[bool] = True


class EventTooLarge(ValueError):
    """An event is larger than 64 KiB and there is no claim store to put its data into."""


def lane_of(key: str) -> int:
    """Return the lane of a key; all events of one key are in one lane, in order."""
    return zlib.crc32(key.encode()) % LANES


class Outbox:
    """Adds events to the outbox of the service whose CloudEvents `source` is given."""

    def __init__(
        self,
        *,
        source: str,
        clock: Clock,
        new_id: NewId,
        claims: ClaimStore | None = None,
        rows_max: int = ROWS_MAX,
    ) -> None:
        self._source, self._clock, self._new_id = source, clock, new_id
        self._claims = claims
        self._rows_max = rows_max
        self._next_check_s = 0.0
        self._is_full = False
        self._tracer = telemetry.tracer("tonearm_kit.kafka")

    async def add(
        self,
        conn: Connection,
        event: EventData,
        *,
        topic: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> str:
        """Write the event in the caller's transaction and return its CloudEvents id.

        topic: None takes the event's own. While an event is being handled, it is the cause,
        and its correlation id (or its id) goes on. Raises `OutboxFull`, `EventTooLarge`.
        """
        await self._check_bound(conn)
        topic = topic or event.TOPIC
        cause = current_event()
        if cause is not None:
            causation_id = causation_id or cause.id
            correlation_id = correlation_id or cause.correlationid or cause.id
        event_id = self._new_id()
        attributes = {
            semconv.MESSAGING_SYSTEM: measure.SYSTEM,
            semconv.MESSAGING_OPERATION_NAME: "create",
            semconv.MESSAGING_OPERATION_TYPE: "create",
            semconv.MESSAGING_DESTINATION_NAME: topic,
            semconv.MESSAGING_MESSAGE_ID: event_id,
        }
        with self._tracer.start_as_current_span(
            f"create {topic}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            carrier = telemetry.current_traceparent()
            value, dataref = await self._checked(event_id, event)
            envelope = CloudEvent.model_construct(
                id=event_id,
                source=self._source,
                type=event.TYPE,
                subject=event.key(),
                time=self._clock.now(),
                partitionkey=event.key(),
                traceparent=carrier.get("traceparent"),
                tracestate=carrier.get("tracestate"),
                correlationid=correlation_id,
                causationid=causation_id,
                dataref=dataref,
                data={},
            )
            key = event.key()
            await conn.execute(_INSERT, lane_of(key), topic, key, to_headers(envelope), value)
        return event_id

    async def _checked(self, event_id: str, event: EventData) -> tuple[bytes, str | None]:
        """Return what travels: the data, or a small stand-in and the reference to the data."""
        value = event.model_dump_json().encode()
        if len(value) <= MAX_EVENT_BYTES:
            return value, None
        if self._claims is None:
            raise EventTooLarge(
                f"{event.TYPE}: {len(value)} bytes, at most {MAX_EVENT_BYTES} without a claim "
                "store; open one with ObjectClaims.open(OBJECT_STORE_URL)"
            )
        return b"{}", await self._claims.put(event_id, value)

    async def _check_bound(self, conn: Connection) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_EVERY_S
            count = await conn.fetchval(_COUNT, self._rows_max)
            self._is_full = count is not None and count >= self._rows_max
        if self._is_full:
            raise OutboxFull
