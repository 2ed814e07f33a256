"""Attacks on a real server process: the right code, no memory, and a witness that misses nothing.

Every attack comes from many sockets and in rounds, until memory levels: what is kept from an
attack grows with each round for ever, what is loaded and allocated anyway soon stops.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import psutil
import pytest
from centrifuge import Client, PublicationContext, SubscriptionEventHandler
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.notify.tests.sockets import closing_code
from tonearm_contracts.events import AnalysisProgressed, AudioUpdated
from tonearm_kit.ids import new_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SOCKETS = 20
ROUNDS_MAX = 6
ROUND_GROWTH_BYTES_MAX = 1 << 20
"""A round that adds less than this, to all sockets of an attack, shows that memory levels."""
SETTINGS = {
    "NOTIFY_PING_INTERVAL_S": "2",
    "NOTIFY_PONG_TIMEOUT_S": "1",
    "NOTIFY_CONNECT_TIMEOUT_S": "2",
    "NOTIFY_QUEUE_BYTES_MAX": "65536",
    "NOTIFY_SEND_BUFFER_BYTES": "16384",
}


class Witness(SubscriptionEventHandler):  # type: ignore[misc]
    """An honest client; what it hears, in order."""

    def __init__(self, address: str, token: str, account_id: str = "witness") -> None:
        self.ids: list[str] = []
        self._changed = asyncio.Condition()
        self.client = Client(address, token=token)
        self._subscription = self.client.new_subscription(f"account:#{account_id}", self)

    async def start(self) -> None:
        await self.client.connect()
        await self._subscription.subscribe()
        await self._subscription.ready(10)

    async def on_publication(self, ctx: PublicationContext) -> None:
        async with self._changed:
            self.ids.append(ctx.pub.data["id"])
            self._changed.notify_all()

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.ids) >= count)


class Target:
    """The server under attack, as its attackers see it."""

    def __init__(self, port: int, token: str, recorder: Any) -> None:
        self.port, self._token, self.recorder = port, token, recorder

    @asynccontextmanager
    async def crowd(self, *, is_in: bool = True, **options: Any) -> AsyncIterator[Any]:
        """Open sockets, by default with an accepted connect on each."""
        async with AsyncExitStack() as stack:
            clients = []
            for _ in range(SOCKETS):
                address = f"ws://127.0.0.1:{self.port}/connection/websocket"
                own = {name: make() for name, make in options.items()}
                client = await stack.enter_async_context(
                    connect(address, ping_interval=None, max_queue=1, **own)
                )
                if is_in:
                    await client.send(json.dumps({"id": 1, "connect": {"token": self._token}}))
                    assert "connect" in json.loads(await client.recv())
                clients.append(client)
            yield clients

    async def each(
        self, attack: Callable[[ClientConnection], Awaitable[None]], *, is_in: bool = True
    ) -> Counter[int]:
        """Attack with every socket of a crowd; return how they were closed."""
        async with self.crowd(is_in=is_in) as clients:

            async def one(client: ClientConnection) -> int:
                with suppress(ConnectionClosed):
                    await attack(client)
                return await closing_code(client)

            return Counter(await asyncio.gather(*map(one, clients)))


def sending(*frames: Any, times: int = 1) -> Callable[[ClientConnection], Awaitable[None]]:
    async def attack(client: ClientConnection) -> None:
        for _ in range(times):
            for frame in frames:
                await client.send(frame)

    return attack


def writing(raw: bytes) -> Callable[[ClientConnection], Awaitable[None]]:
    async def attack(client: ClientConnection) -> None:
        client.transport.write(raw)

    return attack


async def garbage(target: Target) -> Counter[int]:
    return await target.each(sending("what, is this?"), is_in=False)


async def binary(target: Target) -> Counter[int]:
    return await target.each(sending(os.urandom(4096)))


async def fragments(target: Target) -> Counter[int]:
    return await target.each(sending(["{", "}"]))


async def deep_nesting(target: Target) -> Counter[int]:
    return await target.each(sending("[" * 60_000), is_in=False)


async def half_a_header(target: Target) -> Counter[int]:
    return await target.each(writing(b"\x81"))


async def half_a_frame(target: Target) -> Counter[int]:
    head = b"\x81" + bytes([0x80 | 126]) + struct.pack(">H", 60_000) + b"\x00" * 4
    return await target.each(writing(head + b"x" * 30_000))


async def ten_megabytes(target: Target) -> Counter[int]:
    head = b"\x81" + bytes([0x80 | 127]) + struct.pack(">Q", 10 << 20) + b"\x00" * 4
    return await target.each(writing(head + b"x" * (1 << 20)))


async def ten_thousand_subscribes(target: Target) -> Counter[int]:
    lines = [
        json.dumps({"id": number + 2, "subscribe": {"channel": f"audio:{number}"}})
        for number in range(10_000)
    ]
    batches = ["\n".join(lines[start : start + 500]) for start in range(0, len(lines), 500)]
    return await target.each(sending(*batches))


async def ping_flood(target: Target) -> Counter[int]:
    async def attack(client: ClientConnection) -> None:
        for number in range(2_000):
            client.transport.write(b"\x89\x84" + b"\x00" * 4 + struct.pack(">I", number))

    return await target.each(attack)


async def protocol_ping_flood(target: Target) -> Counter[int]:
    return await target.each(sending("\n".join(['{"id":9,"ping":{}}'] * 500), times=5))


async def pong_flood(target: Target) -> Counter[int]:
    return await target.each(sending("\n".join(["{}"] * 500), times=5))


async def foreign_channels(target: Target) -> Counter[int]:
    """Ask slowly enough for the rate, and only for what is somebody else's, then leave."""

    async def attack(client: ClientConnection) -> None:
        for number in range(100):
            asked = {"id": number + 2, "subscribe": {"channel": f"account:#{number}"}}
            await client.send(json.dumps(asked))
            assert json.loads(await client.recv())["error"]["code"] == 103
        await client.close(1000)

    return await target.each(attack)


async def never_reading(target: Target) -> Counter[int]:
    def deaf() -> socket.socket:
        made = socket.create_connection(("127.0.0.1", target.port))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return made

    async with target.crowd(sock=deaf) as clients:
        for client in clients:
            asked = {"id": 2, "subscribe": {"channel": "account:#mallory"}}
            await client.send(json.dumps(asked))
            assert "subscribe" in json.loads(await client.recv())
            client.transport.pause_reading()
        for _ in range(60):
            await target.recorder.publish(loud())
        # The sockets are cut by now; those that read again see what was sent before, and why.
        for client in clients:
            client.transport.resume_reading()
        return Counter(await asyncio.gather(*map(closing_code, clients)))


def loud(size_bytes: int = 16_000) -> AnalysisProgressed:
    return AnalysisProgressed(
        job_id="j",
        audio_id="r",
        account_id="mallory",
        stage="waveform",
        stages_done=1,
        stages_total=2,
        stage_duration_s=0.1,
        result={"pad": "x" * size_bytes},
    )


async def half_a_handshake(target: Target) -> Counter[int]:
    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
        return 0

    return Counter(await asyncio.gather(*(one() for _ in range(SOCKETS))))


ATTACKS: list[tuple[Callable[[Target], Awaitable[Counter[int]]], int]] = [
    (garbage, 3501),
    (binary, 3501),
    (fragments, 3501),
    (deep_nesting, 3501),
    (half_a_header, 3012),
    (half_a_frame, 3012),
    (half_a_handshake, 0),
    (ten_megabytes, 1009),
    (ten_thousand_subscribes, 3013),
    (ping_flood, 3013),
    (protocol_ping_flood, 3013),
    (pong_flood, 3013),
    (foreign_channels, 1000),
    (never_reading, 3008),
]


class Levels:
    """The server's resident memory after each round of an attack."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._bytes: list[int] = []

    @property
    def are_level(self) -> bool:
        """Whether the last round added next to nothing."""
        return len(self._bytes) > 1 and self._growth() < ROUND_GROWTH_BYTES_MAX

    def _growth(self) -> int:
        return self._bytes[-1] - self._bytes[-2]

    def take(self) -> None:
        """Note the memory after a round; fails when it still grows after ROUNDS_MAX."""
        self._bytes.append(self._process.memory_info().rss)
        assert self.are_level or len(self._bytes) < ROUNDS_MAX, self._bytes

    def say(self, what: str) -> None:
        """Print the measurement."""
        mib = ", ".join(f"{each / 2**20:.1f}" for each in self._bytes)
        print(f"{what}, MiB after each: {mib}")  # noqa: T201


async def test_attacks_are_cut_and_a_witness_misses_nothing(
    make_replica: Any, recorder: Any, tokens: Any
) -> None:
    replica = make_replica(**SETTINGS)
    await replica.start()
    process = psutil.Process(replica.process.pid)
    target = Target(replica.port, tokens.make("mallory"), recorder)
    address = f"ws://127.0.0.1:{replica.port}/connection/websocket"
    witness, sent = Witness(address, tokens.make("witness")), list[str]()
    await witness.start()
    for attack, code in ATTACKS:
        levels = Levels(process)
        while not levels.are_level:
            codes, ids = await during(attack(target), recorder)
            assert codes == {code: SOCKETS}, attack.__name__
            sent += ids
            await witness.heard(len(sent))
            assert witness.ids == sent, attack.__name__
            levels.take()
        levels.say(f"{attack.__name__}: {SOCKETS} sockets a round closed with {code or 'EOF'}")
    await witness.client.disconnect()


async def test_event_streams_that_nobody_reads_are_cut_and_cost_nothing(
    make_replica: Any, recorder: Any, tokens: Any
) -> None:
    replica = make_replica()
    await replica.start()
    process = psutil.Process(replica.process.pid)
    address = f"ws://127.0.0.1:{replica.port}/connection/websocket"
    witness, sent = Witness(address, tokens.make("mallory"), "mallory"), list[str]()
    await witness.start()
    levels = Levels(process)
    while not levels.are_level:
        readers = [await deaf_stream(replica.http_port, tokens.make("mallory")) for _ in range(5)]
        # More than the system's buffers of a connection hold, and than may wait in ours.
        for _ in range(120):
            sent.append(await recorder.publish(loud(60_000)))
        await witness.heard(len(sent))
        told = await asyncio.gather(*map(rest_of, readers))
        assert all(b'event: disconnect\ndata: {"code":3008' in text for text in told)
        levels.take()
    levels.say("event streams never read: 5 a round ended with 3008")
    assert witness.ids == sent
    await witness.client.disconnect()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def deaf_stream(port: int, token: str) -> Stream:
    """Open an event stream, wait for its first event, then stop reading."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    request = (
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    writer.write(request.encode())
    async with asyncio.timeout(20):
        await reader.readuntil(b"event: connected")
    return reader, writer


async def rest_of(stream: Stream) -> bytes:
    reader, writer = stream
    async with asyncio.timeout(30):
        text = await reader.read()
    writer.close()
    return text[-4096:]


async def during(attack: Awaitable[Counter[int]], recorder: Any) -> tuple[Counter[int], list[str]]:
    """Publish for the witness while an attack is under way; return what came of both."""
    sent: list[str] = []
    running = asyncio.ensure_future(attack)
    while not running.done() or not sent:
        sent.append(await recorder.publish(spoken()))
        await asyncio.wait([running], timeout=0.02)
    return await running, sent


def spoken() -> AudioUpdated:
    return AudioUpdated(audio_id=new_id(), account_id="witness", status="processing", filename="a")
