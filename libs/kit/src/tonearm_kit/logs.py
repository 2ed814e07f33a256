"""Structured logs: one line per unit of work, with the trace it belongs to.

Lines of libraries that use the standard `logging` module take the same road, so one stream has
one shape.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

Logger = structlog.stdlib.BoundLogger

_MESSAGES_MAX = 1000

_QUIET = ("aiokafka", "asyncio", "httpx", "httpcore", "uvicorn", "grpc", "opentelemetry")
"""Libraries whose INFO lines say nothing that ours do not say better."""


class FewRepeats(logging.Filter):
    """Cuts off libraries that repeat themselves: a Kafka that is away is hundreds of lines a second.

    Of one message (before its arguments) `lines_max` lines pass in any `window_s` seconds; the
    first of the next window tells how many were left out. Our own lines always pass.
    """

    def __init__(
        self,
        *,
        lines_max: int = 5,
        window_s: float = 10.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._lines_max, self._window_s, self._monotonic_s = lines_max, window_s, monotonic_s
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the line passes."""
        if not isinstance(record.msg, str):
            return True  # made by structlog: ours
        now_s, key = self._monotonic_s(), (record.name, record.msg)
        started_s, count = self._seen.get(key, (now_s, 0))
        if now_s - started_s >= self._window_s:
            if count > self._lines_max:
                left_out = count - self._lines_max
                record.msg = f"{record.msg} ({left_out} more like this were left out)"
            started_s, count = now_s, 0
        if len(self._seen) >= _MESSAGES_MAX:
            self._seen.clear()
        self._seen[key] = (started_s, count + 1)
        return count < self._lines_max


def add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add `trace_id` and `span_id` (hex) of the current span; nothing outside a span."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def _route(processors: list[Processor]) -> None:
    """Send what our loggers say through `processors` to the standard library."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *processors],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def unconfigured() -> None:
    """Log as a library does: to whatever handlers the process has, plainly.

    The default of structlog prints to standard output, tracebacks with all local variables.
    """
    _route(
        [
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ]
    )


def configure(
    service: str, *, level: str = "INFO", format: Literal["json", "console"] = "json"
) -> None:
    """Send every log line of this process to standard output. Call once, before anything logs.

    level: a name of the standard library, such as INFO. Calling again replaces the settings.
    """

    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Processor
    if format == "json":
        # One string, without the values of local variables: those hold passwords and tokens.
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(default=str)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    _route([*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter])
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(FewRepeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def get_logger(name: str, **bound: Any) -> Logger:
    """Return a logger that adds `bound` to every line; works before `configure`, too."""
    logger: Logger = structlog.stdlib.get_logger(name, **bound)
    return logger


def bind(**values: Any) -> None:
    """Add `values` to every line of the current task and of the tasks it starts."""
    structlog.contextvars.bind_contextvars(**values)


unconfigured()
