"""flagd's evaluation protocol, versions 1 and 2, as unmodified OpenFeature clients speak it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.struct_pb2 import Struct

from tonearm_auth.domain.flag import Evaluation
from tonearm_auth.entrypoints import measures
from tonearm_auth.usecases.evaluate_flags import EVERY_FLAG, Context
from tonearm_contracts.rpc.flagd.evaluation.v1 import evaluation_pb2 as v1
from tonearm_contracts.rpc.flagd.evaluation.v1 import evaluation_pb2_grpc as v1_grpc
from tonearm_contracts.rpc.flagd.evaluation.v2 import evaluation_pb2 as v2
from tonearm_contracts.rpc.flagd.evaluation.v2 import evaluation_pb2_grpc as v2_grpc
from tonearm_kit.errors import AppError, Kind

HEALTH_NAMES = ("flagd.evaluation.v1.Service", "flagd.evaluation.v2.Service")

EvaluateOne = Callable[..., Awaitable[Evaluation]]
"""`evaluate_flag(key, *, context)`."""
EvaluateAll = Callable[..., Awaitable[Sequence[Evaluation]]]
"""`evaluate_flags(*, context)`."""
Subscribe = Callable[[], AbstractContextManager[asyncio.Queue[str]]]
ListKeys = Callable[[], Awaitable[Sequence[str]]]

R = TypeVar("R")


class TypeMismatch(AppError):
    """Every flag here is boolean; ask for a boolean."""

    code, kind = "type_mismatch", Kind.INVALID


class FlagAnswers:
    """What both versions share: evaluation, and the stream of changes."""

    def __init__(
        self,
        *,
        evaluate_one: EvaluateOne,
        evaluate_all: EvaluateAll,
        list_keys: ListKeys,
        subscribe: Subscribe,
        stop: asyncio.Event,
        keep_alive_s: float,
        stream_s_max: float,
    ) -> None:
        self.evaluate_one, self.evaluate_all = evaluate_one, evaluate_all
        self._list_keys, self._subscribe, self._stop = list_keys, subscribe, stop
        self._keep_alive_s, self._stream_s_max = keep_alive_s, stream_s_max

    async def one(self, key: str, *, sent: Struct) -> Evaluation:
        """Return the answer of one flag. Raise `FlagNotFound`."""
        found = await self.evaluate_one(key, context=to_context(sent))
        told = {"feature_flag.key": key, "feature_flag.result.reason": found.reason.lower()}
        measures.EVALUATIONS.add(1, told)
        return found

    async def changes(self) -> AsyncIterator[tuple[str, Struct | None]]:
        """Yield (type, data) of what an event stream tells, until the service stops.

        The first is `provider_ready`. A stream ends after `stream_s_max` seconds, so that
        clients spread over replicas again; they reconnect by themselves.
        """
        ends_at = asyncio.get_running_loop().time() + self._stream_s_max
        with self._subscribe() as queue:
            yield "provider_ready", None
            while not self._stop.is_set() and asyncio.get_running_loop().time() < ends_at:
                key = await self._next(queue)
                if key is None:
                    yield "keep_alive", None
                elif not self._stop.is_set():
                    keys = await self._list_keys() if key == EVERY_FLAG else [key]
                    yield "configuration_change", to_struct({"flags": {each: {} for each in keys}})

    async def _next(self, queue: asyncio.Queue[str]) -> str | None:
        """Return the next key, or None after the keep-alive time or when stopping."""
        async with asyncio.TaskGroup() as group:
            getting = group.create_task(queue.get())
            stopping = group.create_task(self._stop.wait())
            await asyncio.wait(
                {getting, stopping},
                timeout=self._keep_alive_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            key = getting.result() if getting.done() else None
            getting.cancel()
            stopping.cancel()
        return key


class FlagdV1(v1_grpc.ServiceServicer):
    """Version 1: a disabled flag has no variant, and false where a value must be."""

    def __init__(self, answers: FlagAnswers) -> None:
        self._answers = answers

    async def ResolveAll(
        self, request: v1.ResolveAllRequest, context: object
    ) -> v1.ResolveAllResponse:
        """Answer every flag; disabled ones are left out, as flagd does."""
        found = await self._answers.evaluate_all(context=to_context(request.context))
        flags = {
            each.key: v1.AnyFlag(
                reason=each.reason, variant=each.variant or "", bool_value=each.value
            )
            for each in found
            if each.value is not None
        }
        return v1.ResolveAllResponse(flags=flags)

    async def ResolveBoolean(
        self, request: v1.ResolveBooleanRequest, context: object
    ) -> v1.ResolveBooleanResponse:
        """Answer one flag."""
        found = await self._answers.one(request.flag_key, sent=request.context)
        return v1.ResolveBooleanResponse(
            value=bool(found.value), reason=found.reason, variant=found.variant or ""
        )

    async def ResolveString(
        self, request: v1.ResolveStringRequest, context: object
    ) -> v1.ResolveStringResponse:
        """Refuse: no flag is a string."""
        return await _mismatch(self._answers, request.flag_key)

    async def ResolveFloat(
        self, request: v1.ResolveFloatRequest, context: object
    ) -> v1.ResolveFloatResponse:
        """Refuse: no flag is a number."""
        return await _mismatch(self._answers, request.flag_key)

    async def ResolveInt(
        self, request: v1.ResolveIntRequest, context: object
    ) -> v1.ResolveIntResponse:
        """Refuse: no flag is a number."""
        return await _mismatch(self._answers, request.flag_key)

    async def ResolveObject(
        self, request: v1.ResolveObjectRequest, context: object
    ) -> v1.ResolveObjectResponse:
        """Refuse: no flag is an object."""
        return await _mismatch(self._answers, request.flag_key)

    async def EventStream(
        self, request: v1.EventStreamRequest, context: Any
    ) -> AsyncIterator[v1.EventStreamResponse]:
        """Tell which flags change."""
        async for kind, data in self._answers.changes():
            yield v1.EventStreamResponse(type=kind, data=data)


class FlagdV2(v2_grpc.ServiceServicer):
    """Version 2: a disabled flag has neither value nor variant."""

    def __init__(self, answers: FlagAnswers) -> None:
        self._answers = answers

    async def ResolveBoolean(
        self, request: v2.ResolveBooleanRequest, context: object
    ) -> v2.ResolveBooleanResponse:
        """Answer one flag."""
        found = await self._answers.one(request.flag_key, sent=request.context)
        return v2.ResolveBooleanResponse(
            value=found.value, reason=found.reason, variant=found.variant
        )

    async def ResolveString(
        self, request: v2.ResolveStringRequest, context: object
    ) -> v2.ResolveStringResponse:
        """Refuse: no flag is a string."""
        return await _mismatch(self._answers, request.flag_key)

    async def ResolveFloat(
        self, request: v2.ResolveFloatRequest, context: object
    ) -> v2.ResolveFloatResponse:
        """Refuse: no flag is a number."""
        return await _mismatch(self._answers, request.flag_key)

    async def ResolveInt(
        self, request: v2.ResolveIntRequest, context: object
    ) -> v2.ResolveIntResponse:
        """Refuse: no flag is a number."""
        return await _mismatch(self._answers, request.flag_key)

    async def ResolveObject(
        self, request: v2.ResolveObjectRequest, context: object
    ) -> v2.ResolveObjectResponse:
        """Refuse: no flag is an object."""
        return await _mismatch(self._answers, request.flag_key)

    async def EventStream(
        self, request: v2.EventStreamRequest, context: Any
    ) -> AsyncIterator[v2.EventStreamResponse]:
        """Tell which flags change."""
        async for kind, data in self._answers.changes():
            yield v2.EventStreamResponse(type=kind, data=data)


def register_both(answers: FlagAnswers) -> list[Callable[[grpc.aio.Server], None]]:
    """Return what adds both versions to a server."""
    return [
        partial(v1_grpc.add_ServiceServicer_to_server, FlagdV1(answers)),
        partial(v2_grpc.add_ServiceServicer_to_server, FlagdV2(answers)),
    ]


def to_context(sent: Struct) -> Context:
    """Return what a client's evaluation context says; what has another type is ignored."""
    told = {name: _scalar(sent, name) for name in ("targetingKey", "plan", "beta", "is_beta")}
    key = told["targetingKey"]
    return Context(
        targeting_key=key if isinstance(key, str) and key else None,
        is_premium=told["plan"] == "premium",
        is_beta=told["beta"] is True or told["is_beta"] is True,
    )


def to_struct(value: dict[str, Any]) -> Struct:
    """Return a JSON object as the protocol's `Struct`."""
    struct = Struct()
    struct.update(value)
    return struct


def _scalar(sent: Struct, name: str) -> str | bool | float | None:
    if name not in sent.fields:
        return None
    field = sent.fields[name]
    kind = field.WhichOneof("kind")
    if kind == "string_value":
        return field.string_value
    if kind == "bool_value":
        return field.bool_value
    return None


async def _mismatch(answers: FlagAnswers, key: str) -> R:
    # An unknown flag is NOT_FOUND whatever type was asked for.
    await answers.evaluate_one(key, context=Context(targeting_key=None))
    raise TypeMismatch(key=key)
