"""The WebSocket door: `/connection/websocket`, on a port of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from picows import (
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from tonearm_kit.logs import get_logger
from tonearm_notify.domain import codes, commands
from tonearm_notify.domain.protocol import Ask, Limits, Session
from tonearm_notify.entrypoints import framings
from tonearm_notify.entrypoints.connection import Connection
from tonearm_notify.usecases.answer import Answers
from tonearm_notify.usecases.hub import Hub

log = get_logger(__name__)
PATH: Final = b"/connection/websocket"
_CATCH_UP_S: Final = 0.02
# Of the stated rate; networks and busy clients bring together what was sent spread.
_BUNCHING_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketOptions:
    """Bounds and addresses of the door."""

    host: str
    port: int
    limits: Limits = field(default_factory=Limits)
    origins: frozenset[str] = frozenset()
    """Allowed `Origin` values; `*` allows all. Clients that send none are not browsers."""
    connections_max: int = 20_000
    connects_per_s: float = 500.0
    connects_burst: int = 2_000
    queue_bytes_max: int = 1024 * 1024
    read_buffer_bytes: int = 2048
    send_buffer_bytes: int = 0
    """Kernel's send buffer of a socket; 0 leaves it to the system."""
    drain_closes_per_s: float = 200.0
    drain_window_s_max: float = 12.0
    linger_s: float = 5.0
    """Time for the last bytes and the close code to reach a slow reader."""
    reply_s: float = 30.0
    """Time for a reply larger than the queue to be read: about as long as a pong is waited for."""


class WebSocketServer:
    """Accepts sockets, keeps their time, and runs what they ask for."""

    def __init__(
        self,
        options: WebSocketOptions,
        *,
        hub: Hub,
        answers: Answers,
        new_id: Callable[[], str],
        now_s: Callable[[], float],
        count: Callable[[str, int], None],
    ) -> None:
        self.hub = hub
        self.now_s = now_s
        self.queue_bytes_max = options.queue_bytes_max
        self.port = options.port
        self._options = options
        self._answers = answers
        self._new_id = new_id
        self._count = count
        self._open: set[Connection] = set()
        self._wheel: dict[int, list[Connection]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._tokens = float(options.connects_burst)
        self._tokens_at_s = now_s()
        self.accepting = asyncio.Event()
        self._empty = asyncio.Event()

    @property
    def open_count(self) -> int:
        """Return how many sockets are open."""
        return len(self._open)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then close the listener; sockets stay for the drain."""
        # Passing an adapter keeps picows from making a logger for every socket.
        quiet = logging.LoggerAdapter(logging.getLogger("picows.server"), {})
        quiet.logger.setLevel(logging.CRITICAL)
        server = await ws_create_server(
            self._route,
            sock=self._listener(),
            websocket_handshake_timeout=self._options.limits.connect_timeout_s,
            logger_name=quiet,
            enable_auto_ping=False,
            enable_auto_pong=False,
            max_frame_size=self._options.limits.frame_bytes_max,
            read_buffer_init_size=self._options.read_buffer_bytes,
        )
        self.accepting.set()
        log.info("websocket door is open", host=self._options.host, port=self.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                ticking = tasks.create_task(self._tick())
                await stop.wait()
                self.accepting.clear()
                server.close()
                await self._drain()
                ticking.cancel()
        finally:
            self.accepting.clear()
            server.close()

    async def _drain(self) -> None:
        """Tell every client to reconnect, spread so that the others can take them.

        The rate is the stated one, unless so many are here that the window would not do. Time
        lost to a stall is not made up for, but for moments; these and what may arrive bunched are
        taken off the rate, so that no second of those who come back holds more than was stated.
        """
        options = self._options
        leaving = list(self._open)
        log.info("draining sockets", sockets=len(leaving), closes_per_s=options.drain_closes_per_s)
        due_s = self.now_s()
        end_s = due_s + options.drain_window_s_max
        closes_per_s = options.drain_closes_per_s * (1 - _CATCH_UP_S - _BUNCHING_SHARE)
        for number, connection in enumerate(leaving):
            now_s = self.now_s()
            left = len(leaving) - number
            rate = max(closes_per_s, left / max(0.1, end_s - now_s))
            due_s = max(due_s, now_s - _CATCH_UP_S) + 1 / rate
            if due_s > now_s:
                await asyncio.sleep(due_s - now_s)
            connection.close(codes.SHUTDOWN)
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(options.linger_s):
                    await self._empty.wait()

    def _listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._options.send_buffer_bytes:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, self._options.send_buffer_bytes
            )
        listener.bind((self._options.host, self._options.port))
        listener.listen(1024)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        return listener

    def _route(self, request: WSUpgradeRequest) -> Any:
        """Return the listener of an upgrade, or the refusal."""
        path = request.path.partition(b"?")[0]
        if path != PATH:
            return None
        origin = request.headers.get("Origin")
        allowed = self._options.origins
        if origin is not None and "*" not in allowed and origin not in allowed:
            self._count("origin", 1)
            return _refusal(HTTPStatus.FORBIDDEN, b"origin not allowed")
        if not self.accepting.is_set() or len(self._open) >= self._options.connections_max:
            self._count("no_room" if self.accepting.is_set() else "draining", 1)
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, b"no room", retry_after_s=5)
        if not self._spend():
            self._count("connect_rate", 1)
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, b"too fast", retry_after_s=1)
        framing = framings.choose(request.headers.get("Sec-WebSocket-Protocol", ""))
        connection = Connection(self, self._session(), framing)
        if framing.subprotocol is None:
            return connection
        chosen = {"Sec-WebSocket-Protocol": framing.subprotocol}
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_101_response(chosen), connection
        )

    def _session(self) -> Session:
        client_id = self._new_id()
        spread = zlib.crc32(client_id.encode()) / 2**32
        return Session(client_id, self._options.limits, now_s=self.now_s(), spread=spread)

    def _spend(self) -> bool:
        now_s = self.now_s()
        earned = (now_s - self._tokens_at_s) * self._options.connects_per_s
        self._tokens = min(self._options.connects_burst, self._tokens + earned)
        self._tokens_at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    # Connections.

    def opened(self, connection: Connection, transport: WSTransport) -> None:
        """Take a new socket in, and drop what its handshake left in memory."""
        self._open.add(connection)
        transport.request.headers.clear()
        transport.response.headers.clear()
        self.plan(connection)

    def gone(self, connection: Connection) -> None:
        """Forget a socket."""
        self._open.discard(connection)
        if not self._open and not self.accepting.is_set():
            self._empty.set()
        self.left(connection)

    def left(self, connection: Connection) -> None:
        """Take a connection out of the hub; its socket may still be closing."""
        account_id = connection.identity.account_id if connection.is_entered else None  # type: ignore[union-attr]
        self.hub.exit(connection, account_id, connection.session.subscriptions)
        connection.session.subscriptions.clear()
        connection.is_entered = False

    def count_slow(self) -> None:
        """Note a reader that was cut for being slow."""
        self._count("slow", 1)

    def abort_later(self, transport: WSTransport) -> None:
        """Drop a closing socket that does not take its last bytes in time."""
        asyncio.get_running_loop().call_later(
            self._options.linger_s, transport.underlying_transport.abort
        )

    def later(self, call: Callable[[], None]) -> None:
        """Call when a large reply has had its time."""
        asyncio.get_running_loop().call_later(self._options.reply_s, call)

    # Time.

    def plan(self, connection: Connection) -> None:
        """See to it that the connection's `tick` is called at its deadline."""
        bucket = int(connection.session.deadline_s) + 1
        if connection.bucket and connection.bucket <= bucket:
            return
        connection.bucket = bucket
        self._wheel.setdefault(bucket, []).append(connection)

    async def _tick(self) -> None:
        done = int(self.now_s())
        while True:
            await asyncio.sleep(0.25)
            now_s = self.now_s()
            for bucket in range(done + 1, int(now_s) + 1):
                for number, connection in enumerate(self._wheel.pop(bucket, ())):
                    if connection.bucket == bucket:
                        connection.bucket = 0
                        connection.tick(now_s)
                    if number % 500 == 499:
                        await asyncio.sleep(0)
            done = int(now_s)

    # What clients ask for.

    def ask(self, connection: Connection, command: Ask) -> None:
        """Answer a command that needs the outside."""
        if isinstance(command, commands.Acknowledge):
            self._answers.acknowledged(command)
        elif self._tasks is not None:
            self._tasks.create_task(self._answer(connection, command))

    async def _answer(self, connection: Connection, command: Ask) -> None:
        try:
            async with asyncio.timeout(20):
                await self._answers.answer(connection, command)
        except Exception as error:
            log.warning("a command failed", command=type(command).__name__, exc_info=error)
            connection.apply(connection.session.failed(command, codes.INTERNAL))


def _refusal(status: HTTPStatus, body: bytes, *, retry_after_s: int | None = None) -> Any:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)
