"""Spans and durations of SQL statements, by the stable database conventions.

A statement becomes a span only inside a trace that is being recorded: the polling of relays and
sweepers would otherwise fill the tracing backend with roots that tell nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from tonearm_kit import semconv, telemetry

if TYPE_CHECKING:
    _Base: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

_TEXT_LENGTH_MAX = 2000
_TARGET = re.compile(
    r"\b(?:insert\s+into|delete\s+from|update|from|into|table(?:\s+if\s+(?:not\s+)?exists)?)"
    r"\s+(?:only\s+)?\"?([a-z_][a-z0-9_.]*)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*")

_tracer = telemetry.tracer(__name__)
_duration = telemetry.duration_histogram(
    telemetry.meter(__name__),
    semconv.DB_CLIENT_OPERATION_DURATION,
    "Duration of one SQL statement.",
    bounds_s=semconv.DB_DURATION_BOUNDS_S,
)


@lru_cache(maxsize=2048)
def summarize(query: str) -> tuple[str, str | None]:
    """Return a statement's first word in capitals and its first table; None if it names none."""
    text = _COMMENT.sub("", query).strip()
    words = text.split(None, 1)
    found = _TARGET.search(text)
    return (words[0].upper() if words else "EMPTY"), (found.group(1) if found else None)


_CONTROL = frozenset({"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"})
"""Statements that frame others; seeing each of them would triple what a transaction costs."""

_RESET_START = "SELECT pg_advisory_unlock_all()"
"""How the driver cleans a connection that comes back to the pool."""

_QUIET_TABLES = frozenset({"inbox"})
"""Tables whose statements are part of another span: the inbox belongs to `process`."""


@lru_cache(maxsize=2048)
def _is_quiet(query: str) -> bool:
    operation, table = summarize(query)
    is_cleaning = query.startswith(_RESET_START)
    return operation.rstrip(";") in _CONTROL or table in _QUIET_TABLES or is_cleaning


@lru_cache(maxsize=2048)
def _attributes(query: str, database: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return the span's name, the metric's attributes and the span's; do not change them."""
    operation, table = summarize(query)
    summary = f"{operation} {table}" if table else operation
    shared = {semconv.DB_SYSTEM_NAME: "postgresql", semconv.DB_OPERATION_NAME: operation}
    if table:
        shared[semconv.DB_COLLECTION_NAME] = table
    own = {
        **shared,
        semconv.DB_NAMESPACE: database,
        semconv.DB_QUERY_SUMMARY: summary,
        semconv.DB_QUERY_TEXT: query[:_TEXT_LENGTH_MAX],
    }
    return summary, shared, own


@contextmanager
def _statement(query: str, database: str) -> Iterator[None]:
    if _is_quiet(query):
        yield
        return
    summary, shared, own = _attributes(query, database)
    started = time.perf_counter()
    failure: dict[str, str] = {}
    span: trace.Span = trace.INVALID_SPAN
    if trace.get_current_span().is_recording():
        span = _tracer.start_span(summary, kind=SpanKind.CLIENT, attributes=own)
    try:
        yield
    except asyncpg.PostgresError as error:
        failure = {
            semconv.ERROR_TYPE: error.sqlstate,
            semconv.DB_RESPONSE_STATUS_CODE: error.sqlstate,
        }
        span.set_status(Status(StatusCode.ERROR, str(error)))
        raise
    except BaseException as error:
        failure = {semconv.ERROR_TYPE: type(error).__name__}
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        for name, value in failure.items():
            span.set_attribute(name, value)
        span.end()
        _duration.record(
            time.perf_counter() - started, {**shared, **failure} if failure else shared
        )


class TracedConnection(_Base):
    """A connection whose statements are seen by telemetry; behaves as its base otherwise."""

    __slots__ = ()

    def _database(self) -> str:
        return str(cast("Any", self)._params.database)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """See the base class."""
        with _statement(query, self._database()):
            return await super().execute(query, *args, **options)

    async def executemany(self, command: str, args: Any, **options: Any) -> None:
        """See the base class."""
        with _statement(command, self._database()):
            await super().executemany(command, args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """See the base class."""
        with _statement(query, self._database()):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """See the base class."""
        with _statement(query, self._database()):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """See the base class."""
        with _statement(query, self._database()):
            return await super().fetchval(query, *args, **options)
