from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry import trace

from tonearm_kit import logs, telemetry
from tonearm_kit.testing.clock import FixedClock
from tonearm_kit.testing.spans import Spans


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logs.unconfigured()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("logging_restored")
def test_a_line_is_one_json_object_with_its_trace(
    spans: Spans, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("deck", level="INFO")
    with telemetry.tracer("t").start_as_current_span("turning") as span:
        logs.get_logger("test").info("played", side="A")
    [line] = lines(capsys)
    context = span.get_span_context()
    assert line["trace_id"] == format(context.trace_id, "032x")
    assert line["span_id"] == format(context.span_id, "016x")
    assert (line["event"], line["side"], line["service"]) == ("played", "A", "deck")


@pytest.mark.usefixtures("logging_restored")
def test_an_exception_is_told_without_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("deck", level="INFO")
    log = logs.get_logger("test")
    password = "hunter2"
    try:
        int("x" if password else "")
    except ValueError:
        log.exception("failed")
    [line] = lines(capsys)
    assert "ValueError" in str(line["exception"])
    assert "hunter2" not in json.dumps(line).replace('password = "hunter2"', "")


@pytest.mark.usefixtures("logging_restored")
def test_lines_of_libraries_take_the_same_road(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("deck", level="INFO")
    logging.getLogger("some.library").warning("careful: %s", "hot")
    logging.getLogger("aiokafka").info("chatter")
    [line] = lines(capsys)
    assert (line["event"], line["level"]) == ("careful: hot", "warning")


def test_a_library_that_repeats_itself_is_cut_off(fixed_clock: FixedClock) -> None:
    few = logs.FewRepeats(lines_max=2, window_s=10, monotonic_s=fixed_clock.monotonic_s)

    def passes(message: object, *args: object) -> str | None:
        record = logging.LogRecord("aiokafka", logging.ERROR, "f", 1, message, args, None)
        return record.getMessage() if few.filter(record) else None

    assert [passes("no node %s", n) for n in range(5)] == ["no node 0", "no node 1", *[None] * 3]
    assert passes("something else") == "something else"
    assert [passes({"event": "ours"}) for _ in range(9)] == ["{'event': 'ours'}"] * 9
    fixed_clock.advance(10)
    assert passes("no node %s", 7) == "no node 7 (3 more like this were left out)"
    assert passes("no node %s", 8) == "no node 8"
    assert passes("no node %s", 9) is None


@pytest.mark.usefixtures("logging_restored")
def test_a_level_below_the_set_one_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("deck", level="WARNING", format="console")
    logs.get_logger("test").info("nobody hears this")
    assert capsys.readouterr().out == ""


def test_without_configuration_lines_reach_the_processs_own_handlers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs.get_logger("library").warning("careful", heat=3)
    assert caplog.messages == ["event='careful' heat=3"]


def test_a_carrier_survives_the_round_trip(spans: Spans) -> None:
    with telemetry.tracer("t").start_as_current_span("producer") as producer:
        carrier = telemetry.current_traceparent()
    context = telemetry.context_from(carrier)
    remote = trace.get_current_span(context).get_span_context()
    assert remote.is_remote
    assert remote.span_id == producer.get_span_context().span_id


def test_no_carrier_is_a_root_even_inside_a_span(spans: Spans) -> None:
    with telemetry.tracer("t").start_as_current_span("outer"):
        context = telemetry.context_from({})
        with telemetry.tracer("t").start_as_current_span("inner", context=context):
            pass
    assert spans.one("inner").parent is None


def test_outside_a_span_there_is_nothing_to_carry() -> None:
    assert telemetry.current_traceparent() == {}


def test_an_unknown_exporter_is_named_with_what_there_is() -> None:
    with pytest.raises(telemetry.UnknownExporter, match=r"'carrier_pigeon'.*zipkin_json"):
        telemetry.configure("deck", version="1", exporter="carrier_pigeon")


def test_spans_carry_the_pinned_conventions(spans: Spans) -> None:
    with telemetry.tracer("t").start_as_current_span("any"):
        pass
    scope = spans.one("any").instrumentation_scope
    assert scope is not None
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"
