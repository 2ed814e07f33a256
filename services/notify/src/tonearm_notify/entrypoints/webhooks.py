"""`/v1/webhooks`: addresses that events are sent to."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from tonearm_kit.http import problems
from tonearm_kit.idempotency import (
    KEY_DESCRIBED,
    KEY_REFUSALS,
    Claim,
    IdempotencyStore,
    Reply,
    once,
)
from tonearm_kit.tokens import Caller
from tonearm_notify.domain.errors import (
    DeliveryNotFound,
    InvalidCursor,
    TooManyWebhooks,
    WebhookAddressRefused,
    WebhookIsOff,
    WebhookNotFound,
)
from tonearm_notify.domain.webhooks import URL_LENGTH_MAX
from tonearm_notify.usecases.webhook_ports import Attempt, Delivery, Webhook
from tonearm_notify.usecases.webhooks import Webhooks

_Type = Annotated[str, Field(pattern=r"^tonearm\.[a-z]+\.[a-z_]+\.v[0-9]+$", max_length=128)]
_Url = Annotated[str, Field(max_length=URL_LENGTH_MAX, description="https, public.")]
_Description = Annotated[str, Field(max_length=256)]


class NewWebhook(BaseModel):
    """What a webhook is made from."""

    url: _Url
    event_types: list[_Type] = Field(
        [], max_length=50, description="Empty: all but the progress of analyses."
    )
    description: _Description = ""


class WebhookChange(BaseModel):
    """What may be changed; fields left out stay as they are."""

    url: _Url | None = None
    event_types: list[_Type] | None = Field(None, max_length=50)
    description: _Description | None = None
    status: Literal["active", "off"] | None = None


class WebhookView(BaseModel):
    """A webhook."""

    id: str
    url: str
    description: str
    event_types: list[str]
    status: Literal["active", "off", "failed"]
    status_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        """Return the view of a webhook, without its secret."""
        return cls.model_validate({**_fields(webhook), "id": webhook.webhook_id})


class WebhookWithSecret(WebhookView):
    """A webhook with the secret that its messages are signed with; shown only now."""

    secret: str = Field(description="Starts with `whsec_`.")


class WebhooksView(BaseModel):
    """All webhooks of an account."""

    items: list[WebhookView]


class DeliveryView(BaseModel):
    """One event on its way to a webhook."""

    id: int
    event_id: str
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """Return the view of a delivery."""
        pending = delivery.status == "pending"
        return cls.model_validate(
            {
                **_fields(delivery),
                "id": delivery.delivery_id,
                "next_attempt_at": delivery.next_attempt_at if pending else None,
            }
        )


class DeliveriesView(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryView]
    next_cursor: str | None


class AttemptView(BaseModel):
    """One try."""

    attempted_at: datetime | None
    http_status: int | None
    error: str | None
    duration_s: float
    response: str | None = Field(description="Start of the receiver's answer.")


class AttemptsView(BaseModel):
    """The log of one delivery, oldest first."""

    items: list[AttemptView]


class Replay(BaseModel):
    """What to send again."""

    since: datetime = Field(description="All that failed and was made since then.")


class Replayed(BaseModel):
    """How many deliveries are due again."""

    count: int


class Tested(BaseModel):
    """The delivery of a test event."""

    delivery_id: int


def _fields(thing: Webhook | Delivery) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in type(thing).__slots__}


def _with_secret(webhook: Webhook) -> WebhookWithSecret:
    shown = WebhookView.of(webhook).model_dump()
    return WebhookWithSecret.model_validate({**shown, "secret": webhook.secret})


def routes(
    webhooks: Webhooks, *, idempotency: IdempotencyStore, new_id: Callable[[], str]
) -> APIRouter:
    """Return the routes of webhooks."""
    router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
    _manage(router, webhooks, idempotency)
    _deliveries(router, webhooks, new_id)
    return router


def _manage(router: APIRouter, webhooks: Webhooks, idempotency: IdempotencyStore) -> None:
    @router.post(
        "",
        status_code=201,
        response_model=WebhookWithSecret,
        openapi_extra=KEY_DESCRIBED,
        responses=problems(TooManyWebhooks, WebhookAddressRefused, *KEY_REFUSALS),
    )
    async def post_webhook(caller: Caller, request: Request, new: NewWebhook) -> Response:
        """Make a webhook. Messages follow Standard Webhooks."""

        async def work(_: Claim | None) -> Reply:
            made = await webhooks.create(
                caller.account_id,
                url=new.url,
                description=new.description,
                event_types=new.event_types,
            )
            headers = {"Location": f"/v1/webhooks/{made.webhook_id}"}
            return Reply(201, _with_secret(made).model_dump(mode="json"), headers)

        payload = new.model_dump(mode="json")
        return await once(request, idempotency, work, caller=caller.account_id, payload=payload)

    @router.get("")
    async def get_webhooks(caller: Caller) -> WebhooksView:
        """List the account's webhooks."""
        found = await webhooks.all(caller.account_id)
        return WebhooksView(items=[WebhookView.of(webhook) for webhook in found])

    @router.get("/{webhook_id}", responses=problems(WebhookNotFound))
    async def get_webhook(caller: Caller, webhook_id: str) -> WebhookView:
        """Show a webhook."""
        return WebhookView.of(await webhooks.get(caller.account_id, webhook_id))

    @router.patch("/{webhook_id}", responses=problems(WebhookNotFound, WebhookAddressRefused))
    async def patch_webhook(caller: Caller, webhook_id: str, change: WebhookChange) -> WebhookView:
        """Change a webhook; `status: active` also forgives its failures."""
        changes = change.model_dump(exclude_none=True)
        return WebhookView.of(await webhooks.change(caller.account_id, webhook_id, **changes))

    @router.delete("/{webhook_id}", status_code=204, responses=problems(WebhookNotFound))
    async def delete_webhook(caller: Caller, webhook_id: str) -> Response:
        """Delete a webhook, its deliveries and their log."""
        await webhooks.delete(caller.account_id, webhook_id)
        return Response(status_code=204)

    @router.post("/{webhook_id}/secret/rotate", responses=problems(WebhookNotFound))
    async def post_rotate(caller: Caller, webhook_id: str) -> WebhookWithSecret:
        """Give a webhook a new secret; for a day messages carry both signatures."""
        return _with_secret(await webhooks.rotate(caller.account_id, webhook_id))


def _deliveries(router: APIRouter, webhooks: Webhooks, new_id: Callable[[], str]) -> None:
    @router.get("/{webhook_id}/deliveries", responses=problems(WebhookNotFound, InvalidCursor))
    async def get_deliveries(
        caller: Caller,
        webhook_id: str,
        cursor: Annotated[str | None, Query(max_length=19)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        status: Annotated[Literal["pending", "delivered", "failed"] | None, Query()] = None,
    ) -> DeliveriesView:
        """List deliveries, newest first."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise InvalidCursor
        found = await webhooks.deliveries(
            caller.account_id,
            webhook_id,
            before=int(cursor) if cursor else None,
            limit=limit + 1,
            status=status,
        )
        more = len(found) > limit
        return DeliveriesView(
            items=[DeliveryView.of(delivery) for delivery in found[:limit]],
            next_cursor=str(found[limit - 1].delivery_id) if more else None,
        )

    @router.get(
        "/{webhook_id}/deliveries/{delivery_id}/attempts",
        responses=problems(WebhookNotFound, DeliveryNotFound),
    )
    async def get_attempts(caller: Caller, webhook_id: str, delivery_id: int) -> AttemptsView:
        """Show the log of one delivery."""
        found = await webhooks.attempts(caller.account_id, webhook_id, delivery_id)
        return AttemptsView(items=[_to_view(attempt) for attempt in found])

    @router.post(
        "/{webhook_id}/deliveries/{delivery_id}/replay",
        status_code=202,
        responses=problems(WebhookNotFound, DeliveryNotFound, WebhookIsOff),
    )
    async def post_replay_one(caller: Caller, webhook_id: str, delivery_id: int) -> Replayed:
        """Send one delivery again, whatever became of it."""
        count = await webhooks.replay(caller.account_id, webhook_id, delivery_id=delivery_id)
        return Replayed(count=count)

    @router.post(
        "/{webhook_id}/replay", status_code=202, responses=problems(WebhookNotFound, WebhookIsOff)
    )
    async def post_replay(caller: Caller, webhook_id: str, replay: Replay) -> Replayed:
        """Send everything again that failed since a time."""
        count = await webhooks.replay(caller.account_id, webhook_id, since=replay.since)
        return Replayed(count=count)

    @router.post(
        "/{webhook_id}/test", status_code=202, responses=problems(WebhookNotFound, WebhookIsOff)
    )
    async def post_test(caller: Caller, webhook_id: str) -> Tested:
        """Send a test event."""
        event_id = new_id()
        body = json.dumps(
            {
                "specversion": "1.0",
                "id": event_id,
                "source": "/tonearm/notify",
                "type": "tonearm.webhook.tested.v1",
                "subject": webhook_id,
                "datacontenttype": "application/json",
                "data": {"webhook_id": webhook_id},
            }
        )
        delivery_id = await webhooks.test(
            caller.account_id, webhook_id, body=body, event_id=event_id
        )
        return Tested(delivery_id=delivery_id)


def _to_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempted_at=attempt.attempted_at,
        http_status=attempt.http_status,
        error=attempt.error,
        duration_s=attempt.duration_s,
        response=attempt.response,
    )
