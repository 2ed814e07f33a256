"""Flags and quota from auth over gRPC. In doubt the answer is no: a 503, never a free pass."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import grpc.aio
from google.protobuf.struct_pb2 import Struct

from tonearm_contracts.rpc.flagd.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from tonearm_contracts.rpc.quota.v1 import quota_pb2, quota_pb2_grpc
from tonearm_ingest.domain.errors import (
    AccountGone,
    EntitlementsUnavailable,
    FileTooLarge,
    QuotaExceeded,
)
from tonearm_ingest.usecases.ports import Caller, Reserve
from tonearm_kit.errors import AppError, Kind

T = TypeVar("T")

FILE_LIMIT = "file_bytes"


class GrpcEntitlements:
    """Port `Entitlements`.

    The channel brings the deadline, retries of idempotent calls and typed errors.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, reservation_ttl_s: int, retry_after_s: int
    ) -> None:
        self._flags = evaluation_pb2_grpc.ServiceStub(channel)
        self._quota = quota_pb2_grpc.QuotaServiceStub(channel)
        self._reservation_ttl_s = reservation_ttl_s
        self._retry_after_s = retry_after_s

    async def flags(self, caller: Caller) -> frozenset[str]:
        """Resolve all flags in one call; a disabled one is absent from the answer, so off."""
        context = Struct()
        context.update(
            {
                "targetingKey": caller.account_id,
                "plan": caller.plan,
                "beta": caller.is_beta,
            }
        )
        response = await self._ask(
            self._flags.ResolveAll(evaluation_pb2.ResolveAllRequest(context=context))
        )
        return frozenset(
            key
            for key, flag in response.flags.items()
            if flag.WhichOneof("value") == "bool_value" and flag.bool_value
        )

    async def size_bytes_max(self, caller: Caller, *, size_bytes: int) -> int | None:
        """Ask for a quote of one upload of this size."""
        response = await self._ask(
            self._quota.Quote(
                quota_pb2.QuoteRequest(
                    account_id=caller.account_id,
                    amounts=quota_pb2.Amounts(uploads=1, stored_bytes=size_bytes),
                )
            )
        )
        file_limits = [int(item.limit) for item in response.limits if item.name == FILE_LIMIT]
        violated = [name for name in response.violated_limits if name != FILE_LIMIT]
        if violated:
            raise QuotaExceeded(violated_limits=list(violated))
        if not response.allowed:
            raise FileTooLarge(size_bytes_max=min(file_limits, default=0))
        return min(file_limits, default=None)

    async def reserve(self, wanted: Reserve) -> str:
        """Reserve under the recording's id: asking again gives the same reservation."""
        response = await self._ask(
            self._quota.Reserve(
                quota_pb2.ReserveRequest(
                    account_id=wanted.account_id,
                    idempotency_key=wanted.audio_id,
                    amounts=quota_pb2.Amounts(
                        uploads=1,
                        stored_bytes=wanted.size_bytes,
                        analysed_audio_s=wanted.duration_s,
                    ),
                    ttl_s=self._reservation_ttl_s,
                )
            )
        )
        return response.reservation_id

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except AppError as error:
            if error.error_kind is Kind.EXHAUSTED:
                raise QuotaExceeded(error.detail, **dict(error.members)) from error
            if error.error_kind is Kind.TOO_LARGE:
                raise FileTooLarge(error.detail, **dict(error.members)) from error
            if error.error_kind is Kind.NOT_FOUND:
                raise AccountGone from error
            raise EntitlementsUnavailable(retry_after_s=self._retry_after_s) from error
        except grpc.aio.AioRpcError as error:
            raise EntitlementsUnavailable(retry_after_s=self._retry_after_s) from error
