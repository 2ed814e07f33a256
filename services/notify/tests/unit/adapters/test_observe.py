"""Latencies are measured from the event's time, and name the trace that they belong to."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tonearm_notify.adapters.observe import Observer
from tonearm_notify.domain.commands import Acknowledge
from tonearm_notify.domain.wire import Publication
from tonearm_notify.usecases.frames import Frame

TRACE_ID, SPAN_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7
TRACEPARENT = f"00-{TRACE_ID:032x}-{SPAN_ID:016x}-01"
EVENT_AT_S = 1_700_000_000.0


class Scene:
    """An observer with a clock that stands, and what it has measured."""

    def __init__(self) -> None:
        self.now_s = EVENT_AT_S
        self._spans = InMemorySpanExporter()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        self.observer = Observer(
            unix_s=lambda: self.now_s, traces=traces.get_tracer("t"), meters=meters.get_meter("t")
        )

    def deliver(self, *, offset: int = 1, receivers: int = 3, traceparent: str | None) -> None:
        publication = Publication(offset, "{}", round(EVENT_AT_S * 1000), traceparent, "e1")
        frame = Frame("audio:r", "epoch", publication)
        self.observer.delivered(frame, receivers=receivers, started_s=0.0)

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return [point for each in metrics if each.name == name for point in each.data.data_points]

    def spans(self) -> list[Any]:
        return list(self._spans.get_finished_spans())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_delivery_is_one_sample_whose_exemplar_names_the_trace(scene: Scene) -> None:
    scene.now_s += 0.3
    scene.deliver(receivers=10_000, traceparent=TRACEPARENT)
    (point,) = scene.points("tonearm.push.delivery.duration")
    assert point.count == 1
    assert point.sum == pytest.approx(0.3)
    (span,) = scene.spans()
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (TRACE_ID, span.context.span_id)
    assert exemplar.value == pytest.approx(0.3)
    assert (span.context.trace_id, span.parent.span_id) == (TRACE_ID, SPAN_ID)
    (messages,) = scene.points("tonearm.push.messages")
    assert messages.value == 10_000


def test_an_acknowledgement_is_measured_from_the_event_on(scene: Scene) -> None:
    scene.now_s += 0.1
    scene.deliver(traceparent=TRACEPARENT)
    scene.now_s += 1.1
    scene.observer.acknowledged(Acknowledge(0, "audio:r", 1))
    (point,) = scene.points("tonearm.push.acknowledgement.duration")
    assert point.count == 1
    assert point.sum == pytest.approx(1.2)
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (TRACE_ID, SPAN_ID)


def test_acknowledgements_of_what_was_not_delivered_here_are_ignored(scene: Scene) -> None:
    scene.deliver(traceparent=TRACEPARENT)
    scene.observer.acknowledged(Acknowledge(0, "audio:r", 2))
    scene.observer.acknowledged(Acknowledge(0, "audio:other", 1))
    assert scene.points("tonearm.push.acknowledgement.duration") == []


def test_clocks_that_disagree_never_give_negative_latencies(scene: Scene) -> None:
    scene.now_s -= 5
    scene.deliver(traceparent=None)
    (point,) = scene.points("tonearm.push.delivery.duration")
    assert point.sum == 0
