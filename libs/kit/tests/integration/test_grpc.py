"""The gRPC door through a real server and a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from tonearm_kit import grpc as kit_grpc
from tonearm_kit.errors import AppError, Kind, RemoteError
from tonearm_kit.testing.spans import Spans

pytestmark = pytest.mark.integration

METHOD = "/tonearm.test.v1.Echo/Say"
Behaviour = Callable[
    [StringValue, "grpc.aio.ServicerContext[StringValue, StringValue]"], Awaitable[StringValue]
]


class TooManyWords(AppError):
    """The sentence is too long."""

    code, kind = "too_many_words", Kind.EXHAUSTED


def register(behaviour: Behaviour) -> Callable[[grpc.aio.Server], None]:
    handler = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=StringValue.FromString,
        response_serializer=StringValue.SerializeToString,
    )

    def add(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("tonearm.test.v1.Echo", {"Say": handler}),)
        )

    return add


@asynccontextmanager
async def running(
    behaviour: Behaviour, *, timeout_s: float = 5.0
) -> AsyncIterator[grpc.aio.Channel]:
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            kit_grpc.serve(
                [register(behaviour)],
                host="127.0.0.1",
                port=0,
                stop=stop,
                health_names=["tonearm.test.v1.Echo"],
                timeout_s=timeout_s,
                on_started=port.set_result,
            )
        )
        async with kit_grpc.channel(f"127.0.0.1:{await port}", timeout_s=5.0) as channel:
            yield channel
        stop.set()


async def say(channel: grpc.aio.Channel, text: str, *, timeout_s: float | None = None) -> str:
    call = channel.unary_unary(
        METHOD,
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )
    answer: StringValue = await call(StringValue(value=text), timeout=timeout_s)
    return answer.value


async def test_a_call_is_one_trace_of_client_and_server_span(spans: Spans) -> None:
    async def echo(request: StringValue, context: object) -> StringValue:
        with trace.get_tracer("test").start_as_current_span("inside"):
            return StringValue(value=request.value.upper())

    async with running(echo) as channel:
        with trace.get_tracer("test").start_as_current_span("outside"):
            assert await say(channel, "hello") == "HELLO"
    served, made = (
        next(s for s in spans.all() if s.kind is kind)
        for kind in (SpanKind.SERVER, SpanKind.CLIENT)
    )
    assert served.name == made.name == "tonearm.test.v1.Echo/Say"
    assert served.parent is not None
    assert made.context is not None
    assert served.context is not None
    assert served.parent.span_id == made.context.span_id
    inside = spans.one("inside")
    assert inside.parent is not None
    assert inside.parent.span_id == served.context.span_id
    assert dict(served.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": "tonearm.test.v1.Echo/Say",
        "rpc.status_code": "OK",
    }


async def test_a_typed_error_arrives_whole() -> None:
    async def refuse(request: StringValue, context: object) -> StringValue:
        raise TooManyWords("seven words are two too many", words_max=5, retry_after_s=3)

    async with running(refuse) as channel:
        with pytest.raises(RemoteError) as caught:
            await say(channel, "x")
    error = caught.value
    assert (error.error_code, error.error_kind) == ("too_many_words", Kind.EXHAUSTED)
    assert error.detail == "seven words are two too many"
    assert error.members == {"words_max": 5, "retry_after_s": 3}


async def test_a_bug_tells_nothing_about_itself() -> None:
    async def fail(request: StringValue, context: object) -> StringValue:
        raise ValueError("password=hunter2")

    async with running(fail) as channel:
        with pytest.raises(RemoteError) as caught:
            await say(channel, "x")
    assert caught.value.error_kind is Kind.INTERNAL
    assert "hunter2" not in caught.value.detail


async def test_a_caller_that_sets_no_deadline_gets_the_servers() -> None:
    async def hang(request: StringValue, context: object) -> StringValue:
        await asyncio.Event().wait()
        raise AssertionError

    async with running(hang, timeout_s=0.05) as channel:
        with pytest.raises(RemoteError) as caught:
            await say(channel, "x")
    assert caught.value.error_code == "deadline_exceeded"
    assert caught.value.can_retry


async def test_a_call_made_for_a_call_ends_before_it() -> None:
    left_s: list[float] = []

    async def measure(
        request: StringValue, context: grpc.aio.ServicerContext[StringValue, StringValue]
    ) -> StringValue:
        left_s.append(context.time_remaining() or -1.0)
        return StringValue()

    async with running(measure) as inner:

        async def relay(request: StringValue, context: object) -> StringValue:
            await say(inner, "x", timeout_s=60.0)
            return StringValue()

        async with running(relay) as outer:
            await say(outer, "x", timeout_s=1.0)
    assert 0.5 < left_s[0] < 1.0


async def test_health_names_the_service() -> None:
    async def echo(request: StringValue, context: object) -> StringValue:
        return request

    async with running(echo) as channel:
        await kit_grpc.ping(channel, name="tonearm.test.v1.Echo")
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(RemoteError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.error_kind is Kind.NOT_FOUND


async def test_nobody_at_the_address_is_unavailable() -> None:
    async with kit_grpc.channel("127.0.0.1:1", timeout_s=1.0) as channel:
        with pytest.raises(RemoteError) as caught:
            await say(channel, "x")
    assert caught.value.error_kind is Kind.UNAVAILABLE
    assert caught.value.can_retry


async def test_a_running_call_is_finished_while_stopping() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(request: StringValue, context: object) -> StringValue:
        entered.set()
        await release.wait()
        return StringValue(value="done")

    async with asyncio.TaskGroup() as group, running(slow) as channel:
        call = group.create_task(say(channel, "x"))
        await entered.wait()
        release.set()
        assert await call == "done"
