"""Replicas together: presence, a lost listening connection, the drain, the trace."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from opentelemetry import trace
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from websockets.asyncio.client import ClientConnection, connect

from tonearm_contracts.events import AudioDeleted, AudioUpdated, SessionRevoked
from tonearm_kit.ids import new_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def updated(account_id: str, audio_id: str = "r") -> AudioUpdated:
    return AudioUpdated(audio_id=audio_id, account_id=account_id, status="processing", filename="a")


async def ask(client: ClientConnection, **command: Any) -> Any:
    await client.send(json.dumps(command))
    return json.loads(await asyncio.wait_for(client.recv(), 10))


async def follow(client: ClientConnection, token: str, channel: str) -> None:
    assert "connect" in await ask(client, id=1, connect={"token": token})
    assert "subscribe" in await ask(client, id=2, subscribe={"channel": channel})


async def test_presence_spans_replicas(start_notify: Any, tokens: Any) -> None:
    audio_id = new_id()
    channel = f"audio:{audio_id}"
    async with (
        start_notify() as one,
        start_notify() as two,
        connect(one.address) as here,
        connect(two.address) as there,
    ):
        await one.publish(updated("anna", audio_id))
        await follow(here, tokens.make("anna"), channel)
        await follow(there, tokens.make("anna"), channel)
        for replica in (one, two):
            await replica.house.presence.sync()
        stats = await ask(here, id=3, presence_stats={"channel": channel})
        assert stats["presence_stats"] == {"num_clients": 2, "num_users": 1}
        listed = (await ask(there, id=3, presence={"channel": channel}))["presence"]["presence"]
        assert {who["user"] for who in listed.values()} == {"anna"}
        await there.send(json.dumps({"id": 4, "unsubscribe": {"channel": channel}}))
        await there.recv()
        await two.house.presence.sync()
        stats = await ask(here, id=5, presence_stats={"channel": channel})
        assert stats["presence_stats"]["num_clients"] == 1
        refused = await ask(here, id=6, presence={"channel": "account:#anna"})
        assert refused["error"]["code"] == 108


async def test_what_is_missed_while_not_listening_is_made_up_for(
    start_notify: Any, tokens: Any
) -> None:
    audio_id = new_id()
    async with (
        start_notify() as notify,
        start_notify() as other,
        connect(notify.address) as reader,
        connect(notify.address) as revoked,
    ):
        await notify.publish(updated("anna", audio_id))
        await follow(reader, tokens.make("anna"), f"audio:{audio_id}")
        await follow(revoked, tokens.make("anna", session_id="s9"), "system")
        async with other.db.begin() as conn:
            # One transaction, so that nothing of it can be heard before the connection is gone.
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                " AND datname = current_database() AND pid <> pg_backend_pid()"
            )
        await other.publish(updated("anna", audio_id))
        await other.publish(AudioDeleted(audio_id=audio_id, account_id="anna"))
        await other.publish(SessionRevoked(account_id="anna", session_id="s9", reason="logout"))
        types = []
        for _ in range(3):
            push = json.loads(await asyncio.wait_for(reader.recv(), 15))["push"]
            types.append(push["pub"]["data"]["type"] if "pub" in push else "unsubscribe")
        assert types == [
            "tonearm.audio.updated.v1",
            "tonearm.audio.deleted.v1",
            "unsubscribe",
        ]
        await asyncio.wait_for(revoked.wait_closed(), 15)
        assert revoked.close_code == 3500


async def test_the_trace_reaches_the_socket(notify: Any, tokens: Any, spans: Any) -> None:
    async with connect(notify.address) as client:
        await follow(client, tokens.make("anna"), "account:#anna")
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("process analysis.job.v1") as process:
            await notify.publish(updated("anna"))
        pub = json.loads(await client.recv())["push"]["pub"]
        await client.send(
            json.dumps(
                {"id": 9, "rpc": {"data": {"ack": {"channel": "account:#anna", "offset": 1}}}}
            )
        )
        await client.recv()
    trace_id = process.get_span_context().trace_id
    by_name = {span.name: span for span in spans.all() if span.context.trace_id == trace_id}
    publish, deliver = by_name["publish"], by_name["deliver account:#{id}"]
    assert publish.parent.span_id == process.get_span_context().span_id
    assert deliver.parent.span_id == publish.context.span_id
    assert deliver.attributes["tonearm.push.receivers"] == 1
    assert pub["tags"]["traceparent"].split("-")[1:3] == [
        f"{trace_id:032x}",
        f"{publish.context.span_id:016x}",
    ]


class Hasty(WSListener):
    """A client without any patience: told to go, it connects elsewhere at once."""

    def __init__(self, token: str, on_end: Any) -> None:
        self._token = token
        self._on_end = on_end
        self.entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        connect_ = {"id": 1, "connect": {"token": self._token}}
        transport.send(WSMsgType.TEXT, json.dumps(connect_).encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            code = int(frame.get_close_code())  # type: ignore[call-overload]
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            self._on_end(code)
        elif not self.entered.done():
            self.entered.set_result(None)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of all connections are in this process; a shell's usual limit is a thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_two_thousand_clients_come_back_no_faster_than_the_stated_rate(
    start_notify: Any, tokens: Any, many_files: None
) -> None:
    count, rate = 2_000, 400.0
    token = tokens.make("anna")
    ends: list[tuple[float, int]] = []
    came_back_at_s: list[float] = []
    options: dict[str, Any] = {
        "connections_per_account_max": 5_000,
        "connects_burst": 5_000,
        "drain_closes_per_s": rate,
        "drain_window_s_max": 15.0,
    }
    async with start_notify(**options) as second, asyncio.TaskGroup() as tasks:

        async def come_back() -> None:
            came_back_at_s.append(time.monotonic())
            _, listener = await ws_connect(
                lambda: Hasty(token, lambda _: None), second.address, use_aiofastnet=False
            )
            await cast(Hasty, listener).entered

        def on_end(code: int) -> None:
            ends.append((time.monotonic(), code))
            tasks.create_task(come_back())

        async with start_notify(**options) as first:
            slots = asyncio.Semaphore(50)

            async def come() -> None:
                async with slots:
                    _, listener = await ws_connect(
                        lambda: Hasty(token, on_end), first.address, use_aiofastnet=False
                    )
                    await cast(Hasty, listener).entered

            async with asyncio.TaskGroup() as coming:
                for _ in range(count):
                    coming.create_task(come())
            assert first.house.hub.count("anna") == count
    assert [code for _, code in ends] == [3001] * count
    assert len(came_back_at_s) == count
    busiest = max(
        sum(start <= at_s < start + 1.0 for at_s in came_back_at_s)
        for start in came_back_at_s[::20]
    )
    print(f"busiest second: {busiest} of {rate:.0f} allowed")  # noqa: T201 - the measurement
    assert busiest <= rate * 1.15
    assert came_back_at_s[-1] - came_back_at_s[0] >= count / rate * 0.9
