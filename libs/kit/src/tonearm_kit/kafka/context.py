"""The event being handled and its trace, for whoever writes follow-up events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import context, trace

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.kafka.headers import span_context

_current: ContextVar[CloudEvent | None] = ContextVar("tonearm_event", default=None)


def current_event() -> CloudEvent | None:
    """Return the event whose handler is running, None outside of one."""
    return _current.get()


@contextmanager
def handling(event: CloudEvent) -> Iterator[None]:
    """Make `event` the current one: it is the cause of what is added to the outbox."""
    token = _current.set(event)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def continuing(event: CloudEvent) -> Iterator[None]:
    """Continue the trace of `event` where the current span is of another one.

    That is so in a batch of several traces: its span can be in one of them at most.
    """
    created = span_context(event.traceparent)
    current = trace.get_current_span().get_span_context()
    if created is None or created.trace_id == current.trace_id:
        yield
        return
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(created)))
    try:
        yield
    finally:
        context.detach(token)
