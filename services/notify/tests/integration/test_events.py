"""Server-sent events: the same feeds, the same recovery."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tonearm_contracts.events import AudioDeleted, AudioUpdated, SessionRevoked
from tonearm_kit.ids import new_id

pytestmark = pytest.mark.integration


@dataclass
class Event:
    """One dispatched event, as the HTML standard reads it."""

    type: str = "message"
    data: str = ""
    id: str = ""


@dataclass
class Reader:
    """Reads a stream; `last_id` is kept as an EventSource keeps it."""

    lines: AsyncIterator[str]
    last_id: str = ""
    retry_ms: int | None = None
    comments: int = 0
    seen: list[str] = field(default_factory=list)

    async def next(self, timeout_s: float = 5.0) -> Event:
        event = Event()
        async with asyncio.timeout(timeout_s):
            async for line in self.lines:
                if not line:
                    if event.data:
                        return event
                    event = Event()
                    continue
                self._take(event, line)
        raise EOFError

    def _take(self, event: Event, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            self.comments += 1
        elif name == "id":
            event.id = self.last_id = value
        elif name == "event":
            event.type = value
        elif name == "data":
            event.data += value
        elif name == "retry":
            self.retry_ms = int(value)

    async def opened(self) -> None:
        async with asyncio.timeout(5):
            async for line in self.lines:
                if not line:
                    return
                self._take(Event(), line)


@asynccontextmanager
async def reading(
    notify: Any, token: str | None, last_id: str = "", **params: Any
) -> AsyncIterator[Reader]:
    port = await notify.http_port
    headers = {"Last-Event-ID": last_id} if last_id else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
        client.stream("GET", "/v1/events", headers=headers, params=params) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        reader = Reader(response.aiter_lines())
        await reader.opened()
        yield reader


def updated(account_id: str, audio_id: str = "r") -> AudioUpdated:
    return AudioUpdated(audio_id=audio_id, account_id=account_id, status="processing", filename="a")


async def test_events_arrive_and_a_reconnect_goes_on_without_a_gap(
    notify: Any, tokens: Any
) -> None:
    token = tokens.make("anna")
    async with reading(notify, token) as reader:
        assert reader.last_id.endswith(".0")
        sent = [await notify.publish(updated("anna"))]
        first = await reader.next()
        assert json.loads(first.data)["id"] == sent[0]
        last_id = reader.last_id
    sent = [await notify.publish(updated("anna")) for _ in range(3)]
    async with reading(notify, token, last_id) as reader:
        got = [json.loads((await reader.next()).data)["id"] for _ in range(3)]
        assert got == sent
        sent = [await notify.publish(updated("anna"))]
        assert json.loads((await reader.next()).data)["id"] == sent[0]


async def test_a_reader_cut_off_before_the_first_event_loses_nothing(
    notify: Any, tokens: Any
) -> None:
    token = tokens.make("anna")
    async with reading(notify, token) as reader:
        last_id = reader.last_id
    sent = await notify.publish(updated("anna"))
    async with reading(notify, token, last_id) as reader:
        assert json.loads((await reader.next()).data)["id"] == sent


async def test_several_channels_share_one_cursor(notify: Any, tokens: Any) -> None:
    token, audio_id = tokens.make("anna"), new_id()
    await notify.publish(updated("anna", audio_id))
    names = [f"audio:{audio_id}", "account:#anna", "system"]
    async with reading(notify, token, channel=names) as reader:
        await notify.publish(updated("anna", audio_id))
        await reader.next()
        await reader.next()
        last_id = reader.last_id
        assert last_id.count(",") == 2
    sent = await notify.publish(updated("anna", audio_id))
    async with reading(notify, token, last_id, channel=names) as reader:
        got = [json.loads((await reader.next()).data)["id"] for _ in range(2)]
        assert got == [sent, sent]


def large(account_id: str, size_bytes: int = 50_000) -> AudioUpdated:
    return AudioUpdated(
        audio_id="r", account_id=account_id, status="processing", filename="x" * size_bytes
    )


async def test_more_than_the_queue_is_recovered_in_one_go(start_notify: Any, tokens: Any) -> None:
    """Else a reader with much to recover would be cut for it, and ask again, for ever."""
    async with start_notify(queue_bytes_max=64 * 1024) as notify:
        token = tokens.make("anna")
        async with reading(notify, token) as reader:
            last_id = reader.last_id
        sent = [await notify.publish(large("anna")) for _ in range(20)]
        async with reading(notify, token, last_id) as reader:
            sent.append(await notify.publish(updated("anna")))
            got = [json.loads((await reader.next()).data)["id"] for _ in sent]
        assert got == sent


async def test_more_than_a_stream_gives_back_is_told(start_notify: Any, tokens: Any) -> None:
    """Two channels, each within what the history gives back, together beyond it."""
    async with start_notify() as notify:
        token, audio_id = tokens.make("anna"), new_id()
        await notify.publish(updated("anna", audio_id))
        names = ["account:#anna", f"audio:{audio_id}"]
        async with reading(notify, token, channel=names) as reader:
            last_id = reader.last_id
        for _ in range(45):
            event = large("anna").model_copy(update={"audio_id": audio_id})
            await notify.publish(event)
        async with reading(notify, token, last_id, channel=names) as reader:
            types = [(await reader.next()).type for _ in range(46)]
            assert types == ["message"] * 45 + ["reset"]
            sent = await notify.publish(updated("anna", audio_id))
            got = [json.loads((await reader.next()).data)["id"] for _ in range(2)]
            assert got == [sent, sent]


@pytest.mark.parametrize("last_id", ["zzzz.1", "zzzz.99999"])
async def test_what_cannot_be_recovered_is_told(notify: Any, tokens: Any, last_id: str) -> None:
    await notify.publish(updated("anna"))
    async with reading(notify, tokens.make("anna"), last_id) as reader:
        event = await reader.next()
        assert event.type == "reset"
        told = json.loads(event.data)
        assert told["recovered"] is False
        assert told["offset"] == 1


async def test_garbage_as_cursor_starts_afresh(notify: Any, tokens: Any) -> None:
    async with reading(notify, tokens.make("anna"), "what, is this?") as reader:
        sent = await notify.publish(updated("anna"))
        assert json.loads((await reader.next()).data)["id"] == sent


async def test_a_ticket_opens_the_stream_without_headers(notify: Any, tokens: Any) -> None:
    port = await notify.http_port
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        headers = {"Authorization": f"Bearer {tokens.make('anna')}"}
        made = await client.post("/v1/events/tickets", headers=headers)
        assert made.status_code == 201
        ticket = made.json()["ticket"]
        refused = await client.get("/v1/events", params={"ticket": "wrong"})
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await client.get("/v1/events")).status_code == 401
    async with reading(notify, None, ticket=ticket) as reader:
        sent = await notify.publish(updated("anna"))
        assert json.loads((await reader.next()).data)["id"] == sent


async def test_other_peoples_channels_are_refused(notify: Any, tokens: Any) -> None:
    port = await notify.http_port
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get(
            "/v1/events",
            params={"channel": "account:#berta"},
            headers={"Authorization": f"Bearer {tokens.make('anna')}"},
        )
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/channel-denied")
    assert answer.json()["channel"] == "account:#berta"


async def test_revocation_ends_the_stream(notify: Any, tokens: Any) -> None:
    audio_id = new_id()
    await notify.publish(updated("anna", audio_id))
    token = tokens.make("anna", session_id="s9")
    async with reading(notify, token, channel=f"audio:{audio_id}") as reader:
        await notify.publish(AudioDeleted(audio_id=audio_id, account_id="anna"))
        assert json.loads((await reader.next()).data)["type"] == "tonearm.audio.deleted.v1"
        assert (await reader.next()).type == "unsubscribed"
        await notify.publish(SessionRevoked(account_id="anna", session_id="s9", reason="logout"))
        ended = await reader.next(1.0)
        assert ended.type == "disconnect"
        assert json.loads(ended.data)["code"] == 3500
        with pytest.raises(EOFError):
            await reader.next()


async def test_an_expired_stream_ends(notify: Any, tokens: Any) -> None:
    async with reading(notify, tokens.make("anna", ttl_s=2)) as reader:
        assert json.loads((await reader.next(5)).data)["code"] == 3005


async def test_silence_is_filled_with_comments(start_notify: Any, tokens: Any) -> None:
    async with (
        start_notify(events_keep_alive_s=1.0) as notify,
        reading(notify, tokens.make("anna", ttl_s=4)) as reader,
    ):
        await reader.next(10)
        assert reader.comments >= 1


async def test_a_drain_spreads_the_readers_over_the_window(start_notify: Any, tokens: Any) -> None:
    retries: list[int | None] = []
    async with start_notify(drain_window_s_max=10.0) as notify:

        async def read(name: str) -> None:
            async with reading(notify, tokens.make(name)) as reader:
                ready.release()
                ended = await reader.next(10)
                assert json.loads(ended.data)["code"] == 3001
                retries.append(reader.retry_ms)

        ready = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(read(f"a{number}"))
            for _ in range(8):
                await ready.acquire()
            notify.stop.set()
    assert len(set(retries)) > 4
    assert all(0 <= retry <= 10_000 for retry in retries if retry is not None)
