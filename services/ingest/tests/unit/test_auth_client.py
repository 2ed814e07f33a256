from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from tonearm_contracts.rpc.flagd.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from tonearm_contracts.rpc.quota.v1 import quota_pb2, quota_pb2_grpc
from tonearm_ingest.adapters.auth_client import GrpcEntitlements
from tonearm_ingest.domain.errors import (
    AccountGone,
    EntitlementsUnavailable,
    FileTooLarge,
    QuotaExceeded,
)
from tonearm_ingest.usecases.ports import Caller, Reserve
from tonearm_kit import grpc as kit_grpc

ANNA = Caller(account_id="anna", plan="premium", is_beta=True)
WANTED = Reserve(account_id="anna", audio_id="a1", size_bytes=10, duration_s=2.5)


class Auth(evaluation_pb2_grpc.ServiceServicer, quota_pb2_grpc.QuotaServiceServicer):
    """What auth answers; a status refuses instead."""

    def __init__(self) -> None:
        self.refusal: grpc.StatusCode | None = None
        self.stalls = False
        self.quote = quota_pb2.QuoteResponse(allowed=True)
        self.asked: list[object] = []

    async def _note(
        self, request: object, context: grpc.aio.ServicerContext[object, object]
    ) -> None:
        self.asked.append(request)
        if self.stalls:
            await asyncio.Event().wait()
        if self.refusal is not None:
            await context.abort(self.refusal, "no")

    async def ResolveAll(self, request, context):  # type: ignore[no-untyped-def]
        await self._note(request, context)
        flags = {
            "on": evaluation_pb2.AnyFlag(bool_value=True, variant="on"),
            "off": evaluation_pb2.AnyFlag(bool_value=False, variant="off"),
            "text": evaluation_pb2.AnyFlag(string_value="true"),
            "nothing": evaluation_pb2.AnyFlag(reason="DISABLED"),
        }
        return evaluation_pb2.ResolveAllResponse(flags=flags)

    async def Quote(self, request, context):  # type: ignore[no-untyped-def]
        await self._note(request, context)
        return self.quote

    async def Reserve(self, request, context):  # type: ignore[no-untyped-def]
        await self._note(request, context)
        return quota_pb2.ReserveResponse(reservation_id="r1")


@pytest.fixture
async def auth() -> AsyncIterator[tuple[Auth, GrpcEntitlements]]:
    server = grpc.aio.server()
    auth = Auth()  # type: ignore[abstract]  # the other calls answer UNIMPLEMENTED
    evaluation_pb2_grpc.add_ServiceServicer_to_server(auth, server)
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(auth, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with kit_grpc.channel(f"127.0.0.1:{port}", timeout_s=0.5) as channel:
        yield auth, GrpcEntitlements(channel, reservation_ttl_s=60, retry_after_s=3)
    await server.stop(0)


Both = tuple[Auth, GrpcEntitlements]


async def test_only_what_is_plainly_on_is_on(auth: Both) -> None:
    assert await auth[1].flags(ANNA) == {"on"}
    (request,) = auth[0].asked
    assert isinstance(request, evaluation_pb2.ResolveAllRequest)
    assert dict(request.context) == {"targetingKey": "anna", "plan": "premium", "beta": True}


async def test_the_plan_says_how_large_a_file_may_be(auth: Both) -> None:
    assert await auth[1].size_bytes_max(ANNA, size_bytes=1) is None
    limits = [
        quota_pb2.Limit(name="file_bytes", limit=1000),
        quota_pb2.Limit(name="stored_bytes", limit=5),
    ]
    auth[0].quote = quota_pb2.QuoteResponse(allowed=True, limits=limits)
    assert await auth[1].size_bytes_max(ANNA, size_bytes=1) == 1000
    auth[0].quote = quota_pb2.QuoteResponse(
        allowed=False, limits=limits, violated_limits=["file_bytes"]
    )
    with pytest.raises(FileTooLarge) as too_large:
        await auth[1].size_bytes_max(ANNA, size_bytes=2000)
    assert too_large.value.members["size_bytes_max"] == 1000
    auth[0].quote = quota_pb2.QuoteResponse(
        allowed=False, violated_limits=["uploads_per_day", "file_bytes"]
    )
    with pytest.raises(QuotaExceeded) as exceeded:
        await auth[1].size_bytes_max(ANNA, size_bytes=2000)
    assert exceeded.value.members["violated_limits"] == ["uploads_per_day"]


async def test_a_reservation_goes_under_the_recordings_id(auth: Both) -> None:
    assert await auth[1].reserve(WANTED) == "r1"
    (request,) = auth[0].asked
    assert isinstance(request, quota_pb2.ReserveRequest)
    assert request.idempotency_key == "a1"
    assert request.amounts == quota_pb2.Amounts(uploads=1, stored_bytes=10, analysed_audio_s=2.5)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, QuotaExceeded),
        (grpc.StatusCode.NOT_FOUND, AccountGone),
        (grpc.StatusCode.UNAVAILABLE, EntitlementsUnavailable),
        (grpc.StatusCode.INTERNAL, EntitlementsUnavailable),
        (grpc.StatusCode.PERMISSION_DENIED, EntitlementsUnavailable),
    ],
)
async def test_refusals(auth: Both, status: grpc.StatusCode, error: type[Exception]) -> None:
    auth[0].refusal = status
    with pytest.raises(error):
        await auth[1].reserve(WANTED)


async def test_an_auth_that_does_not_answer_in_time_is_a_no(auth: Both) -> None:
    auth[0].stalls = True
    with pytest.raises(EntitlementsUnavailable) as caught:
        await auth[1].flags(ANNA)
    assert caught.value.members["retry_after_s"] == 3


async def test_an_auth_that_is_not_there_is_a_no() -> None:
    async with kit_grpc.channel("127.0.0.1:1", timeout_s=0.3) as channel:
        client = GrpcEntitlements(channel, reservation_ttl_s=60, retry_after_s=3)
        with pytest.raises(EntitlementsUnavailable):
            await client.size_bytes_max(ANNA, size_bytes=1)
