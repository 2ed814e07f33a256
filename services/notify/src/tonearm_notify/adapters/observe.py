"""What notify measures: deliveries, their latency, connections."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import SpanKind, Tracer

from tonearm_kit.telemetry import context_from, duration_histogram, meter, tracer
from tonearm_notify.domain import channels, commands
from tonearm_notify.usecases.frames import Frame

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Observer:
    """Spans and metrics of deliveries: one span per publication and process, never per socket.

    There is no semantic convention for pushes; names start with `tonearm.push`.
    """

    def __init__(
        self,
        *,
        unix_s: Callable[[], float] = time.time,
        traces: Tracer | None = None,
        meters: Meter | None = None,
    ) -> None:
        self._unix_s = unix_s
        self._tracer = traces or tracer(__name__)
        meter_ = meters or meter(__name__)
        self._latency = duration_histogram(
            meter_,
            "tonearm.push.delivery.duration",
            "From the event's time to the last socket's write.",
            bounds_s=_BOUNDS_S,
        )
        self._acknowledged = duration_histogram(
            meter_,
            "tonearm.push.acknowledgement.duration",
            "From the event's time to the client's acknowledgement.",
            bounds_s=_BOUNDS_S,
        )
        self._messages = meter_.create_counter(
            "tonearm.push.messages", unit="{message}", description="Publications written."
        )
        self._refusals = meter_.create_counter(
            "tonearm.push.refusals", unit="{connection}", description="Sockets refused or cut."
        )
        self._gauge = meter_.create_observable_gauge
        self._times_ms: dict[tuple[str, int], tuple[int, str | None]] = {}

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Report how many sockets are open."""

        def observe(_: CallbackOptions) -> list[Observation]:
            return [Observation(count())]

        self._gauge(
            "tonearm.push.connections",
            callbacks=[observe],
            unit="{connection}",
            description="Open sockets of this process.",
        )

    def count(self, reason: str, number: int) -> None:
        """Count sockets that were refused or cut."""
        self._refusals.add(number, {"reason": reason})

    def delivered(self, frame: Frame, *, receivers: int, started_s: float) -> None:
        """Note that a publication was written to all its receivers here."""
        publication = frame.publication
        channel = channels.parse(frame.channel)
        template = channel.template if channel else "other"
        carrier = {"traceparent": publication.traceparent} if publication.traceparent else {}
        parent = context_from(carrier)
        attributes = {"tonearm.push.channel.template": template}
        now_s = self._unix_s()
        span = self._tracer.start_span(
            f"deliver {template}",
            context=parent,
            kind=SpanKind.CONSUMER,
            start_time=int((now_s - max(0.0, time.monotonic() - started_s)) * 1e9),
            attributes={
                **attributes,
                "tonearm.push.receivers": receivers,
                "tonearm.push.offset": publication.offset,
                "cloudevents.event_id": publication.event_id,
            },
        )
        # Within the span's context, so that the histogram's exemplar names the trace.
        context = trace.set_span_in_context(span, parent)
        latency_s = max(0.0, now_s - publication.time_ms / 1000)
        self._latency.record(latency_s, attributes, context=context)
        self._messages.add(receivers, attributes)
        span.end()
        self._remember(frame)

    def _remember(self, frame: Frame) -> None:
        """Keep the times of the newest publications, for acknowledgements."""
        publication = frame.publication
        key = (frame.channel, publication.offset)
        self._times_ms[key] = (publication.time_ms, publication.traceparent)
        if len(self._times_ms) > 10_000:
            del self._times_ms[next(iter(self._times_ms))]

    def acknowledged(self, command: commands.Acknowledge) -> None:
        """Note that a client handled a publication; unknown ones are ignored."""
        found = self._times_ms.get((command.channel, command.offset))
        if found is None:
            return
        time_ms, traceparent = found
        parent = context_from({"traceparent": traceparent} if traceparent else {})
        latency_s = max(0.0, self._unix_s() - time_ms / 1000)
        self._acknowledged.record(latency_s, context=parent)
