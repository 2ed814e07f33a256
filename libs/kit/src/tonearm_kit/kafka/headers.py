"""CloudEvents 1.0 over Kafka, binary mode: attributes in `ce_*` headers, data as the value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from pydantic import ValidationError

from tonearm_contracts.envelope import CloudEvent, EventData
from tonearm_kit.kafka.failures import Poison
from tonearm_kit.kafka.ports import OutRecord, Record

E = TypeVar("E", bound=EventData)

CONTENT_TYPE = "content-type"
JSON_CONTENT = "application/json"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_EXTENSIONS = (
    "dataschema",
    "traceparent",
    "tracestate",
    "correlationid",
    "causationid",
    "partitionkey",
    "dataref",
)
_STRUCTURED = b"application/cloudevents"


def to_headers(event: CloudEvent) -> dict[str, str]:
    """Return the Kafka headers of an event, values still text.

    `ce_traceparent` tells where the event was made and stays for ever; the plain `traceparent`
    is the hop that a consumer continues. At the first sending both are the same.
    """
    headers = {
        "ce_specversion": event.specversion,
        "ce_id": event.id,
        "ce_source": event.source,
        "ce_type": event.type,
        "ce_subject": event.subject,
        "ce_time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        CONTENT_TYPE: event.datacontenttype,
    }
    for name in _EXTENSIONS:
        value = getattr(event, name)
        if value is not None:
            headers[f"ce_{name}"] = value
    if event.traceparent is not None:
        headers[TRACEPARENT] = event.traceparent
    if event.tracestate is not None:
        headers[TRACESTATE] = event.tracestate
    return headers


def encode_headers(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Return headers as Kafka takes them."""
    return [(name, value.encode()) for name, value in headers.items()]


def encode(event: CloudEvent, *, topic: str) -> OutRecord:
    """Return the record that carries `event`; the key is the partition key or the subject."""
    return OutRecord(
        topic=topic,
        key=(event.partitionkey or event.subject).encode(),
        value=json.dumps(event.data, separators=(",", ":"), ensure_ascii=False).encode(),
        headers=encode_headers(to_headers(event)),
    )


def text_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the headers that are UTF-8; others are not ours, and no reason to lose an event."""
    texts: dict[str, str] = {}
    for name, value in headers:
        try:
            texts[name] = value.decode()
        except UnicodeDecodeError:
            if name.startswith("ce_"):
                raise Poison(f"header {name} is not UTF-8") from None
    return texts


def decode_record(record: Record) -> CloudEvent:
    """Return the event in a record. Raises `Poison` when it is none, or has no data."""
    headers = text_headers(record.headers)
    content_type = headers.get(CONTENT_TYPE, JSON_CONTENT)
    if content_type.encode().startswith(_STRUCTURED):
        return _decode_structured(record)
    missing = [
        name
        for name in ("ce_id", "ce_source", "ce_type", "ce_specversion")
        if not headers.get(name)
    ]
    if missing:
        raise Poison(f"not a CloudEvent: no {', '.join(missing)}")
    if headers["ce_specversion"] != "1.0":
        raise Poison(f"CloudEvents {headers['ce_specversion']} is not 1.0")
    subject = headers.get("ce_subject")
    if subject is None:
        subject = (record.key or b"").decode(errors="replace")
    # Trusted construction: every field is checked above or is plain text, and validating would
    # cost more than the rest of the decoding.
    return CloudEvent.model_construct(
        specversion="1.0",
        id=headers["ce_id"],
        source=headers["ce_source"],
        type=headers["ce_type"],
        subject=subject,
        time=_time(headers.get("ce_time"), record.timestamp),
        datacontenttype=content_type,
        data=_json_object(record.value),
        dataschema=headers.get("ce_dataschema"),
        traceparent=headers.get("ce_traceparent"),
        tracestate=headers.get("ce_tracestate"),
        correlationid=headers.get("ce_correlationid"),
        causationid=headers.get("ce_causationid"),
        partitionkey=headers.get("ce_partitionkey"),
        dataref=headers.get("ce_dataref"),
    )


def decode(event: CloudEvent, cls: type[E]) -> E:
    """Return the payload as its model. Raises `Poison` when it does not fit."""
    try:
        return cls.model_validate(event.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Poison(f"{event.type} does not fit: {where}: {first['msg']}") from error


def continued(headers: Iterable[tuple[str, bytes]]) -> tuple[SpanContext | None, Context | None]:
    """Return the span that sent a record, and the context that continues its trace.

    The plain `traceparent` names the last hop; without it the event's own attribute does.
    """
    raw = dict(headers)
    traceparent = raw.get(TRACEPARENT) or raw.get(f"ce_{TRACEPARENT}")
    span = span_context(traceparent.decode(errors="replace")) if traceparent else None
    if span is None:
        return None, None
    tracestate = raw.get(TRACESTATE) or raw.get(f"ce_{TRACESTATE}")
    if tracestate:
        state = TraceState.from_header([tracestate.decode(errors="replace")])
        span = SpanContext(span.trace_id, span.span_id, True, span.trace_flags, state)
    return span, set_span_in_context(NonRecordingSpan(span), Context())


def span_context(traceparent: str | None) -> SpanContext | None:
    """Return the span that a `traceparent` names, None for a missing or broken one.

    Parsed by hand: a batch of 500 has 500 of them.
    """
    if traceparent is None or len(traceparent) < 55:
        return None
    try:
        trace_id, span_id = int(traceparent[3:35], 16), int(traceparent[36:52], 16)
        flags = TraceFlags(int(traceparent[53:55], 16))
    except ValueError:
        return None
    if not trace_id or not span_id:
        return None
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def _decode_structured(record: Record) -> CloudEvent:
    fields = _json_object(record.value)
    fields.setdefault("subject", (record.key or b"").decode(errors="replace"))
    fields.setdefault("time", datetime.fromtimestamp(record.timestamp / 1000, UTC))
    try:
        return CloudEvent.model_validate(fields)
    except ValidationError as error:
        raise Poison("structured CloudEvent does not fit the specification") from error


def _json_object(value: bytes | None) -> dict[str, object]:
    if value is None:
        raise Poison("tombstone: the record has no value")
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise Poison(f"value is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise Poison("value is JSON but no object")
    return parsed


def _time(text: str | None, timestamp_ms: int) -> datetime:
    if text is None:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Poison(f"ce_time {text!r} is not RFC 3339") from error
