"""Slow and hostile clients are cut with the right code, and others do not notice."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from contextlib import suppress
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from services.notify.tests.sockets import closing_code
from tonearm_contracts.events import AnalysisProgressed

pytestmark = pytest.mark.integration


def progressed(account_id: str, size_bytes: int) -> AnalysisProgressed:
    return AnalysisProgressed(
        job_id="j",
        audio_id="r",
        account_id=account_id,
        stage="waveform",
        stages_done=1,
        stages_total=2,
        stage_duration_s=0.1,
        result={"pad": "x" * size_bytes},
    )


async def log_in(client: ClientConnection, token: str, channel: str | None = None) -> None:
    await client.send(json.dumps({"id": 1, "connect": {"token": token}}))
    assert "connect" in json.loads(await client.recv())
    if channel is not None:
        await client.send(json.dumps({"id": 2, "subscribe": {"channel": channel}}))
        assert "subscribe" in json.loads(await client.recv())


@pytest.mark.parametrize(
    "frame", ["garbage", b"\x00\x01", "[]", '{"id":1,"subscribe":{"channel":"flags"}}']
)
async def test_garbage_is_a_bad_request(notify: Any, frame: str | bytes) -> None:
    async with connect(notify.address) as client:
        await client.send(frame)
        assert await closing_code(client) == 3501


@pytest.mark.parametrize("frame", ["{}", b"\xff\xff", b"\x05\x00", b"\x02\x08\x01", os.urandom(64)])
async def test_garbage_in_the_other_framing_is_a_bad_request(
    notify: Any, frame: str | bytes
) -> None:
    protobuf = Subprotocol("centrifuge-protobuf")
    async with connect(notify.address, subprotocols=[protobuf]) as client:
        assert client.subprotocol == protobuf
        await client.send(frame)
        assert await closing_code(client) == 3501


async def test_fragments_are_refused(notify: Any) -> None:
    async with connect(notify.address) as client:
        await client.send(iter(["{", "}"]))
        assert await closing_code(client) == 3501


async def test_invalid_utf8_is_refused(notify: Any) -> None:
    async with connect(notify.address) as client:
        await client.send(b"\xff\xfe", text=True)
        assert await closing_code(client) == 3501


async def test_a_ten_megabyte_frame_is_refused_unread(notify: Any, tokens: Any) -> None:
    async with connect(notify.address) as client:
        await log_in(client, tokens.make("anna"))
        before = psutil.Process(os.getpid()).memory_info().rss
        # Only the header and the first bytes: the length alone must be enough to refuse it.
        client.transport.write(b"\x81" + bytes([0x80 | 127]) + struct.pack(">Q", 10 << 20))
        client.transport.write(b"\x00" * 4 + b"x" * 4096)
        assert await closing_code(client) == 1009
        assert psutil.Process(os.getpid()).memory_info().rss - before < 4 << 20


async def test_half_a_frame_ends_at_the_pong_time_out(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(ping_interval_s=1, pong_timeout_s=0.5) as notify,
        connect(notify.address) as client,
    ):
        await log_in(client, tokens.make("anna"))
        client.transport.write(b"\x81")
        assert await closing_code(client) == 3012


async def test_silence_after_the_handshake_is_stale(start_notify: Any) -> None:
    async with start_notify(connect_timeout_s=0.5) as notify, connect(notify.address) as client:
        assert await closing_code(client) == 3502


async def test_silence_before_the_handshake_is_dropped(start_notify: Any) -> None:
    async with start_notify(connect_timeout_s=0.5) as notify:
        port = notify.house.sockets.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_ten_thousand_subscribes_are_cut(notify: Any, tokens: Any) -> None:
    async with connect(notify.address) as client:
        await log_in(client, tokens.make("anna"))
        lines = [
            json.dumps({"id": number + 2, "subscribe": {"channel": f"audio:{number}"}})
            for number in range(10_000)
        ]
        for start in range(0, len(lines), 500):
            try:
                await client.send("\n".join(lines[start : start + 500]))
            except ConnectionClosed:
                break
        assert await closing_code(client) == 3013
    assert notify.house.hub.followed() == []


@pytest.mark.parametrize("kind", ["websocket", "protocol", "empty"])
async def test_a_flood_of_pings_is_cut(start_notify: Any, tokens: Any, kind: str) -> None:
    async with start_notify(commands_burst_max=50) as notify, connect(notify.address) as client:
        await log_in(client, tokens.make("anna"))
        with suppress(ConnectionClosed):
            for number in range(500):
                if kind == "websocket":
                    await client.ping()
                else:
                    ping = {"id": number + 2, "ping": {}} if kind == "protocol" else {}
                    await client.send(json.dumps(ping))
        assert await closing_code(client) == 3013


async def test_a_reader_that_never_reads_is_cut_and_others_hear_everything(
    start_notify: Any, tokens: Any
) -> None:
    async with start_notify(queue_bytes_max=64 * 1024, send_buffer_bytes=16 * 1024) as notify:
        deaf = socket.create_connection(("127.0.0.1", notify.house.sockets.port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with (
            connect(notify.address) as good,
            connect(notify.address, sock=deaf, max_queue=1) as bad,
        ):
            for client in (good, bad):
                await log_in(client, tokens.make("anna"), "account:#anna")
            bad.transport.pause_reading()
            sockets = notify.house.sockets
            for number in range(200):
                await notify.publish(progressed("anna", 8_000))
                heard = json.loads(await asyncio.wait_for(good.recv(), 5))
                assert heard["push"]["pub"]["offset"] == number + 1
                if sockets.open_count == 1:
                    break
            assert notify.house.hub.count("anna") == 1
            bad.transport.resume_reading()
            assert await closing_code(bad) in (3008, 1006)


async def test_a_slow_reader_that_reads_on_sees_the_code_and_recovers(
    start_notify: Any, tokens: Any
) -> None:
    async with start_notify(queue_bytes_max=64 * 1024, send_buffer_bytes=16 * 1024) as notify:
        token = tokens.make("anna")
        async with connect(notify.address, max_queue=1) as slow:
            await log_in(slow, token, "account:#anna")
            slow.transport.pause_reading()
            while notify.house.hub.count("anna"):
                await notify.publish(progressed("anna", 30_000))
            await notify.publish(progressed("anna", 10))
            slow.transport.resume_reading()
            offsets = []
            with suppress(ConnectionClosed):
                while True:
                    pushed = json.loads(await asyncio.wait_for(slow.recv(), 10))
                    offsets.append(pushed["push"]["pub"]["offset"])
        assert slow.close_code == 3008
        async with connect(notify.address) as back:
            await log_in(back, token)
            top = json.loads(await ask_history(back))["history"]
            since = {"recover": True, "offset": offsets[-1], "epoch": top["epoch"]}
            asked = {"id": 3, "subscribe": {"channel": "account:#anna", **since}}
            await back.send(json.dumps(asked))
            result = json.loads(await back.recv())["subscribe"]
        assert result["recovered"] is True
        assert result["publications"]
        offsets += [pub["offset"] for pub in result["publications"]]
        assert offsets == list(range(1, top["offset"] + 1))


async def ask_unread(
    notify: Any, tokens: Any, *commands: dict[str, Any]
) -> tuple[list[dict[str, Any]], int | None]:
    """Connect, stop reading, ask, and read on once the server has noticed; what came of it."""
    said: list[dict[str, Any]] = []
    async with connect(notify.address, max_queue=1, max_size=None) as client:
        await log_in(client, tokens.make("anna"))
        client.transport.pause_reading()
        for command in commands:
            await client.send(json.dumps(command))
        (connection,) = notify.house.hub.sinks()
        async with asyncio.timeout(10):
            while not connection.is_slow:
                await asyncio.sleep(0.01)
        client.transport.resume_reading()
        with suppress(ConnectionClosed):
            while len(said) < len(commands):
                said += map(json.loads, str(await asyncio.wait_for(client.recv(), 10)).split("\n"))
    return said, client.close_code


async def test_a_large_recovery_may_wait_beside_the_queue(start_notify: Any, tokens: Any) -> None:
    """Else a slow line would be cut for what it asked for, and ask again, for ever."""
    async with start_notify(queue_bytes_max=64 * 1024, send_buffer_bytes=16 * 1024) as notify:
        for _ in range(40):
            await notify.publish(progressed("anna", 30_000))
        since = {"channel": "account:#anna", "recover": True, "offset": 0, "epoch": ""}
        said, code = await ask_unread(notify, tokens, {"id": 2, "subscribe": since})
        assert len(said[0]["subscribe"]["publications"]) == 40
        assert code == 1000


async def test_large_replies_that_pile_up_unread_are_cut(start_notify: Any, tokens: Any) -> None:
    async with start_notify(queue_bytes_max=64 * 1024, send_buffer_bytes=16 * 1024) as notify:
        for _ in range(40):
            await notify.publish(progressed("anna", 30_000))
        asked = [
            {"id": id_, "history": {"channel": "account:#anna", "limit": -1}} for id_ in range(2, 6)
        ]
        said, code = await ask_unread(notify, tokens, *asked)
        assert len(said) < len(asked)
        assert code == 3008


async def ask_history(client: ClientConnection) -> str:
    await client.send(json.dumps({"id": 2, "history": {"channel": "account:#anna"}}))
    return str(await client.recv())


async def test_a_foreign_origin_is_refused(notify: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(notify.address, origin="https://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    async with connect(notify.address, origin="http://localhost:8080"):  # type: ignore[arg-type]
        pass


async def test_more_connections_than_an_account_may_have_are_refused(
    start_notify: Any, tokens: Any
) -> None:
    async with (
        start_notify(connections_per_account_max=2) as notify,
        connect(notify.address) as one,
        connect(notify.address) as two,
        connect(notify.address) as three,
        connect(notify.address) as other,
    ):
        await log_in(one, tokens.make("anna"))
        await log_in(two, tokens.make("anna"))
        await three.send(json.dumps({"id": 1, "connect": {"token": tokens.make("anna")}}))
        assert await closing_code(three) == 3504
        await log_in(other, tokens.make("berta"))


async def test_connecting_faster_than_the_rate_is_refused_for_now(start_notify: Any) -> None:
    async with start_notify(connects_per_s=0.1, connects_burst=2) as notify:
        async with connect(notify.address), connect(notify.address):
            with pytest.raises(InvalidStatus) as refused:
                await connect(notify.address)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"


async def test_forged_and_missing_tokens(notify: Any, tokens: Any) -> None:
    async with connect(notify.address) as client:
        await client.send(json.dumps({"id": 1, "connect": {"token": tokens.make("a") + "x"}}))
        assert await closing_code(client) == 3500
    async with connect(notify.address) as client:
        await client.send(json.dumps({"id": 1, "connect": {}}))
        assert json.loads(await client.recv())["error"]["code"] == 101
    async with connect(notify.address) as client:
        old = tokens.make("a", ttl_s=-5)
        await client.send(json.dumps({"id": 1, "connect": {"token": old}}))
        assert json.loads(await client.recv())["error"]["code"] == 109
        await log_in(client, tokens.make("a"))


async def test_memory_stays_level_while_clients_come_and_go(notify: Any, tokens: Any) -> None:
    process = psutil.Process(os.getpid())

    async def visit() -> None:
        async with connect(notify.address) as client:
            await log_in(client, tokens.make("anna"), "flags")

    for _ in range(100):
        await visit()
    before = process.memory_info().rss
    for _ in range(300):
        await visit()
    assert process.memory_info().rss - before < 8 << 20
    assert notify.house.hub.sinks() == []
    assert notify.house.sockets.open_count == 0
