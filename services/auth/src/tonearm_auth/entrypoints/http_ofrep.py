"""OpenFeature's remote evaluation protocol (OFREP 0.3) for clients behind the gateway.

Errors of the protocol have its own shape; a missing or wrong token is a problem document, as
everywhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tonearm_auth.domain import errors
from tonearm_auth.domain.account import Account
from tonearm_auth.domain.flag import Evaluation
from tonearm_auth.entrypoints.http_auth import to_caller
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.evaluate_flags import Context
from tonearm_kit import tokens
from tonearm_kit.http import problems

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

ErrorCode = Literal["TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND"]

EvaluateOne = Callable[..., Awaitable[Evaluation]]
EvaluateAll = Callable[..., Awaitable[Sequence[Evaluation]]]
GetMe = Callable[[Caller], Awaitable[Account]]


class EvaluationBody(BaseModel):
    """Whom to evaluate for. `targetingKey` must be the caller's own account, or be left to a
    superuser; other members are carried along and change the ETag."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    context: dict[str, JsonValue] = Field(default_factory=dict, max_length=50)


class EvaluationSuccess(BaseModel):
    """One answer. Without a `value` the client's own default holds."""

    key: str
    reason: str
    variant: str
    value: bool | None = None


class EvaluationFailure(BaseModel):
    """Why there is no answer."""

    key: str | None = None
    errorCode: ErrorCode
    errorDetails: str


class BulkSuccess(BaseModel):
    """Every answer."""

    flags: list[EvaluationSuccess]


class _Refused(Exception):
    def __init__(self, code: ErrorCode, details: str) -> None:
        self.code, self.details = code, details


def routes(*, evaluate_one: EvaluateOne, evaluate_all: EvaluateAll, get_me: GetMe) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/ofrep/v1", tags=["flags"])
    # The protocol's own failure, or a problem document for what is no request at all.
    told: dict[str, Any] = {"model": EvaluationFailure, "content": _PROBLEM}
    refused: dict[int | str, dict[str, Any]] = {
        400: told,
        404: told,
        **problems(errors.SessionEnded, errors.ForeignTargetingKey),
    }

    @router.post("/evaluate/flags/{key}", response_model=EvaluationSuccess, responses=refused)
    async def post_flag(
        caller: tokens.Caller,
        body: EvaluationBody,
        key: Annotated[str, Path(min_length=1, max_length=100)],
    ) -> Response:
        """Evaluate one flag."""
        try:
            context = _to_context(body, account=await get_me(to_caller(caller)))
            return JSONResponse(_told(await evaluate_one(key, context=context)))
        except _Refused as refusal:
            return _failure(400, refusal.code, refusal.details, key=key)
        except errors.FlagNotFound as error:
            return _failure(404, "FLAG_NOT_FOUND", error.detail, key=key)

    @router.post(
        "/evaluate/flags",
        response_model=BulkSuccess,
        responses={**refused, 304: {"description": "Nothing changed for this context."}},
    )
    async def post_flags(
        caller: tokens.Caller,
        body: EvaluationBody,
        if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
    ) -> Response:
        """Evaluate every flag. The ETag covers the answers and the whole context."""
        try:
            context = _to_context(body, account=await get_me(to_caller(caller)))
        except _Refused as refusal:
            return _failure(400, refusal.code, refusal.details)
        told: dict[str, JsonValue] = {
            "flags": [_told(each) for each in await evaluate_all(context=context)]
        }
        etag = _etag(told, body.context)
        headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        if etag in _tags(if_none_match):
            return Response(status_code=304, headers=headers)
        return JSONResponse(told, headers=headers)

    return router


def _to_context(body: EvaluationBody, *, account: Account) -> Context:
    """Return the context to evaluate. Raise `_Refused`, or `ForeignTargetingKey`.

    Plan and beta mark come from the account's row: what a client claims of itself is ignored.
    """
    key = body.context.get("targetingKey")
    if key is None or key == "":
        raise _Refused("TARGETING_KEY_MISSING", "The context has no targetingKey.")
    if not isinstance(key, str):
        raise _Refused("INVALID_CONTEXT", "The targetingKey is not a string.")
    if key != account.id and not account.is_superuser:
        raise errors.ForeignTargetingKey
    return Context(targeting_key=key)


def _told(found: Evaluation) -> dict[str, JsonValue]:
    """Return an answer; a disabled flag has no value, but clients expect some variant."""
    told: dict[str, JsonValue] = {
        "key": found.key,
        "reason": found.reason,
        "variant": found.variant or "off",
    }
    if found.value is not None:
        told["value"] = found.value
    return told


def _failure(status: int, code: ErrorCode, details: str, *, key: str | None = None) -> Response:
    body: dict[str, JsonValue] = {"errorCode": code, "errorDetails": details}
    if key is not None:
        body["key"] = key
    return JSONResponse(body, status_code=status)


def _etag(told: JsonValue, context: JsonValue) -> str:
    text = json.dumps([told, context], sort_keys=True, separators=(",", ":")).encode()
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def _tags(header: str | None) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in (header or "").split(",")}
