"""Traces and metrics: one set-up for every process, no exporter named in code.

`OTEL_TRACES_EXPORTER` picks an exporter among the entry points of the SDK, which reads its own
standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_ZIPKIN_ENDPOINT`, ...).
Metrics are always readable at `/metrics`; `OTEL_METRICS_EXPORTER=otlp` pushes them as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Self, cast

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import REGISTRY, generate_latest

from tonearm_kit import semconv
from tonearm_kit.ids import new_id

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PROPAGATOR = TraceContextTextMapPropagator()
_SHORT_NAMES = {"otlp": "otlp_proto_grpc"}


class UnknownExporter(ValueError):
    """No installed package offers an exporter of this name."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The providers of this process; leaving the context flushes and closes them."""

    traces: TracerProvider
    meters: MeterProvider

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.traces.shutdown()
        self.meters.shutdown()


def _exporter(group: str, name: str) -> Any:
    """Return a new exporter that the SDK's entry points offer under `name`."""
    for entry in entry_points(group=group, name=_SHORT_NAMES.get(name, name)):
        return entry.load()()
    known = sorted({entry.name for entry in entry_points(group=group)})
    raise UnknownExporter(f"no exporter {name!r} in {group}; installed: none, {', '.join(known)}")


def configure(
    service: str, *, version: str, exporter: str = "none", metrics_exporter: str = "none"
) -> Telemetry:
    """Set the global providers; call once per process, first thing in `__main__`.

    exporter, metrics_exporter: `none`, `otlp`, or the name of an entry point such as
    `zipkin_json`. Raises `UnknownExporter`.
    """
    resource = Resource.create(
        {
            semconv.SERVICE_NAME: service,
            semconv.SERVICE_NAMESPACE: "tonearm",
            semconv.SERVICE_VERSION: version,
            semconv.SERVICE_INSTANCE_ID: new_id(),
        },
        schema_url=semconv.SCHEMA_URL,
    )
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    if exporter != "none":
        spans = cast("SpanExporter", _exporter("opentelemetry_traces_exporter", exporter))
        traces.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=1000))
    readers: list[MetricReader] = [PrometheusMetricReader()]
    if metrics_exporter != "none":
        push = _exporter("opentelemetry_metrics_exporter", metrics_exporter)
        readers.append(PeriodicExportingMetricReader(cast("MetricExporter", push)))
    meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(meters)
    return Telemetry(traces, meters)


def tracer(name: str) -> Tracer:
    """Return the tracer of a module; usable before `configure`."""
    return trace.get_tracer(name, schema_url=semconv.SCHEMA_URL)


def meter(name: str) -> Meter:
    """Return the meter of a module; usable before `configure`."""
    return metrics.get_meter(name, schema_url=semconv.SCHEMA_URL)


def duration_histogram(
    meter: Meter, name: str, description: str, *, bounds_s: tuple[float, ...] | None = None
) -> Histogram:
    """Return a histogram of seconds with the bounds that the conventions advise."""
    bounds = bounds_s or semconv.DURATION_BOUNDS_S
    return meter.create_histogram(
        name, unit="s", description=description, explicit_bucket_boundaries_advisory=bounds
    )


def current_traceparent() -> dict[str, str]:
    """Return the current span as a W3C carrier; empty outside a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def context_from(carrier: Mapping[str, str]) -> Context:
    """Return the context that a W3C carrier (lower-case keys) names; a root context if none.

    Built on an empty context: what happens to be current never becomes a parent.
    """
    return _PROPAGATOR.extract(carrier, context=Context())


def render_metrics() -> bytes:
    """Return this process's metrics in the text format of Prometheus."""
    return generate_latest(REGISTRY)
