"""One recording travels the whole house: real processes, real Kafka, Postgres, Envoy and Zipkin.

The client side is made of tools that others wrote: httpx, centrifuge-python, Zipkin's API.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from centrifuge import (
    Client,
    ClientEventHandler,
    PublicationContext,
    SubscriptionEventHandler,
    SubscriptionState,
    UnsubscribedContext,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PUSH_TIMEOUT_S = 60.0
TRACE_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Account:
    """A registered caller with an access token."""

    account_id: str
    token: str
    api: httpx.AsyncClient


@dataclass
class Heard(SubscriptionEventHandler):  # type: ignore[misc]
    """What one subscription was pushed, in order."""

    events: list[dict[str, Any]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_publication(self, ctx: PublicationContext) -> None:
        async with self.arrived:
            self.events.append(ctx.pub.data)
            self.arrived.notify_all()

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        self.closed.set()

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def wait_for(self, event_type: str) -> dict[str, Any]:
        async with asyncio.timeout(PUSH_TIMEOUT_S), self.arrived:
            await self.arrived.wait_for(lambda: event_type in self.types())
        return next(event for event in self.events if event["type"] == event_type)


@pytest.fixture(scope="module")
def band(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small band of known tempo, key and loudness."""
    path = tmp_path_factory.mktemp("band") / "band.wav"
    command = [sys.executable, "-m", "tonearm_eval.band", "--out", str(path)]
    command += ["--tempo", "112", "--key", "E minor", "--seed", "7", "--duration-s", "20"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return path, json.loads(done.stdout)


async def register(gateway_url: str, address: str) -> Account:
    email = f"anna-{secrets.token_hex(6)}@example.org"
    api = httpx.AsyncClient(base_url=gateway_url, timeout=30, headers={"X-Forwarded-For": address})
    secret = {"email": email, "password": secrets.token_urlsafe(18)}
    registered = await api.post("/v1/auth/register", json={**secret, "full_name": "Anna"})
    assert registered.status_code == 201, registered.text
    session = await api.post("/v1/auth/login", json=secret)
    assert session.status_code == 200, session.text
    token = session.json()["access_token"]
    api.headers["Authorization"] = f"Bearer {token}"
    me = (await api.get("/v1/auth/me")).json()
    return Account(account_id=me["id"], token=token, api=api)


@pytest.fixture
async def anna(stack: Any, client_address: str) -> AsyncIterator[Account]:
    account = await register(stack.gateway_url, client_address)
    async with account.api:
        yield account


@pytest.fixture
async def bert(stack: Any, client_address: str) -> AsyncIterator[Account]:
    account = await register(stack.gateway_url, client_address)
    async with account.api:
        yield account


@pytest.fixture
async def push(stack: Any, anna: Account) -> AsyncIterator[Client]:
    """A connection of Anna's."""
    async with connected(stack, anna) as client:
        yield client


class connected:
    """A centrifuge-python connection for the life of a block."""

    def __init__(self, stack: Any, account: Account) -> None:
        url = stack.gateway_url.replace("http", "ws", 1) + "/connection/websocket"
        self._client = Client(url, events=ClientEventHandler(), token=account.token)

    async def __aenter__(self) -> Client:
        await self._client.connect()
        await self._client.ready(timeout=15)
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.disconnect()


async def upload(account: Account, path: Path, traceparent: str) -> dict[str, Any]:
    with path.open("rb") as file:
        answer = await account.api.post(
            "/v1/audio",
            files={"file": (path.name, file, "audio/wav")},
            headers={"traceparent": traceparent},
        )
    assert answer.status_code in (201, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


async def subscribe(client: Client, channel: str) -> Heard:
    heard = Heard()
    subscription = client.new_subscription(channel, events=heard)
    await subscription.subscribe()
    await subscription.ready(timeout=15)
    return heard


async def test_a_recording_is_heard_by_push_and_read_back_and_traced(
    stack: Any, anna: Account, push: Client, band: tuple[Path, dict[str, Any]]
) -> None:
    path, truth = band
    trace_id = secrets.token_hex(16)
    own = await subscribe(push, f"account:#{anna.account_id}")

    audio = await upload(anna, path, f"00-{trace_id}-{secrets.token_hex(8)}-01")
    recording = await subscribe(push, f"audio:{audio['id']}")

    completed = await own.wait_for("tonearm.analysis.completed.v1")
    await recording.wait_for("tonearm.analysis.completed.v1")
    assert_is_cloud_event(completed, subject=audio["id"])
    assert own.types().count("tonearm.analysis.completed.v1") == 1
    assert own.types().index("tonearm.audio.uploaded.v1") < own.types().index(
        "tonearm.analysis.started.v1"
    )
    assert "tonearm.analysis.progressed.v1" in own.types()
    assert_summary_is_true(completed["data"]["summary"], truth)

    listed = await until_completed(anna, audio["id"])
    assert listed["status"] == "completed"
    result = (await anna.api.get(f"/v1/audio/{audio['id']}/analysis")).json()
    assert result["status"] == "completed"
    assert result["result"]["result_id"] == completed["data"]["result_id"]

    await assert_one_trace(stack, trace_id)


def assert_is_cloud_event(event: dict[str, Any], *, subject: str) -> None:
    assert event["specversion"] == "1.0"
    assert event["subject"] == subject
    assert event["source"] == "/tonearm/analysis"
    assert event["traceparent"]


def assert_summary_is_true(summary: dict[str, Any], truth: dict[str, Any]) -> None:
    assert summary["tempo_bpm"] == pytest.approx(truth["tempo_bpm"], rel=0.01)
    assert summary["key"] == truth["key"]
    assert summary["loudness_lufs"] == pytest.approx(truth["loudness_lufs"], abs=0.2)
    assert summary["duration_s"] == pytest.approx(truth["duration_s"], abs=0.05)


async def until_completed(account: Account, audio_id: str) -> dict[str, Any]:
    """Return the recording once ingest, too, has heard that it is analysed."""
    async with asyncio.timeout(PUSH_TIMEOUT_S):
        while True:
            body: dict[str, Any] = (await account.api.get(f"/v1/audio/{audio_id}")).json()
            if body["status"] == "completed":
                return body
            await asyncio.sleep(0.2)


EDGES = [
    ("gateway", "ingest"),
    ("ingest", "auth"),
    ("ingest", "analysis"),
    ("analysis", "notify"),
    ("analysis", "ingest"),
    ("analysis", "auth"),
]


async def assert_one_trace(stack: Any, trace_id: str) -> None:
    """Every edge of the picture is a parent and child of different services in one trace."""
    found: set[tuple[str, str]] = set()
    async with httpx.AsyncClient(base_url=stack.zipkin_url, timeout=10) as zipkin:
        try:
            async with asyncio.timeout(TRACE_TIMEOUT_S):
                while not set(EDGES) <= found:
                    answer = await zipkin.get(f"/api/v2/trace/{trace_id}")
                    found = service_edges(answer.json()) if answer.is_success else set()
                    await asyncio.sleep(0.5)
        except TimeoutError:
            pytest.fail(f"edges missing from the trace: {sorted(set(EDGES) - found)}")


def service_edges(spans: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return (parent's service, child's service) where the two differ.

    Zipkin lets the two sides of a call share one span id, so an id may name two services.
    """
    services: dict[str, set[str]] = {}
    for span in spans:
        services.setdefault(span["id"], set()).add(service_of(span))
    edges = {
        (parent, service_of(span))
        for span in spans
        for parent in services.get(span.get("parentId", ""), set())
    }
    return {(parent, child) for parent, child in edges if parent != child}


def service_of(span: dict[str, Any]) -> str:
    name: str = span.get("localEndpoint", {}).get("serviceName", "")
    return name


async def test_other_peoples_channels_are_closed(
    stack: Any, anna: Account, bert: Account, push: Client, band: tuple[Path, dict[str, Any]]
) -> None:
    audio = await upload(bert, band[0], f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01")
    async with connected(stack, bert) as client:
        await subscribe(client, f"audio:{audio['id']}")

    for channel in (f"account:#{bert.account_id}", f"audio:{audio['id']}"):
        heard = Heard()
        subscription = push.new_subscription(channel, events=heard)
        await subscription.subscribe()
        async with asyncio.timeout(15):
            await heard.closed.wait()
        assert subscription.state is SubscriptionState.UNSUBSCRIBED
        assert heard.events == []


async def test_other_peoples_recordings_are_not_there(
    anna: Account, bert: Account, band: tuple[Path, dict[str, Any]]
) -> None:
    audio = await upload(bert, band[0], f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01")

    for path in (f"/v1/audio/{audio['id']}", f"/v1/audio/{audio['id']}/analysis"):
        answer = await anna.api.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("application/problem+json")
