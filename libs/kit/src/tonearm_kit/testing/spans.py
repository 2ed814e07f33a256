"""Spans as test data: everything that ended, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """The spans that ended since the test began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> list[ReadableSpan]:
        """Return the ended spans, in the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        """Return their names."""
        return [span.name for span in self.all()]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of this name; fails the test when there are none or several."""
        found = [span for span in self.all() if span.name == name]
        assert len(found) == 1, f"{len(found)} spans {name!r} among {self.names()}"  # noqa: S101
        return found[0]

    def clear(self) -> None:
        """Forget what ended so far."""
        self._exporter.clear()


@contextmanager
def record_spans() -> Iterator[Spans]:
    """Record the spans of this process; the global provider is set on the first use."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield Spans(exporter)
    finally:
        # Providers cannot drop a processor; a shut-down exporter ignores what comes later.
        exporter.shutdown()
