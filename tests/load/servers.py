"""The servers under load: notify on either road, and its peer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from tonearm_kit.testing.postgres import SCHEMA, temporary_database
from tonearm_notify import bootstrap

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".local" / "load"
PEER_PORT = 18021


@dataclass(frozen=True)
class Server:
    """Where a running server is. `threads`: how many it may run at once."""

    pid: int
    url: str
    publish: str
    token: str
    threads: int
    sink: SpanSink | None = None


class SpanSink:
    """Takes the spans of the server under load, so that exporting them is part of the load."""

    def __init__(self) -> None:
        self.spans = 0
        self.url = ""

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                self.spans += (await reader.readexactly(length)).count(b'"traceId"')
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[SpanSink]:
        """Listen on a free port."""
        sink = cls()
        server = await asyncio.start_server(sink._take, "127.0.0.1", 0)
        sink.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v2/spans"
        try:
            yield sink
        finally:
            server.close()


def on_core(core: int | None) -> Sequence[str]:
    """Return the start of a command line that keeps a program on one core."""
    return () if core is None else ("taskset", "--cpu-list", str(core))


@asynccontextmanager
async def _running(
    arguments: Sequence[str], environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start a program and wait until it says `ready ...`; returns what follows the word.

    What it logs before goes to standard error. Afterwards it is asked to end, then made to.
    """
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            while not (line := await process.stdout.readline()).startswith(b"ready "):
                if not line:
                    raise RuntimeError(f"{' '.join(arguments)} ended at once")
                sys.stderr.write(line.decode())
        yield process, line.decode().removeprefix("ready ")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def peer(core: int | None = None) -> AsyncIterator[Server]:
    """Run the Centrifuge library's server."""
    address = f"127.0.0.1:{PEER_PORT}"
    command = [*on_core(core), str(BUILT / "peer"), "-address", address]
    async with _running(command) as (process, line):
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", PEER_PORT)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        writer.close()
        yield Server(
            process.pid,
            f"ws://{address}/connection/websocket",
            f"http://{address}/publish?channel=",
            "",
            int(line),
        )


@asynccontextmanager
async def notify(
    road: str = "direct", core: int | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """Run notify on a database of its own, exporting its spans; `settings` by variable name."""
    async with temporary_database(bootstrap.COMPONENTS) as url, SpanSink.open() as sink:
        environment = {
            "NOTIFY_DATABASE_URL": url,
            "NOTIFY_DATABASE_SCHEMA": SCHEMA,
            "NOTIFY_WS_PORT": "0",
            "NOTIFY_HTTP_PORT": "0",
            "NOTIFY_CONNECTIONS_PER_ACCOUNT_MAX": "1000000",
            "NOTIFY_CONNECTS_PER_S": "100000",
            "NOTIFY_CONNECTS_BURST": "100000",
            "NOTIFY_DRAIN_WINDOW_S_MAX": "1",
            "NOTIFY_WEBHOOK_SECRET_KEYS": Fernet.generate_key().decode(),
            "OTEL_TRACES_EXPORTER": "zipkin_json",
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT": sink.url,
            **(settings or {}),
        }
        command = [*on_core(core), sys.executable, "-m", "tests.load.server", road]
        async with _running(command, environment) as (process, line):
            told = json.loads(line)
            ws = f"ws://127.0.0.1:{told['ws']}/connection/websocket"
            if road == "direct":
                publish = f"http://127.0.0.1:{told['http']}/publish?channel="
                yield Server(process.pid, ws, publish, told["token"], 1, sink)
                return
            async with _running([sys.executable, "-m", "tests.load.producer"]) as (_, port):
                publish = f"http://127.0.0.1:{port.strip()}/publish?channel="
                yield Server(process.pid, ws, publish, told["token"], 1, sink)
