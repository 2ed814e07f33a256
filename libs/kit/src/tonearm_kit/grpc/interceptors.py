"""What every call gets without asking: deadline, span, metric, typed errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from grpc import StatusCode
from opentelemetry.trace import Span, SpanKind, Status
from opentelemetry.trace import StatusCode as SpanStatus

from tonearm_kit import semconv, telemetry
from tonearm_kit.db import is_outage
from tonearm_kit.errors import AppError, Kind
from tonearm_kit.grpc import deadline
from tonearm_kit.grpc import status as statuses
from tonearm_kit.logs import get_logger

_UNTRACED = "grpc.health.v1.Health/"
_USEFUL_S = 0.005

log = get_logger("tonearm.rpc")
_tracer = telemetry.tracer(__name__)
_server_duration = telemetry.duration_histogram(
    telemetry.meter(__name__), semconv.RPC_SERVER_CALL_DURATION, "Duration of one served call."
)
_client_duration = telemetry.duration_histogram(
    telemetry.meter(__name__), semconv.RPC_CLIENT_CALL_DURATION, "Duration of one made call."
)


@dataclass(slots=True)
class _Outcome:
    status: StatusCode = StatusCode.OK


def _carrier(metadata: Any) -> dict[str, str]:
    return {
        name: value
        for name, value in metadata or ()
        if name in ("traceparent", "tracestate") and isinstance(value, str)
    }


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler but those of the health service.

    timeout_s: limit of a unary call whose caller set no deadline, and cap of one who did.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of the call, wrapped."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method).lstrip("/")
        if handler is None or method.startswith(_UNTRACED):
            return handler
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler.unary_unary), **codec
            )
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(method, handler.stream_unary), **codec
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), **codec
            )
        return grpc.stream_stream_rpc_method_handler(
            self._stream(method, handler.stream_stream), **codec
        )

    def _unary(self, method: str, behaviour: Any) -> Any:
        async def serve(request: Any, context: Any) -> Any:
            with _server_call(method, context) as outcome:
                left_s = context.time_remaining()
                limit_s = self._timeout_s if left_s is None else min(self._timeout_s, left_s)
                if limit_s < _USEFUL_S:
                    await _abort(context, outcome, StatusCode.DEADLINE_EXCEEDED, "no time left")
                try:
                    with deadline.within(limit_s):
                        async with asyncio.timeout(limit_s):
                            return await behaviour(request, context)
                except TimeoutError:
                    await _abort(context, outcome, StatusCode.DEADLINE_EXCEEDED, "took too long")
                except Exception as error:  # noqa: BLE001 - the door: no error passes it
                    await _fail(context, outcome, error, method)

        return serve

    def _stream(self, method: str, behaviour: Any) -> Any:
        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            with _server_call(method, context) as outcome:
                try:
                    async for message in behaviour(request, context):
                        yield message
                except Exception as error:  # noqa: BLE001 - the door: no error passes it
                    await _fail(context, outcome, error, method)

        return serve


@contextmanager
def _server_call(method: str, context: Any) -> Iterator[_Outcome]:
    outcome, started = _Outcome(), time.perf_counter()
    shared = {semconv.RPC_SYSTEM_NAME: "grpc", semconv.RPC_METHOD: method}
    parent = telemetry.context_from(_carrier(context.invocation_metadata()))
    with _tracer.start_as_current_span(
        method,
        context=parent,
        kind=SpanKind.SERVER,
        attributes=shared,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield outcome
        except asyncio.CancelledError:
            outcome.status = StatusCode.CANCELLED
            raise
        finally:
            failed = outcome.status in statuses.SERVER_FAULTS
            measured = _finish(span, shared, outcome.status, failed=failed)
            _server_duration.record(time.perf_counter() - started, measured)


def _finish(
    span: Span, shared: dict[str, str], status: StatusCode, *, failed: bool
) -> dict[str, str]:
    """Put the outcome on the span and return the attributes of the measurement."""
    measured = {**shared, semconv.RPC_STATUS_CODE: status.name}
    span.set_attribute(semconv.RPC_STATUS_CODE, status.name)
    if failed:
        measured[semconv.ERROR_TYPE] = status.name
        span.set_attribute(semconv.ERROR_TYPE, status.name)
        span.set_status(Status(SpanStatus.ERROR))
    return measured


async def _abort(context: Any, outcome: _Outcome, status: StatusCode, detail: str) -> None:
    outcome.status = status
    await context.abort(status, detail)


async def _fail(context: Any, outcome: _Outcome, error: Exception, method: str) -> None:
    """End the call with the status of `error`; its text goes out only if it is an `AppError`."""
    if isinstance(error, grpc.aio.AbortError):
        code = context.code()
        outcome.status = code if isinstance(code, StatusCode) else StatusCode.UNKNOWN
        raise error
    if isinstance(error, AppError) and error.error_kind is not Kind.INTERNAL:
        outcome.status = statuses.STATUS[error.error_kind]
        await context.abort(outcome.status, error.detail, statuses.to_trailer(error))
    if is_outage(error):
        log.warning("the database is away", method=method, reason=type(error).__name__)
        outcome.status = StatusCode.UNAVAILABLE
        await context.abort(StatusCode.UNAVAILABLE, statuses.UNAVAILABLE_DETAIL)
    log.error("call failed", method=method, exc_info=error)
    outcome.status = StatusCode.INTERNAL
    await context.abort(StatusCode.INTERNAL, statuses.INTERNAL_DETAIL)


class ClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives unary calls a deadline and a span; a refusal is raised as `RemoteError`.

    timeout_s: limit of a call without one of its own; the deadline of the call being served
    here shortens both.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def intercept_unary_unary(
        self,
        continuation: Callable[[Any, Any], Awaitable[Any]],
        client_call_details: Any,
        request: Any,
    ) -> Any:
        """Make the call and return its response."""
        raw = client_call_details.method
        method = (raw.decode() if isinstance(raw, bytes) else str(raw)).lstrip("/")
        shared = {semconv.RPC_SYSTEM_NAME: "grpc", semconv.RPC_METHOD: method}
        started, status = time.perf_counter(), StatusCode.OK
        with _tracer.start_as_current_span(
            method,
            kind=SpanKind.CLIENT,
            attributes=shared,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                call = await continuation(self._details(client_call_details), request)
                return await call
            except grpc.aio.AioRpcError as error:
                status = error.code()
                trailers: Sequence[Any] = tuple(error.trailing_metadata() or ())
                raise statuses.from_status(status, error.details(), trailers) from error
            except asyncio.CancelledError:
                status = StatusCode.CANCELLED
                raise
            finally:
                measured = _finish(span, shared, status, failed=status is not StatusCode.OK)
                _client_duration.record(time.perf_counter() - started, measured)

    def _details(self, details: Any) -> Any:
        limit_s = self._timeout_s if details.timeout is None else details.timeout
        metadata = grpc.aio.Metadata(*(tuple(details.metadata) if details.metadata else ()))
        for name, value in telemetry.current_traceparent().items():
            metadata.add(name, value)
        return details._replace(timeout=deadline.shorten(limit_s), metadata=metadata)
