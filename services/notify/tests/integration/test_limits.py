"""What one connection may have, and what it is told beyond that."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tonearm_contracts.events import AudioUpdated
from tonearm_notify.adapters.observe import Observer

pytestmark = pytest.mark.integration


def updated(audio_id: str = "r") -> AudioUpdated:
    return AudioUpdated(audio_id=audio_id, account_id="anna", status="processing", filename="a")


async def ask(client: ClientConnection, id_: int, **command: Any) -> Any:
    await client.send(json.dumps({"id": id_, **command}))
    reply = json.loads(await asyncio.wait_for(client.recv(), 10))
    assert reply["id"] == id_
    return reply


async def test_channels_of_a_connection_are_counted(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(channels_per_connection_max=2) as notify,
        connect(notify.address) as client,
    ):
        await ask(client, 1, connect={"token": tokens.make("anna")})
        for id_, channel in enumerate(("flags", "system"), start=2):
            assert "subscribe" in await ask(client, id_, subscribe={"channel": channel})
        own = {"channel": "account:#anna"}
        assert (await ask(client, 4, subscribe=own))["error"]["code"] == 106
        await ask(client, 5, unsubscribe={"channel": "flags"})
        assert "subscribe" in await ask(client, 6, subscribe=own)


async def test_a_full_process_refuses_for_now_and_its_operators_see_it(
    start_notify: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, int]] = []
    monkeypatch.setattr(
        Observer, "count", lambda _, reason, number: counted.append((reason, number))
    )
    async with start_notify(connections_max=1) as notify, connect(notify.address):
        with pytest.raises(InvalidStatus) as refused:
            await connect(notify.address)
        assert counted == [("no_room", 1)]
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"


async def test_who_wants_no_gap_is_told_instead_of_subscribed(notify: Any, tokens: Any) -> None:
    await notify.publish(updated())
    async with connect(notify.address) as client:
        await ask(client, 1, connect={"token": tokens.make("anna")})
        lost = {"channel": "account:#anna", "recover": True, "epoch": "other", "offset": 1}
        refused = await ask(client, 2, subscribe={**lost, "flag": 2})
        assert refused["error"]["code"] == 112
        told = (await ask(client, 3, subscribe=lost))["subscribe"]
        assert (told["was_recovering"], told["recovered"]) == (True, False)
        since = {"epoch": "other", "offset": 0}
        asked = {"channel": "account:#anna", "limit": 10, "since": since}
        assert (await ask(client, 4, history=asked))["error"]["code"] == 112


async def test_history_is_read_in_pages_both_ways(notify: Any, tokens: Any) -> None:
    ids = [await notify.publish(updated()) for _ in range(5)]
    async with connect(notify.address) as client:
        await ask(client, 1, connect={"token": tokens.make("anna")})

        async def page(id_: int, **asked: Any) -> list[str]:
            reply = await ask(client, id_, history={"channel": "account:#anna", **asked})
            return [pub["data"]["id"] for pub in reply["history"]["publications"]]

        assert await page(2, limit=0) == []
        assert await page(3, limit=-1) == ids
        assert await page(4, limit=2) == ids[:2]
        assert await page(5, limit=2, since={"offset": 2, "epoch": ""}) == ids[2:4]
        assert await page(6, limit=2, reverse=True) == [ids[4], ids[3]]
        assert await page(7, limit=9, reverse=True, since={"offset": 3, "epoch": ""}) == [
            ids[1],
            ids[0],
        ]


async def test_server_side_subscriptions_begin_and_recover(notify: Any, tokens: Any) -> None:
    wanted = ["account:#anna", "account:#berta", "system"]
    async with connect(notify.address) as client:
        hello = {"token": tokens.make("anna"), "data": {"channels": wanted}}
        connected = (await ask(client, 1, connect=hello))["connect"]
        assert set(connected["subs"]) == {"account:#anna", "system"}
        first = await notify.publish(updated())
        push = json.loads(await asyncio.wait_for(client.recv(), 10))["push"]
        assert (push["channel"], push["pub"]["data"]["id"]) == ("account:#anna", first)
    missed = [await notify.publish(updated()) for _ in range(3)]
    async with connect(notify.address) as client:
        epoch = connected["subs"]["account:#anna"]["epoch"]
        subs = {"account:#anna": {"recover": True, "epoch": epoch, "offset": 1}}
        again = (await ask(client, 1, connect={**hello, "data": None, "subs": subs}))["connect"]
        (sub,) = again["subs"].values()
        assert sub["recovered"] is True
        assert [pub["data"]["id"] for pub in sub["publications"]] == missed
