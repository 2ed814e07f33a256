"""The outermost layer of every app: request id, server span, access log, last-resort 500,
and who may keep the answer.

One layer rather than five, so that span, metric and log line agree on route and status.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tonearm_kit import semconv, telemetry
from tonearm_kit.db import is_outage
from tonearm_kit.http import health, problem
from tonearm_kit.ids import NewId, new_id
from tonearm_kit.logs import get_logger

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._:-]{1,128}$")
_CLIENT_GONE = 499

log = get_logger("tonearm.access")
_tracer = telemetry.tracer(__name__)
_duration = telemetry.duration_histogram(
    telemetry.meter(__name__),
    semconv.HTTP_SERVER_REQUEST_DURATION,
    "Duration of one HTTP request, until its last byte was sent.",
)


@dataclass(slots=True)
class _Exchange:
    """What is learned about one request while it is served."""

    scope: Scope
    method: str
    request_id: str
    started: float = field(default_factory=time.perf_counter)
    status: int | None = None
    route: str | None = None
    error: str | None = None


def _route(scope: Scope) -> str | None:
    """Return the template of the matched route, prefixes of its routers included.

    FastAPI keeps included routers as a tree: the matched route alone knows only its own part,
    the effective context knows the whole path.
    """
    context = scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(context, "path", None) or getattr(scope.get("route"), "path", None)
    return str(path) if path else None


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _storing(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the `Cache-Control` of an answer that says nothing about it.

    Nearly every answer is one person's. RFC 9111 keeps shared caches from answers to requests
    with `Authorization` alone: not from refusals such as 404, not from what a ticket opened, and
    not the browser on a shared machine. What has an ETag was made to be kept and asked about.
    """
    names = {name.lower() for name, _ in headers}
    if b"cache-control" in names:
        return []
    return [(b"cache-control", b"private, no-cache" if b"etag" in names else b"private, no-store")]


class Door:
    """ASGI middleware for HTTP and WebSocket scopes; lifespan passes through."""

    def __init__(self, app: ASGIApp, *, make_id: NewId = new_id) -> None:
        self._app = app
        self._new_id = make_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan" or scope.get("path") in health.PATHS:
            await self._app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id")
        request_id = given.decode() if given and _REQUEST_ID.match(given) else self._new_id()
        scope["tonearm.request_id"] = request_id
        method = scope.get("method", "GET")
        exchange = _Exchange(scope, method if method in _METHODS else "_OTHER", request_id)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        carrier = {
            name: value.decode("latin-1")
            for name in ("traceparent", "tracestate")
            if (value := _header(scope, name.encode())) is not None
        }
        with _tracer.start_as_current_span(
            exchange.method,
            context=telemetry.context_from(carrier),
            kind=SpanKind.SERVER,
            attributes={
                semconv.HTTP_REQUEST_METHOD: exchange.method,
                semconv.URL_PATH: scope["path"],
                semconv.URL_SCHEME: scope.get("scheme", "http"),
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await self._serve(exchange, receive, send, span)
            finally:
                self._finish(exchange, span)

    async def _serve(self, exchange: _Exchange, receive: Receive, send: Send, span: Span) -> None:
        async def observed(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                exchange.status = message.get("status", 101)
                exchange.route = _route(exchange.scope)
                headers = [
                    *message.get("headers", ()),
                    (b"x-request-id", exchange.request_id.encode()),
                ]
                if message["type"] == "http.response.start":
                    headers += _storing(headers)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(exchange.scope, receive, observed)
        except ClientDisconnect:
            exchange.status, exchange.error = exchange.status or _CLIENT_GONE, "client_disconnect"
        except Exception as error:
            exchange.error = type(error).__qualname__
            span.record_exception(error)
            away = is_outage(error)
            if away:
                log.warning("the database is away", reason=exchange.error)
            else:
                log.exception("request failed", method=exchange.method, path=exchange.scope["path"])
            if exchange.status is not None or exchange.scope["type"] != "http":
                raise  # the answer has begun: all that is left is to break the connection
            response = problem.from_status(
                503 if away else 500,
                request_id=exchange.request_id,
                headers={"Retry-After": "1"} if away else None,
            )
            await response(exchange.scope, receive, observed)

    def _finish(self, exchange: _Exchange, span: Span) -> None:
        took_s = time.perf_counter() - exchange.started
        status = exchange.status or 500
        route = exchange.route or _route(exchange.scope)
        measured: dict[str, str | int] = {
            semconv.HTTP_REQUEST_METHOD: exchange.method,
            semconv.HTTP_RESPONSE_STATUS_CODE: status,
        }
        if route:
            span.update_name(f"{exchange.method} {route}")
            span.set_attribute(semconv.HTTP_ROUTE, route)
            measured[semconv.HTTP_ROUTE] = route
        span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, status)
        if status >= 500 or exchange.error:
            reason = exchange.error or str(status)
            span.set_attribute(semconv.ERROR_TYPE, reason)
            measured[semconv.ERROR_TYPE] = reason
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR, exchange.error))
        if exchange.scope["type"] == "http":
            _duration.record(took_s, measured)
        client = exchange.scope.get("client")
        log.info(
            "request",
            method=exchange.method,
            path=exchange.scope["path"],
            route=route,
            status=status,
            duration_ms=round(took_s * 1000, 2),
            client=client[0] if client else None,
            **({"error": exchange.error} if exchange.error else {}),
        )
