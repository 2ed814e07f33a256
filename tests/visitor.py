"""A client of the platform for tests and benchmarks, made of tools that others wrote.

httpx speaks HTTP, centrifuge-python holds the push connection; nothing of ours is in between.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from centrifuge import Client, ClientEventHandler, PublicationContext, SubscriptionEventHandler

COMPLETED = "tonearm.analysis.completed.v1"
FAILED = "tonearm.analysis.failed.v1"
_PART_BYTES = 64 * 1024


@dataclass
class Heard(SubscriptionEventHandler):  # type: ignore[misc]  # the client ships no types
    """What one subscription was pushed, in order, with the loop time of each arrival in s."""

    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def on_publication(self, ctx: PublicationContext) -> None:
        """Keep the event."""
        async with self.changed:
            self.events.append((asyncio.get_running_loop().time(), ctx.pub.data))
            self.changed.notify_all()

    def count(self, event_type: str, audio_id: str) -> int:
        """How often an event of this type came for this recording."""
        return Counter((e["type"], e["subject"]) for _, e in self.events)[event_type, audio_id]

    async def wait_for(
        self, audio_id: str, *event_types: str, timeout_s: float = 60.0
    ) -> tuple[float, dict[str, Any]]:
        """Return the first event of these types for the recording, with its arrival."""

        def found() -> tuple[float, dict[str, Any]] | None:
            return next(
                (
                    (at, event)
                    for at, event in self.events
                    if event["subject"] == audio_id and event["type"] in event_types
                ),
                None,
            )

        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: found() is not None)
        event = found()
        assert event is not None
        return event


class Visitor:
    """An account that registered, with its own address and token."""

    def __init__(
        self,
        api: httpx.AsyncClient,
        gateway_url: str,
        token: str,
        account_id: str,
        credentials: dict[str, str],
    ) -> None:
        self.api = api
        self.token = token
        self.account_id = account_id
        self._gateway_url = gateway_url
        self._credentials = credentials

    @classmethod
    @asynccontextmanager
    async def register(cls, gateway_url: str, *, address: str) -> AsyncIterator[Visitor]:
        """Register and log in from `address`; the HTTP client closes with the block."""
        headers = {"X-Forwarded-For": address}
        async with httpx.AsyncClient(base_url=gateway_url, timeout=30, headers=headers) as api:
            who = {
                "email": f"v-{secrets.token_hex(8)}@example.org",
                "password": secrets.token_urlsafe(18),
            }
            made = await api.post("/v1/auth/register", json={**who, "full_name": "Visitor"})
            assert made.status_code == 201, made.text
            token = await _log_in(api, who)
            api.headers["Authorization"] = f"Bearer {token}"
            yield cls(api, gateway_url, token, made.json()["id"], who)

    async def another_session(self) -> str:
        """Log in once more and return the new session's token."""
        return await _log_in(self.api, self._credentials)

    @asynccontextmanager
    async def connected(self, *, url: str | None = None) -> AsyncIterator[Client]:
        """Hold a push connection; it reconnects by itself.

        url: WebSocket address; the gateway's when None.
        """
        target = url or self._gateway_url.replace("http", "ws", 1) + "/connection/websocket"
        client = Client(target, events=ClientEventHandler(), token=self.token)
        await client.connect()
        try:
            await client.ready(timeout=15)
            yield client
        finally:
            await client.disconnect()
            del client
            with warnings.catch_warnings():
                # The client leaves the sockets of connections that were cut to the collector.
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
            await _sockets_closed()

    @asynccontextmanager
    async def listening(self, *, url: str | None = None) -> AsyncIterator[Heard]:
        """Hold a connection that is subscribed to the account's own channel."""
        async with self.connected(url=url) as client:
            yield await subscribe(client, f"account:#{self.account_id}")

    async def upload(
        self,
        path: Path,
        *,
        half_way: Callable[[], None] | None = None,
        key: str | None = None,
        name: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> httpx.Response:
        """Send a file; `half_way` is called once when half of its bytes are sent."""
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if key is not None:
            headers["Idempotency-Key"] = f'"{key}"'
        body = _multipart(path, boundary, name or path.name, content_type, half_way)
        return await self.api.post("/v1/audio", content=body, headers=headers)

    async def upload_at_last(
        self, path: Path, *, half_way: Callable[[], None] | None = None, timeout_s: float = 180.0
    ) -> dict[str, Any]:
        """Send a file as a careful client does: again, with the same key, until it is taken."""
        key, hook = secrets.token_hex(16), half_way
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    answer = await self.upload(path, half_way=hook, key=key)
                except httpx.TransportError:
                    answer = None
                hook = None
                if answer is not None and answer.status_code == 202:
                    body: dict[str, Any] = answer.json()
                    return body
                if answer is not None:
                    assert answer.status_code in (409, 429, 502, 503, 504), answer.text
                told = None if answer is None else answer.headers.get("Retry-After")
                await asyncio.sleep(float(told or 1.0))

    async def get(self, path: str) -> httpx.Response:
        """GET, coming back when the account's rate limit says so."""
        while (answer := await self.api.get(path)).status_code == 429:
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        return answer

    async def settled(self, audio_id: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Return the recording once its status is completed or failed."""
        async with asyncio.timeout(timeout_s):
            while True:
                answer = await self.get(f"/v1/audio/{audio_id}")
                if answer.is_success and answer.json()["status"] in ("completed", "failed"):
                    body: dict[str, Any] = answer.json()
                    return body
                await asyncio.sleep(1.0)

    async def analysis(self, audio_id: str) -> dict[str, Any]:
        """Return the analysis of a recording."""
        answer = await self.get(f"/v1/audio/{audio_id}/analysis")
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body


async def _log_in(api: httpx.AsyncClient, credentials: dict[str, str]) -> str:
    session = await api.post("/v1/auth/login", json=credentials)
    assert session.status_code == 200, session.text
    return str(session.json()["access_token"])


async def subscribe(client: Client, channel: str) -> Heard:
    """Subscribe and return what will be heard; recovers what a lost connection missed."""
    heard = Heard()
    subscription = client.new_subscription(channel, events=heard, recoverable=True)
    await subscription.subscribe()
    await subscription.ready(timeout=15)
    return heard


async def _sockets_closed() -> None:
    """Wait for the closing handshakes that centrifuge-python leaves to background tasks.

    A test's loop may end right after, and would take them for leaks.
    """
    closing = {task for task in asyncio.all_tasks() if "_close_conn" in repr(task.get_coro())}
    if closing:
        await asyncio.wait(closing, timeout=15)


async def _multipart(
    path: Path,
    boundary: str,
    name: str,
    content_type: str,
    half_way: Callable[[], None] | None,
) -> AsyncIterator[bytes]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    yield f"{head}Content-Type: {content_type}\r\n\r\n".encode()
    size_bytes, sent_bytes = path.stat().st_size, 0
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            yield part
            sent_bytes += len(part)
            if half_way is not None and sent_bytes * 2 >= size_bytes:
                await asyncio.to_thread(half_way)
                half_way = None
    yield f"\r\n--{boundary}--\r\n".encode()
