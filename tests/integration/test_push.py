"""Push on the whole house: notices reach every replica once, rights end where they were given.

Events take the real road: HTTP, outbox, Kafka, history, fan-out. Times are printed, not asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests import sounds
from tests.visitor import Visitor
from tonearm_local.testing import Stack, free_ports

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
WAIT_S = 30.0


@asynccontextmanager
async def second_replica(stack: Stack) -> AsyncIterator[str]:
    """Run one more notify beside the stack's own; yields its WebSocket address."""
    http_port, ws_port = free_ports(2)
    env = {
        **os.environ,
        **stack.service_env("notify"),
        "NOTIFY_HTTP_PORT": str(http_port),
        "NOTIFY_WS_PORT": str(ws_port),
        "NOTIFY_DRAIN_WINDOW_S_MAX": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tonearm_notify", "serve",
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while not await is_ready(client, http_port):
                await asyncio.sleep(0.2)
        yield f"ws://127.0.0.1:{ws_port}/connection/websocket"
    finally:
        process.terminate()
        await process.wait()


async def is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success
    except httpx.TransportError:
        return False


class Socket:
    """One connection that speaks the protocol by hand."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._id = 0
        self._pushes: list[dict[str, Any]] = []

    async def ask(self, method: str, **body: Any) -> dict[str, Any]:
        """Send a command and return its reply; pushes on the way are kept."""
        self._id += 1
        await self.connection.send(json.dumps({"id": self._id, method: body}))
        while True:
            for said in await self._hear():
                if said.get("id") == self._id:
                    return said
                self._keep(said)

    async def push(self) -> dict[str, Any]:
        """Return the next push."""
        while not self._pushes:
            for said in await self._hear():
                self._keep(said)
        return self._pushes.pop(0)

    async def event(self) -> dict[str, Any]:
        """Return the event of the next push, which must be a publication."""
        pub: dict[str, Any] = (await self.push())["pub"]
        return pub

    async def closed(self) -> int:
        """Return the code that the server closes with, as soon as it is here.

        The end of the connection itself may come later: the gateway gives clients time to read.
        """
        async with asyncio.timeout(WAIT_S):
            while (close := self.connection.protocol.close_rcvd) is None:
                await asyncio.sleep(0.005)
        return close.code

    async def _hear(self) -> list[dict[str, Any]]:
        text = str(await asyncio.wait_for(self.connection.recv(), WAIT_S))
        heard = [json.loads(line) for line in text.split("\n")]
        if {} in heard:
            await self.connection.send("{}")
        return [said for said in heard if said]

    def _keep(self, said: dict[str, Any]) -> None:
        if "push" in said:
            self._pushes.append(said["push"])


@asynccontextmanager
async def logged_in(address: str, token: str, *channels: str) -> AsyncIterator[Socket]:
    async with connect(address) as connection:
        socket = Socket(connection)
        assert "connect" in await socket.ask("connect", token=token)
        for channel in channels:
            assert "subscribe" in await socket.ask("subscribe", channel=channel)
        yield socket


def gateway_socket(stack: Stack) -> str:
    return stack.gateway_url.replace("http", "ws", 1) + "/connection/websocket"


async def timed(closed: Awaitable[int]) -> tuple[int, float]:
    """Return a close code and when it came."""
    return await closed, time.monotonic()


async def make_admin(stack: Stack, visitor: Visitor) -> None:
    email = (await visitor.get("/v1/auth/me")).json()["email"]
    env = {**os.environ, **stack.service_env("auth")}
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tonearm_auth", "make-admin", email],
        env=env,
        check=True,
        capture_output=True,
    )


async def announced_by_hand(stack: Stack, token: str) -> dict[str, Any]:
    """Announce something with the command-line program; returns what it prints."""
    words = ["announce", "We are back.", "--kind", "info", "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tonearm_cli", *words],
        env={**os.environ, "TONEARM_SERVER": stack.gateway_url, "TONEARM_TOKEN": token},
        check=True,
        capture_output=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
async def anna(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as visitor:
        yield visitor


async def test_a_notice_reaches_the_sockets_of_every_replica_once(
    stack: Stack, anna: Visitor
) -> None:
    notice = {"kind": "maintenance", "message": "Uploads pause for ten minutes."}
    refused = await anna.api.post("/v1/admin/notices", json=notice)
    assert (refused.status_code, refused.json()["code"]) == (403, "superuser_required")
    assert refused.headers["content-type"] == "application/problem+json"
    await make_admin(stack, anna)
    async with (
        second_replica(stack) as other,
        logged_in(gateway_socket(stack), anna.token, "system") as here,
        logged_in(other, anna.token, "system") as there,
    ):
        key = {"Idempotency-Key": '"one notice"'}
        first, repeated = [
            await anna.api.post("/v1/admin/notices", json=notice, headers=key) for _ in range(2)
        ]
        assert first.status_code == repeated.status_code == 201, first.text
        assert first.json() == repeated.json()
        last = await announced_by_hand(stack, anna.token)
        wanted = [first.json()["id"], last["id"]]
        heard = [[await socket.event() for _ in wanted] for socket in (here, there)]
        for pubs in heard:
            assert [pub["data"]["subject"] for pub in pubs] == wanted
            assert pubs[0]["data"]["type"] == "tonearm.notice.announced.v1"
            assert pubs[0]["data"]["data"]["message"] == notice["message"]
        assert [pub["offset"] for pub in heard[0]] == [pub["offset"] for pub in heard[1]]
    audit = (await anna.get("/v1/admin/audit")).json()["items"]
    assert [entry["action"] for entry in audit[:2]] == ["notice.announced"] * 2


async def test_a_changed_flag_tells_everybody_and_an_override_one_person(
    stack: Stack, anna: Visitor
) -> None:
    await make_admin(stack, anna)
    own = f"account:#{anna.account_id}"
    async with logged_in(gateway_socket(stack), anna.token, "flags", own) as socket:
        flag = (await anna.get("/v1/admin/flags/ai-mastering")).json()
        rules = {name: flag[name] for name in ("is_enabled", "audience", "percentage")}
        path = "/v1/admin/flags/ai-mastering"
        try:
            changed = await anna.api.put(path, json=rules | {"percentage": 7})
            assert changed.status_code == 200, changed.text
            where = f"{path}/overrides/{anna.account_id}"
            assert (await anna.api.put(where, json={"value": True})).status_code == 204
            pushes = [await socket.push() for _ in range(2)]
        finally:
            await anna.api.put(path, json=rules)
    assert [push["channel"] for push in pushes] == ["flags", own]
    for push in pushes:
        assert push["pub"]["data"]["type"] == "tonearm.flag.changed.v1"


async def test_an_ended_session_is_cut_on_every_replica(stack: Stack, anna: Visitor) -> None:
    own = f"account:#{anna.account_id}"
    async with (
        second_replica(stack) as other,
        logged_in(gateway_socket(stack), anna.token, own) as here,
        logged_in(other, anna.token, own) as there,
    ):
        # Another session's end is heard, and cuts nobody. From then on both replicas read Kafka:
        # one that has just joined the group holds everybody up for some seconds.
        headers = {"Authorization": f"Bearer {await anna.another_session()}"}
        await anna.api.post("/v1/auth/logout", headers=headers)
        for socket in (here, there):
            event = (await socket.event())["data"]
            assert event["type"] == "tonearm.account.session_revoked.v1"
        asked_at_s = time.monotonic()
        assert (await anna.api.post("/v1/auth/logout")).status_code == 204
        ends = await asyncio.gather(*(timed(socket.closed()) for socket in (here, there)))
        assert [code for code, _ in ends] == [3500, 3500]
        for (_, at_s), way in zip(ends, ("through the gateway", "directly"), strict=True):
            took_ms = (at_s - asked_at_s) * 1000
            print(f"log-out asked for to socket cut, {way}: {took_ms:.0f} ms")
        for address in (gateway_socket(stack), other):
            async with connect(address) as connection:
                await connection.send(json.dumps({"id": 1, "connect": {"token": anna.token}}))
                assert await Socket(connection).closed() == 3500


async def test_a_deleted_recording_is_closed_on_every_replica_for_good(
    stack: Stack, anna: Visitor, tmp_path: Path
) -> None:
    audio = await anna.upload_at_last(sounds.tone(tmp_path / "a.wav", seed=7100))
    await anna.settled(audio["id"])
    channel = f"audio:{audio['id']}"
    async with (
        second_replica(stack) as other,
        logged_in(gateway_socket(stack), anna.token, channel) as here,
        logged_in(other, anna.token, channel) as there,
    ):
        position = (await here.ask("history", channel=channel, limit=-1))["history"]
        assert position["publications"]
        asked_at_s = time.monotonic()
        assert (await anna.api.delete(f"/v1/audio/{audio['id']}")).status_code == 204
        for socket in (here, there):
            pushes = [await socket.push()]
            while "unsubscribe" not in pushes[-1]:
                pushes.append(await socket.push())
            assert pushes[-1]["unsubscribe"]["code"] == 2000
            assert pushes[-2]["pub"]["data"]["type"] == "tonearm.audio.deleted.v1"
        took_ms = (time.monotonic() - asked_at_s) * 1000
        print(f"deletion asked for to both subscriptions ended: {took_ms:.0f} ms")
        for address in (gateway_socket(stack), other):
            await assert_nothing_is_served(address, anna.token, channel, position)
    headers = {"Last-Event-ID": f"{position['epoch']}.1"}
    stream = await anna.api.get("/v1/events", params={"channel": channel}, headers=headers)
    assert (stream.status_code, stream.json()["code"]) == (403, "channel_denied")


async def assert_nothing_is_served(
    address: str, token: str, channel: str, position: dict[str, Any]
) -> None:
    """Whoever comes back, with a position or without, learns nothing of a deleted recording."""
    since = {"offset": 1, "epoch": position["epoch"]}
    async with logged_in(address, token) as late:
        asked = [
            await late.ask("subscribe", channel=channel, recover=True, **since),
            await late.ask("subscribe", channel=channel),
            await late.ask("history", channel=channel, limit=-1),
            await late.ask("presence", channel=channel),
        ]
        assert [reply["error"]["code"] for reply in asked] == [103] * 4
    async with connect(address) as connection:
        back = Socket(connection)
        subs = {channel: {"recover": True, **since}}
        reply = await back.ask("connect", token=token, subs=subs)
        assert "subs" not in reply["connect"]
