"""`/v1/admin/notices`: what superusers tell everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tonearm_auth.domain import errors
from tonearm_auth.domain.notice import MESSAGE_CHARS_MAX, Notice, NoticeKind
from tonearm_auth.entrypoints.http_auth import to_caller
from tonearm_auth.entrypoints.views import NoticeView
from tonearm_auth.usecases.announce_notice import AnnounceNotice
from tonearm_auth.usecases.ports import Tx
from tonearm_kit import tokens
from tonearm_kit.http import problems
from tonearm_kit.idempotency import (
    KEY_DESCRIBED,
    KEY_REFUSALS,
    Claim,
    IdempotencyStore,
    Reply,
    once,
)


class NoticeBody(BaseModel):
    """What to say, and the time that it is about."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: NoticeKind
    message: Annotated[str, Field(min_length=1, max_length=MESSAGE_CHARS_MAX)]
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDoor:
    """The use case behind the route."""

    announce: Callable[..., Awaitable[Notice]]
    complete: Callable[[Tx, Claim, Reply], Awaitable[None]]
    """Stores the answer to an `Idempotency-Key` in the transaction of the work itself."""
    idempotency: IdempotencyStore


def routes(door: NoticeDoor) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/admin/notices", tags=["admin"])

    @router.post(
        "",
        status_code=201,
        response_model=NoticeView,
        openapi_extra=KEY_DESCRIBED,
        responses=problems(
            errors.SuperuserRequired,
            errors.SessionEnded,
            errors.NoticePeriodInvalid,
            *KEY_REFUSALS,
        ),
    )
    async def post_notice(caller: tokens.Caller, request: Request, body: NoticeBody) -> Response:
        """Tell everybody who listens on the channel `system`."""

        async def work(claim: Claim | None) -> Reply:
            async def recorded(tx: Tx, notice: Notice) -> None:
                if claim is not None:
                    await door.complete(tx, claim, _announced(notice))

            cmd = AnnounceNotice(**dict(body))
            return _announced(await door.announce(to_caller(caller), cmd, recorded=recorded))

        payload = body.model_dump(mode="json")
        return await once(
            request, door.idempotency, work, caller=caller.account_id, payload=payload
        )

    return router


def _announced(notice: Notice) -> Reply:
    return Reply(201, NoticeView.of(notice).model_dump(mode="json"))
