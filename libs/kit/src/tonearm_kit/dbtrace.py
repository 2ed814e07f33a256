"""Spans and durations of SQL statements, by the stable database conventions.

A statement becomes a span only inside a trace that is being recorded: the polling of relays and
sweepers would otherwise fill the tracing backend with roots that tell nothing.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

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
_SUMMARY = re.compile(r"\s*-- summary: (\w+) (\w+)\n")
"""How a statement of many parts begins, to say in two words what it does."""

_tracer = telemetry.tracer(__name__)
_duration = telemetry.duration_histogram(
    telemetry.meter(__name__),
    semconv.DB_CLIENT_OPERATION_DURATION,
    "Duration of one SQL statement.",
    bounds_s=semconv.DB_DURATION_BOUNDS_S,
)


@lru_cache(maxsize=2048)
def summarize(query: str) -> tuple[str, str | None]:
    """Return a statement's first word in capitals and its first table; None if it names none.

    A statement that begins with a comment `-- summary: WORD table` has said it itself.
    """
    if told := _SUMMARY.match(query):
        return told.group(1), told.group(2)
    text = _COMMENT.sub("", query).strip()
    words = text.split(None, 1)
    found = _TARGET.search(text)
    return (words[0].upper() if words else "EMPTY"), (found.group(1) if found else None)


_CONTROL = frozenset({"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"})
"""Statements that frame others; seeing each of them would triple what a transaction costs."""

_BEGIN = "BEGIN;"
"""How the driver begins a transaction."""

_RESET_START = "SELECT pg_advisory_unlock_all()"
"""How the driver cleans a connection that comes back to the pool."""

_QUIET_TABLES = frozenset({"inbox"})
"""Tables whose statements are part of another span: the inbox belongs to `process`."""


class _Known(NamedTuple):
    """What is told about a statement; made once for each, never changed."""

    span_name: str
    metric: dict[str, str]
    span: dict[str, str]


@lru_cache(maxsize=2048)
def _known_of(query: str, database: str) -> _Known | None:
    """Return what is told about a statement, None for one that is not worth telling."""
    operation, table = summarize(query)
    is_cleaning = query.startswith(_RESET_START)
    if operation.rstrip(";") in _CONTROL or table in _QUIET_TABLES or is_cleaning:
        return None
    summary = f"{operation} {table}" if table else operation
    metric = {semconv.DB_SYSTEM_NAME: "postgresql", semconv.DB_OPERATION_NAME: operation}
    if table:
        metric[semconv.DB_COLLECTION_NAME] = table
    span = {
        **metric,
        semconv.DB_NAMESPACE: database,
        semconv.DB_QUERY_SUMMARY: summary,
    }
    if _SUMMARY.match(query) is None:
        # The text of one that has its summary is long, and the same every time.
        span[semconv.DB_QUERY_TEXT] = query[:_TEXT_LENGTH_MAX]
    return _Known(summary, metric, span)


class _Statement:
    """One statement under way; a class, because there are several in each transaction."""

    __slots__ = ("_known", "_span", "_started_s")

    def __init__(self, query: str, database: str) -> None:
        self._known = _known_of(query, database)
        self._span: trace.Span | None = None
        self._started_s = 0.0

    def __enter__(self) -> None:
        known = self._known
        if known is None:
            return
        self._started_s = time.perf_counter()
        if trace.get_current_span().is_recording():
            self._span = _tracer.start_span(
                known.span_name, kind=SpanKind.CLIENT, attributes=known.span
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._known is None:
            return
        metric = self._known.metric
        if error is not None:
            failure = _failure(error)
            metric = {**metric, **failure}
            if self._span is not None:
                self._span.set_attributes(failure)
                self._span.set_status(Status(StatusCode.ERROR, _message(error)))
        if self._span is not None:
            self._span.end()
        _duration.record(time.perf_counter() - self._started_s, metric)


def _failure(error: BaseException) -> dict[str, str]:
    if not isinstance(error, asyncpg.PostgresError):
        return {semconv.ERROR_TYPE: type(error).__name__}
    return {
        semconv.ERROR_TYPE: error.sqlstate,
        semconv.DB_RESPONSE_STATUS_CODE: error.sqlstate,
    }


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, asyncpg.PostgresError) else type(error).__name__


class TracedConnection(_Base):
    """A connection whose statements are seen by telemetry.

    It also lets a statement ride along with the next BEGIN (see `Database.begin_with`), in a
    way that leaves the driver's own book-keeping of transactions alone.
    """

    __slots__ = ("_with_begin", "status_with_begin")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._with_begin = self.status_with_begin = ""

    def send_with_begin(self, statement: str) -> None:
        """Send `statement` with the next BEGIN; its status is `status_with_begin` then."""
        self._with_begin, self.status_with_begin = statement, ""

    def _database(self) -> str:
        return str(cast("Any", self)._params.database)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """See the base class."""
        if self._with_begin and query == _BEGIN:
            query, self._with_begin = f"{_BEGIN} {self._with_begin}", ""
            self.status_with_begin = await super().execute(query, **options)
            return self.status_with_begin
        with _Statement(query, self._database()):
            return await super().execute(query, *args, **options)

    async def executemany(self, command: str, args: Any, **options: Any) -> None:
        """See the base class."""
        with _Statement(command, self._database()):
            await super().executemany(command, args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """See the base class."""
        with _Statement(query, self._database()):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """See the base class."""
        with _Statement(query, self._database()):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """See the base class."""
        with _Statement(query, self._database()):
            return await super().fetchval(query, *args, **options)
