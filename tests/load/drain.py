"""How fast clients come back when a replica drains: `python -m tests.load drain`.

Two thousand clients without any patience sit on one server; it is told to end, and each connects
to the other one the moment that its own connection is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any, cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.load.report import machine
from tests.load.servers import Server, notify

CLIENTS = 2_000
CLOSES_PER_S = 400.0


class Hasty(WSListener):
    """A client that is told to go, and tells so at once."""

    def __init__(self, token: str, on_end: Callable[[], None]) -> None:
        self._token, self._on_end = token, on_end
        self.entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Enter."""
        connect = {"id": 1, "connect": {"token": self._token}}
        transport.send(WSMsgType.TEXT, json.dumps(connect).encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Wait for the reply, then for the end."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            self._on_end()
        elif not self.entered.done():
            self.entered.set_result(None)


async def _enter(server: Server, on_end: Callable[[], None]) -> None:
    _, listener = await ws_connect(lambda: Hasty(server.token, on_end), server.url)
    await cast(Hasty, listener).entered


async def measure() -> dict[str, Any]:
    """Drain one server onto another and return how fast its clients came back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16_384)), hard))
    settings = {
        "NOTIFY_DRAIN_CLOSES_PER_S": str(CLOSES_PER_S),
        "NOTIFY_DRAIN_WINDOW_S_MAX": "15",
    }
    came_at_s: list[float] = []
    back: list[asyncio.Task[None]] = []
    slots = asyncio.Semaphore(50)
    async with notify(settings=settings) as first, notify(settings=settings) as second:

        def on_end() -> None:
            came_at_s.append(time.monotonic())
            back.append(asyncio.ensure_future(_enter(second, lambda: None)))

        async def come() -> None:
            async with slots:
                await _enter(first, on_end)

        async with asyncio.TaskGroup() as coming:
            for _ in range(CLIENTS):
                coming.create_task(come())
        os.kill(first.pid, signal.SIGTERM)
        async with asyncio.timeout(60):
            while len(came_at_s) < CLIENTS:
                await asyncio.sleep(0.1)
            await asyncio.wait(back)
        returned = sum(task.exception() is None for task in back)
    busiest = max(sum(start <= at < start + 1 for at in came_at_s) for start in came_at_s[::20])
    return {
        **machine(),
        "clients": CLIENTS,
        "closes_per_s": CLOSES_PER_S,
        "busiest_second": busiest,
        "back": returned,
        "duration_s": came_at_s[-1] - came_at_s[0],
    }
