from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AudioDeleted
from tonearm_kit.kafka import Poison, decode
from tonearm_kit.kafka.headers import continued, decode_record, encode, text_headers
from tonearm_kit.testing.broker import FakeRecord

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(**changes: Any) -> CloudEvent:
    fields: dict[str, Any] = {
        "id": "e1",
        "source": "/ingest",
        "type": "tonearm.audio.deleted.v1",
        "subject": "a1",
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "data": {"audio_id": "a1", "account_id": "b1"},
        "traceparent": TRACE,
        "partitionkey": "a1",
        "correlationid": "c1",
        "causationid": "c0",
    }
    return CloudEvent(**{**fields, **changes})


def record_of(sent: CloudEvent) -> FakeRecord:
    out = encode(sent, topic="t")
    return FakeRecord("t", 0, 0, 1_000, out.key, out.value, tuple(out.headers))


def raw(*, value: bytes | None = b"{}", headers: dict[str, bytes] | None = None) -> FakeRecord:
    base = {"ce_id": b"1", "ce_source": b"/s", "ce_type": b"t", "ce_specversion": b"1.0"}
    return FakeRecord("t", 0, 0, 1_000, b"k", value, tuple({**base, **(headers or {})}.items()))


def test_an_event_survives_the_wire() -> None:
    assert decode_record(record_of(event())) == event()


@given(
    st.text(min_size=1).filter(lambda text: text.isprintable()),
    st.dictionaries(st.text(), st.text() | st.integers() | st.none()),
)
def test_any_text_survives_the_wire(subject: str, data: dict[str, Any]) -> None:
    sent = event(subject=subject, partitionkey=None, data=data)
    assert decode_record(record_of(sent)) == sent


def test_the_cloudevents_sdk_reads_what_we_write() -> None:
    out = encode(event(), topic="t")
    message = KafkaMessage(headers=dict(out.headers), key=out.key, value=out.value or b"")
    read = from_binary_event(message, JSONFormat())
    assert (read.get_id(), read.get_source(), read.get_type()) == (
        "e1", "/ingest", "tonearm.audio.deleted.v1",
    )  # fmt: skip
    assert read.get_data() == {"audio_id": "a1", "account_id": "b1"}
    assert read.get_extension("traceparent") == TRACE
    assert read.get_extension("correlationid") == "c1"


def test_the_hop_is_the_plain_header_and_falls_back_to_the_attribute() -> None:
    other = TRACE.replace("b7ad", "c8be").encode()
    both = [("ce_traceparent", TRACE.encode()), ("traceparent", other), ("tracestate", b"a=b")]
    for headers, span_id in ((both, 0xC8BE6B7169203331), (both[:1], 0xB7AD6B7169203331)):
        span, context = continued(headers)
        assert span is not None
        assert span.span_id == span_id
        assert span.is_remote
        assert get_current_span(context).get_span_context() == span
    with_state, _ = continued(both)
    assert with_state is not None
    assert with_state.trace_state.get("a") == "b"


@pytest.mark.parametrize(
    "headers", [[], [("traceparent", b"nonsense")], [("traceparent", b"\xff")]]
)
def test_without_a_readable_hop_a_trace_begins(headers: list[tuple[str, bytes]]) -> None:
    assert continued(headers) == (None, None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (raw(value=None), "tombstone"),
        (raw(value=b"{"), "not JSON"),
        (raw(value=b"[]"), "no object"),
        (raw(headers={"ce_id": b""}), "no ce_id"),
        (raw(headers={"ce_specversion": b"0.3"}), "is not 1.0"),
        (raw(headers={"ce_time": b"yesterday"}), "RFC 3339"),
        (raw(headers={"ce_source": b"\xff\xfe"}), "not UTF-8"),
        (raw(headers={"content-type": b"application/cloudevents+json"}), "does not fit"),
    ],
)
def test_what_is_no_event_is_poison_with_a_reason(record: FakeRecord, reason: str) -> None:
    with pytest.raises(Poison, match=reason):
        decode_record(record)


def test_a_foreign_header_that_is_not_utf8_costs_nothing() -> None:
    record = raw(headers={"x-binary": b"\xff\x00\xfe"})
    assert decode_record(record).id == "1"
    assert "x-binary" not in text_headers(record.headers)


def test_structured_mode_is_understood() -> None:
    value = event().model_dump_json().encode()
    content = b"application/cloudevents+json; charset=UTF-8"
    assert decode_record(raw(value=value, headers={"content-type": content})) == event()


def test_data_that_does_not_fit_its_model_is_poison_naming_the_field() -> None:
    with pytest.raises(Poison, match="account_id"):
        decode(event(data={"audio_id": "a1"}), AudioDeleted)
    assert decode(event(), AudioDeleted) == AudioDeleted(audio_id="a1", account_id="b1")
