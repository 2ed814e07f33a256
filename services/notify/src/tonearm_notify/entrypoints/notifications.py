"""`/v1/notifications`: what happened, and what of it was read."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from tonearm_kit.http import problems
from tonearm_kit.tokens import Caller
from tonearm_notify.domain.errors import InvalidCursor
from tonearm_notify.usecases.notifications import Notification, Notifications

_ID = Annotated[str, Field(min_length=1, max_length=64)]


class NotificationView(BaseModel):
    """One notification."""

    id: str = Field(description="Id of the event.")
    type: str = Field(description="Type of the event.")
    audio_id: str | None
    time: datetime = Field(description="When it happened.")
    read_at: datetime | None = Field(description="When it was marked as read.")
    event: dict[str, Any] = Field(description="The event, as a CloudEvent.")

    @classmethod
    def of(cls, notification: Notification) -> Self:
        """Return the view of a notification."""
        return cls(
            id=notification.event_id,
            type=notification.type,
            audio_id=notification.audio_id,
            time=notification.event_at,
            read_at=notification.read_at,
            event=json.loads(notification.body),
        )


class NotificationsView(BaseModel):
    """A page of notifications, newest first."""

    items: list[NotificationView]
    next_cursor: str | None = Field(description="Give it back as `cursor` for older ones.")
    unread_count: int = Field(description="Unread notifications in all.")


class UnreadView(BaseModel):
    """What is still unread."""

    unread_count: int


class ReadMark(BaseModel):
    """What was read: some ids, or everything up to one."""

    ids: list[_ID] | None = Field(None, max_length=500)
    up_to: _ID | None = Field(None, description="This one and everything before it.")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.ids is None) == (self.up_to is None):
            raise ValueError("give either ids or up_to")
        return self


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise InvalidCursor
    return int(cursor)


def routes(notifications: Notifications) -> APIRouter:
    """Return the routes of notifications."""
    router = APIRouter(prefix="/v1/notifications", tags=["notifications"])

    @router.get("", responses=problems(InvalidCursor))
    async def get_notifications(
        caller: Caller,
        cursor: Annotated[str | None, Query(max_length=32)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        unread: Annotated[bool, Query(description="Only what is unread.")] = False,
    ) -> NotificationsView:
        """List what happened, newest first."""
        page = await notifications.load_page(
            caller.account_id, before=_before(cursor), limit=limit, unread_only=unread
        )
        return NotificationsView(
            items=[NotificationView.of(item) for item in page.items],
            next_cursor=None if page.next_before is None else str(page.next_before),
            unread_count=page.unread_count,
        )

    @router.post("/read")
    async def post_read(caller: Caller, mark: ReadMark) -> UnreadView:
        """Mark notifications as read; doing it twice changes nothing."""
        unread = await notifications.mark_read(
            caller.account_id, event_ids=mark.ids, up_to=mark.up_to
        )
        return UnreadView(unread_count=unread)

    return router
