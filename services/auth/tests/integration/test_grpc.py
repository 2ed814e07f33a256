"""Limits and quota over gRPC on real stores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.auth.tests.conformance import account, session
from services.auth.tests.integration.conftest import Served
from tonearm_auth.bootstrap import Parts
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.sessions import log_out
from tonearm_contracts.rpc.envoy.ratelimit.v3 import rls_pb2
from tonearm_contracts.rpc.envoy.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub
from tonearm_contracts.rpc.quota.v1 import quota_pb2
from tonearm_contracts.rpc.quota.v1.quota_pb2_grpc import QuotaServiceStub
from tonearm_kit.errors import Kind, RemoteError

if TYPE_CHECKING:
    from tonearm_contracts.rpc.quota.v1.quota_pb2_grpc import QuotaServiceAsyncStub

pytestmark = pytest.mark.integration

FILE = quota_pb2.Amounts(uploads=1, stored_bytes=1000, analysed_audio_s=60.0)


@pytest.fixture
async def quota(parts: Parts, served: Served) -> QuotaServiceAsyncStub:
    async with parts.begin() as tx:
        await tx.accounts.add(account())
    return QuotaServiceStub(served.channel)


def reserve(key: str, amounts: quota_pb2.Amounts = FILE) -> quota_pb2.ReserveRequest:
    return quota_pb2.ReserveRequest(account_id="id-anna", idempotency_key=key, amounts=amounts)


async def used(quota: QuotaServiceAsyncStub) -> dict[str, float]:
    told = await quota.Usage(quota_pb2.UsageRequest(account_id="id-anna"))
    return {limit.name: limit.used for limit in told.limits}


async def test_reserve_commit_refund(quota: QuotaServiceAsyncStub) -> None:
    quoted = await quota.Quote(quota_pb2.QuoteRequest(account_id="id-anna", amounts=FILE))
    assert quoted.allowed
    first = await quota.Reserve(reserve("k1"))
    again = await quota.Reserve(reserve("k1"))
    assert first.reservation_id == again.reservation_id
    assert await used(quota) == {
        "uploads_per_day": 1,
        "stored_bytes": 1000,
        "analysed_audio_s_per_month": 60,
        "file_bytes": 0,
    }
    real = quota_pb2.Amounts(uploads=1, stored_bytes=1000, analysed_audio_s=61.25)
    for _ in range(2):
        await quota.Commit(
            quota_pb2.CommitRequest(reservation_id=first.reservation_id, amounts=real)
        )
    assert (await used(quota))["analysed_audio_s_per_month"] == 61.25
    for _ in range(2):
        await quota.Refund(quota_pb2.RefundRequest(reservation_id=first.reservation_id))
    assert set((await used(quota)).values()) == {0.0}


async def test_a_refusal_names_the_limits(quota: QuotaServiceAsyncStub) -> None:
    big = quota_pb2.Amounts(uploads=1, stored_bytes=101 * 1024**2)
    quoted = await quota.Quote(quota_pb2.QuoteRequest(account_id="id-anna", amounts=big))
    assert (quoted.allowed, list(quoted.violated_limits)) == (False, ["file_bytes"])
    with pytest.raises(RemoteError) as refused:
        await quota.Reserve(reserve("k1", big))
    assert refused.value.error_kind is Kind.EXHAUSTED
    assert refused.value.error_code == "quota_exceeded"
    assert refused.value.members["violated_limits"] == ["file_bytes"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (quota_pb2.ReserveRequest(account_id="nobody", idempotency_key="k"), "account_not_found"),
        (quota_pb2.ReserveRequest(idempotency_key="k"), "account_not_found"),
        (quota_pb2.ReserveRequest(account_id="id-anna"), "amount_invalid"),
        (reserve("k", quota_pb2.Amounts(stored_bytes=2**64 - 1)), "amount_invalid"),
        (reserve("k", quota_pb2.Amounts(analysed_audio_s=float("nan"))), "amount_invalid"),
    ],
)
async def test_nonsense_is_refused(
    quota: QuotaServiceAsyncStub, request_: quota_pb2.ReserveRequest, code: str
) -> None:
    with pytest.raises(RemoteError) as refused:
        await quota.Reserve(request_)
    assert refused.value.error_code == code


async def test_parallel_reservations_over_the_wire(quota: QuotaServiceAsyncStub) -> None:
    async def one(number: int) -> bool:
        try:
            await quota.Reserve(reserve(f"k{number}", quota_pb2.Amounts(uploads=1)))
        except RemoteError as refused:
            if refused.error_code != "quota_exceeded":
                raise
            return False
        return True

    outcomes = await asyncio.gather(*(one(number) for number in range(80)))
    assert sum(outcomes) == 50
    assert (await used(quota))["uploads_per_day"] == 50


async def test_limits_of_the_seeded_table_over_the_wire(served: Served) -> None:
    stub = RateLimitServiceStub(served.channel)

    async def ask(**entries: str) -> rls_pb2.RateLimitResponse:
        request = rls_pb2.RateLimitRequest(domain="tonearm")
        descriptor = request.descriptors.add()
        for key, value in entries.items():
            descriptor.entries.add(key=key, value=value)
        return await stub.ShouldRateLimit(request)

    async def count(n: int, **entries: str) -> int:
        answers = await asyncio.gather(*(ask(**entries) for _ in range(n)))
        return sum(answer.overall_code == rls_pb2.RateLimitResponse.OK for answer in answers)

    # A second may pass while they are counted, and gives one more.
    assert 60 <= await count(80, remote_address="203.0.113.1") <= 62
    assert 60 <= await count(80, account="anna", route="audio") <= 62
    assert 10 <= await count(30, remote_address="203.0.113.2", route="login") <= 11
    assert 5 <= await count(30, remote_address="203.0.113.3", route="register") <= 6
    assert 20 <= await count(40, account="bert", route="upload") <= 21
    assert await count(80, remote_address="203.0.113.4", bearer="true") == 80


async def test_an_ended_session_is_marked_at_the_gateway(parts: Parts, served: Served) -> None:
    stub = RateLimitServiceStub(served.channel)

    async def told(key: str) -> dict[str, object]:
        request = rls_pb2.RateLimitRequest(domain="tonearm")
        entries = request.descriptors.add().entries
        entries.add(key="account", value="id-anna")
        entries.add(key="session", value=key)
        answer = await stub.ShouldRateLimit(request)
        return json_format.MessageToDict(answer.dynamic_metadata)

    async with parts.begin() as tx:
        await tx.accounts.add(account())
        await tx.sessions.add(session("s1", at=parts.clock.now()), token_hash=b"1" * 32)
        await tx.sessions.add(session("s2", at=parts.clock.now()), token_hash=b"2" * 32)
    assert await told("s1") == {}
    caller = Caller(account_id="id-anna", session_id="s1")
    await log_out(caller, begin=parts.begin, clock=parts.clock)
    async with asyncio.timeout(10):
        while await told("s1") != {"session": "ended"}:
            await asyncio.sleep(0.02)
    assert await told("s2") == {}


async def test_health_is_told_per_service(served: Served) -> None:
    stub = health_pb2_grpc.HealthStub(served.channel)
    for name in ("", "tonearm.quota.v1.QuotaService", "flagd.evaluation.v2.Service"):
        told = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert told.status == health_pb2.HealthCheckResponse.SERVING
