"""A limit on every request body, counted while it streams; Content-Length is only a hint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tonearm_kit.errors import AppError, Kind
from tonearm_kit.http import problem

_LINGER_S = 2.0
_LINGER_BYTES_MAX = 4 * 1024 * 1024


class BodyTooLarge(AppError):
    """The request body is larger than this route takes."""

    code, kind = "body_too_large", Kind.TOO_LARGE


class BodyLimit:
    """ASGI middleware that ends a request whose body grows past its limit with 413.

    size_bytes_max: limit of every route without one of its own. by_prefix: other limits, in
    bytes, by the start of the path; the longest prefix that fits wins.
    """

    def __init__(self, app: ASGIApp, *, size_bytes_max: int, by_prefix: Mapping[str, int]) -> None:
        self._app = app
        self._default = size_bytes_max
        self._by_prefix = sorted(by_prefix.items(), key=lambda item: -len(item[0]))

    def _limit(self, path: str) -> int:
        return next(
            (size for prefix, size in self._by_prefix if path.startswith(prefix)), self._default
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; only HTTP bodies are counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        declared = next(
            (value for key, value in scope["headers"] if key == b"content-length"), b"0"
        )
        if declared.isdigit() and int(declared) > limit:
            await _refuse(scope, receive, send, limit)
            return
        await _Counted(scope, receive, send, limit).run(self._app)


class _Counted:
    """One request whose body is being counted."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._size_bytes = 0
        self._too_large = False
        self._answered = False

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._counting_receive, self._checked_send)
        except BodyTooLarge:
            if self._answered:
                raise

    async def _counting_receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._size_bytes += len(message.get("body", b""))
            if self._size_bytes > self._limit:
                self._too_large = True
                raise BodyTooLarge(size_bytes_max=self._limit)
        return message

    async def _checked_send(self, message: Message) -> None:
        # Parsers turn the error above into a 400 of their own; the caller must read 413.
        if self._too_large and not self._answered:
            self._answered = True
            await _refuse(self._scope, self._receive, self._send, self._limit)
        elif not self._too_large:
            self._answered = self._answered or message["type"] == "http.response.start"
            await self._send(message)


async def _refuse(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
    """Answer 413, then read on for a moment before the connection closes.

    A client that is still sending when the socket closes gets a reset and may never see the
    answer; a client far over the limit has to live with that.
    """
    request_id = scope.get("tonearm.request_id")
    response = problem.from_app_error(BodyTooLarge(size_bytes_max=limit), request_id=request_id)
    response.headers["Connection"] = "close"
    await send({"type": "http.response.start", "status": 413, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    if not any(key == b"expect" for key, _ in scope["headers"]):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await _discard(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    size_bytes = 0
    while size_bytes <= _LINGER_BYTES_MAX:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        size_bytes += len(message.get("body", b""))
