"""The door of the load's programs: `POST /publish?channel=NAME` over HTTP/1.1, and nothing else.

It is the load's own, no part of notify, and therefore as thin as can be: what it costs would be
counted as the server's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qs

import httptools

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.ids import new_id

Take = Callable[[CloudEvent], Awaitable[None]]


def to_event(channel: str, body: bytes) -> CloudEvent:
    """Return the event that is published on `audio:<id>` and on its owner's own channel."""
    audio_id = channel.removeprefix("audio:")
    return CloudEvent(
        id=new_id(),
        source="/load",
        type="tonearm.audio.updated.v1",
        subject=audio_id,
        time=datetime.now(UTC),
        data={"audio_id": audio_id, "account_id": f"owner-{audio_id}", **json.loads(body)},
    )


class Door(asyncio.Protocol):
    """One connection of the load; one request at a time."""

    def __init__(self, take: Take, tasks: asyncio.TaskGroup) -> None:
        self._take, self._tasks = take, tasks
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url, self._body = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Parse; what is not HTTP raises and closes the connection."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Start a request."""
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        """Gather the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Take a whole request."""
        query = parse_qs(httptools.parse_url(self._url).query.decode())
        self._tasks.create_task(self._answer(query["channel"][0], self._body))

    async def _answer(self, channel: str, body: bytes) -> None:
        await self._take(to_event(channel, body))
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def serve(take: Take, tasks: asyncio.TaskGroup) -> int:
    """Open the door on a free port, for as long as the loop runs; return the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Door(take, tasks), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    return port
