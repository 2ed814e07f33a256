"""The event stream door: `/v1/events`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from tonearm_kit.http import problems
from tonearm_kit.tokens import Caller, Principal, current_caller
from tonearm_notify.domain import channels, sse
from tonearm_notify.domain.errors import (
    ChannelDenied,
    StreamDenied,
    TooManyChannels,
    TooManyConnections,
)
from tonearm_notify.usecases.ports import Identity

Open = Callable[[Identity, Sequence[str], str], Awaitable[AsyncIterator[str]]]
_CHANNELS_MAX = 16
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Tickets(Protocol):
    """Where tickets are kept."""

    async def issue(self, identity: Identity) -> tuple[str, datetime]:
        """Return a new ticket and when it ends."""
        ...

    async def find(self, ticket: str) -> Identity | None:
        """Return whose ticket this is."""
        ...


class TicketView(BaseModel):
    """A ticket for one's own event streams, as a query parameter."""

    ticket: str = Field(description="Value of the query parameter `ticket`.")
    expires_at: datetime = Field(description="End of the ticket and of its streams.")


def to_identity(principal: Principal) -> Identity:
    """Return who a token belongs to, as pushes know it."""
    return Identity(principal.account_id, principal.session_id, principal.expires_at.timestamp())


def routes(*, open_stream: Open, tickets: Tickets) -> APIRouter:
    """Return the routes of event streams."""
    router = APIRouter(prefix="/v1/events", tags=["events"])

    @router.post("/tickets", status_code=201)
    async def post_ticket(caller: Caller) -> TicketView:
        """Get a ticket, for readers that cannot send an Authorization header."""
        ticket, expires_at = await tickets.issue(to_identity(caller))
        return TicketView(ticket=ticket, expires_at=expires_at)

    @router.get(
        "",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "Publications."},
            **problems(ChannelDenied, StreamDenied, TooManyChannels, TooManyConnections),
        },
    )
    async def get_events(
        request: Request,
        channel: Annotated[list[str] | None, Query(description="Channels to follow.")] = None,
        ticket: Annotated[str | None, Query(max_length=128)] = None,
        last_event_id: Annotated[
            str | None, Header(max_length=sse.CURSOR_LENGTH_MAX, description="Where to go on.")
        ] = None,
        cursor: Annotated[str | None, Query(max_length=sse.CURSOR_LENGTH_MAX)] = None,
    ) -> StreamingResponse:
        """Follow channels as server-sent events; by default the account's own channel.

        Each event's data is a CloudEvent. A reconnect with `Last-Event-ID` goes on without a
        gap, or starts with an event `reset` where that cannot be.
        """
        if ticket is not None:
            found = await tickets.find(ticket)
            if found is None:
                raise StreamDenied
            identity = found
        else:
            identity = to_identity(await current_caller(request))
        names = sorted(set(channel or [channels.account(identity.account_id)]))
        if len(names) > _CHANNELS_MAX:
            raise TooManyChannels(channels_max=_CHANNELS_MAX)
        blocks = await open_stream(identity, names, last_event_id or cursor or "")
        return StreamingResponse(blocks, media_type="text/event-stream", headers=_HEADERS)

    return router
