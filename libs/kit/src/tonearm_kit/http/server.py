"""Run an app on uvicorn inside a service's own task group: no signals, no logging of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from tonearm_kit.logs import get_logger

log = get_logger(__name__)


class AddressInUse(RuntimeError):
    """The address is taken by another process, or not ours to bind."""


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: `lifecycle` owns the signals of the process."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell that connections are accepted."""
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            # uvicorn would take the whole process along, with all that runs beside it.
            self.should_exit = True
        if self.started:
            self._on_started()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host:port`; port 0 takes a free one. Raises `AddressInUse`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise AddressInUse(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.set_inheritable(False)
    return sock


async def serve(
    app: FastAPI,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    grace_s: float = 10.0,
    on_started: Callable[[int], None] | None = None,
) -> None:
    """Serve until `stop`, then refuse new connections and finish what runs.

    Requests still running `grace_s` seconds after `stop` are cut. `on_started` gets the port
    once connections are accepted. Raises `AddressInUse`, or what the app's lifespan raised.
    """
    sock = listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(grace_s)),
        h11_max_incomplete_event_size=64 * 1024,
    )

    def started() -> None:
        bound = int(sock.getsockname()[1])
        log.info("serving HTTP", port=bound)
        if on_started is not None:
            on_started(bound)

    server = _Server(config, started)

    async def drain() -> None:
        await stop.wait()
        app.state.draining = True
        server.should_exit = True

    try:
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(drain())
            await server.serve(sockets=[sock])
            draining.cancel()
    finally:
        sock.close()
    if not server.started:
        raise RuntimeError("the HTTP app failed to start; its error is in the log")
