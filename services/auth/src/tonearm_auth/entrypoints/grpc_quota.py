"""`tonearm.quota.v1`: what other services ask before and after they use something up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from tonearm_auth.domain.errors import AccountNotFound, AmountInvalid
from tonearm_auth.domain.quota import Amounts, Reservation
from tonearm_auth.entrypoints.usage import UsageLine, to_lines
from tonearm_auth.usecases.reserve_quota import QuotaStanding, Reserve
from tonearm_contracts.rpc.quota.v1 import quota_pb2, quota_pb2_grpc

HEALTH_NAME = "tonearm.quota.v1.QuotaService"
_KEY_LENGTH_MAX = 255


class QuotaServicer(quota_pb2_grpc.QuotaServiceServicer):
    """Translates between the protocol and the use cases."""

    def __init__(
        self,
        *,
        quote: Callable[..., Awaitable[QuotaStanding]],
        reserve: Callable[[Reserve], Awaitable[Reservation]],
        commit: Callable[..., Awaitable[None]],
        refund: Callable[[str], Awaitable[None]],
        ttl_default_s: float,
        ttl_max_s: float,
    ) -> None:
        self._quote, self._reserve = quote, reserve
        self._commit, self._refund = commit, refund
        self._ttl_default_s, self._ttl_max_s = ttl_default_s, ttl_max_s

    async def Quote(
        self, request: quota_pb2.QuoteRequest, context: object
    ) -> quota_pb2.QuoteResponse:
        """Say whether the amounts would fit."""
        standing = await self._quote(request.account_id, amounts=_amounts(request.amounts))
        return quota_pb2.QuoteResponse(
            allowed=not standing.violated,
            violated_limits=list(standing.violated),
            limits=_limits(standing),
        )

    async def Reserve(
        self, request: quota_pb2.ReserveRequest, context: object
    ) -> quota_pb2.ReserveResponse:
        """Take the amounts until they are settled."""
        if not request.account_id:
            raise AccountNotFound
        if not 1 <= len(request.idempotency_key) <= _KEY_LENGTH_MAX:
            raise AmountInvalid("The idempotency key has 1 to 255 characters.")
        reservation = await self._reserve(
            Reserve(
                account_id=request.account_id,
                idempotency_key=request.idempotency_key,
                amounts=_amounts(request.amounts),
                ttl_s=min(request.ttl_s or self._ttl_default_s, self._ttl_max_s),
            )
        )
        return quota_pb2.ReserveResponse(
            reservation_id=reservation.id, expires_at=_timestamp(reservation.expires_at)
        )

    async def Commit(
        self, request: quota_pb2.CommitRequest, context: object
    ) -> quota_pb2.CommitResponse:
        """Make a reservation final."""
        real = _amounts(request.amounts) if request.HasField("amounts") else None
        await self._commit(request.reservation_id, amounts=real)
        return quota_pb2.CommitResponse()

    async def Refund(
        self, request: quota_pb2.RefundRequest, context: object
    ) -> quota_pb2.RefundResponse:
        """Give a reservation back."""
        await self._refund(request.reservation_id)
        return quota_pb2.RefundResponse()

    async def Usage(
        self, request: quota_pb2.UsageRequest, context: object
    ) -> quota_pb2.UsageResponse:
        """Say where an account stands."""
        standing = await self._quote(request.account_id)
        return quota_pb2.UsageResponse(plan=standing.plan, limits=_limits(standing))


def register(servicer: QuotaServicer) -> Callable[[grpc.aio.Server], None]:
    """Return what adds the servicer to a server."""
    return partial(quota_pb2_grpc.add_QuotaServiceServicer_to_server, servicer)


def _amounts(asked: quota_pb2.Amounts) -> Amounts:
    return Amounts.asked(
        uploads=asked.uploads,
        stored_bytes=asked.stored_bytes,
        analysed_audio_s=asked.analysed_audio_s,
    )


def _limits(standing: QuotaStanding) -> list[quota_pb2.Limit]:
    return [_limit(line) for line in to_lines(standing)]


def _limit(line: UsageLine) -> quota_pb2.Limit:
    limit = quota_pb2.Limit(name=line.name, limit=line.limit, used=line.used)
    if line.resets_at is not None:
        limit.resets_at.CopyFrom(_timestamp(line.resets_at))
    return limit


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
