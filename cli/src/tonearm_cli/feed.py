"""What happens to the account's recordings, live, over the WebSocket.

The protocol is Centrifugo's and the client the published one. Subscribe first, then start what
is to be watched: whatever happens from then on is delivered, also across reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler

from tonearm_cli.api import Api

CONNECT_S_MAX = 5.0
_EVENTS_KEPT_MAX = 10_000
_PAST_EVENTS_MAX = 100

Event = dict[str, Any]
"""A CloudEvent in structured JSON."""


class Feed:
    """Events in order, each once. `is_live` is False where the server's push cannot be had."""

    def __init__(self) -> None:
        self.is_live = False
        self._events: asyncio.Queue[Event] = asyncio.Queue(_EVENTS_KEPT_MAX)
        self._seen: set[str] = set()
        self._held: list[Event] | None = None

    async def next(self, audio_id: str, *, timeout_s: float) -> Event | None:
        """Return the next event of the recording, None when none came within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    event = await self._events.get()
                    if event.get("data", {}).get("audio_id") == audio_id:
                        return event
        except TimeoutError:
            return None

    async def on_publication(self, context: Any) -> None:
        """Take what is published now; wait with it while the past is still being read."""
        if self._held is None:
            self._take(context.pub.data)
        else:
            self._held.append(context.pub.data)

    async def take_past(self, subscription: Any) -> None:
        """Put what was published before we came in front of what is published now."""
        self._held = []
        try:
            history = await subscription.history(limit=_PAST_EVENTS_MAX)
            for publication in history.publications:
                self._take(publication.data)
        finally:
            held, self._held = self._held, None
            for event in held:
                self._take(event)

    def _take(self, event: object) -> None:
        """Keep an event that is new; a reconnect may bring the same one again."""
        if not isinstance(event, dict) or event.get("id") in self._seen:
            return
        self._seen.add(str(event.get("id")))
        if not self._events.full():
            self._events.put_nowait(event)


@asynccontextmanager
async def open_feed(api: Api, *, audio_id: str | None = None) -> AsyncIterator[Feed]:
    """Open the feed: of one recording with what it has already been through, or of the account.

    Leaving closes the socket. A server without push, or one that does not answer in time, gives
    a feed that is not live; the caller then asks for the state instead.
    """
    feed = Feed()
    credentials = await api.credentials()
    address = api.server.replace("http", "ws", 1).rstrip("/") + "/connection/websocket"

    async def token() -> str:
        return (await api.credentials()).access_token

    client = Client(address, ClientEventHandler(), get_token=token, name="tonearm-cli")
    handler = SubscriptionEventHandler()
    handler.on_publication = feed.on_publication
    channel = f"audio:{audio_id}" if audio_id else f"account:#{credentials.account_id}"
    subscription = client.new_subscription(channel, handler, recoverable=True)
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            await client.connect()
            await subscription.subscribe()
            await subscription.ready()
            feed.is_live = True
            if audio_id:
                await feed.take_past(subscription)
    except Exception:  # noqa: BLE001 - whatever the push lacks, asking for the state replaces it
        feed.is_live = feed.is_live and subscription.state.value == "subscribed"
    try:
        yield feed
    finally:
        await client.disconnect()
