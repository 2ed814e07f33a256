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
from pathlib import Path
from typing import Any

import httpx
import pytest
from centrifuge import SubscriptionEventHandler, SubscriptionState, UnsubscribedContext

from tests.visitor import COMPLETED, Visitor, subscribe
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

TRACE_TIMEOUT_S = 60.0
UPLOADED = "tonearm.audio.uploaded.v1"
STARTED = "tonearm.analysis.started.v1"
PROGRESSED = "tonearm.analysis.progressed.v1"


@pytest.fixture(scope="module")
def band(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small band of known tempo, key and loudness."""
    path = tmp_path_factory.mktemp("band") / "band.wav"
    command = [sys.executable, "-m", "tonearm_eval.band", "--out", str(path)]
    command += ["--tempo", "112", "--key", "E minor", "--seed", "7", "--duration-s", "20"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return path, json.loads(done.stdout)


@pytest.fixture
async def anna(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as visitor:
        yield visitor


@pytest.fixture
async def bert(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as visitor:
        yield visitor


async def upload(visitor: Visitor, path: Path, **headers: str) -> dict[str, Any]:
    with path.open("rb") as file:
        answer = await visitor.api.post(
            "/v1/audio", files={"file": (path.name, file, "audio/wav")}, headers=headers
        )
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_recording_is_heard_by_push_and_read_back_and_traced(
    stack: Stack, anna: Visitor, band: tuple[Path, dict[str, Any]]
) -> None:
    path, truth = band
    trace_id = secrets.token_hex(16)
    async with anna.connected() as client:
        own = await subscribe(client, f"account:#{anna.account_id}")
        audio = await upload(anna, path, traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
        recording = await subscribe(client, f"audio:{audio['id']}")
        _, completed = await own.wait_for(audio["id"], COMPLETED)
        await recording.wait_for(audio["id"], COMPLETED)

    types = [event["type"] for _, event in own.events]
    assert types.count(COMPLETED) == 1
    assert types.index(UPLOADED) < types.index(STARTED) < types.index(PROGRESSED)
    assert_is_cloud_event(completed, subject=audio["id"])
    assert_summary_is_true(completed["data"]["summary"], truth)

    assert (await anna.settled(audio["id"]))["status"] == "completed"
    stored = await anna.analysis(audio["id"])
    assert stored["status"] == "completed"
    assert stored["result"]["result_id"] == completed["data"]["result_id"]
    await assert_other_tempi_can_be_preferred(anna, stored)

    await assert_one_trace(stack, trace_id)


async def assert_other_tempi_can_be_preferred(anna: Visitor, stored: dict[str, Any]) -> None:
    found = stored["result"]["rhythm"]["tempo_bpm"]
    path = f"/v1/audio/{stored['audio_id']}/analysis"
    answer = await anna.get(f"{path}?tempo_min_bpm={1.9 * found}&tempo_max_bpm={2.1 * found}")
    rhythm = answer.json()["result"]["rhythm"]
    assert rhythm["tempo_bpm"] == pytest.approx(2 * found, rel=0.01)
    assert len(rhythm["beats_s"]) == 2 * len(stored["result"]["rhythm"]["beats_s"]) - 1


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


EDGES = [
    ("gateway", "ingest"),
    ("ingest", "auth"),
    ("ingest", "analysis"),
    ("analysis", "notify"),
    ("analysis", "ingest"),
    ("analysis", "auth"),
]


async def assert_one_trace(stack: Stack, trace_id: str) -> None:
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


class Closed(SubscriptionEventHandler):  # type: ignore[misc]
    """Knows when a subscription is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        self.over.set()


async def test_other_peoples_channels_are_closed(
    anna: Visitor, bert: Visitor, band: tuple[Path, dict[str, Any]]
) -> None:
    audio = await upload(bert, band[0])
    async with bert.connected() as client:
        await subscribe(client, f"audio:{audio['id']}")

    async with anna.connected() as client:
        for channel in (f"account:#{bert.account_id}", f"audio:{audio['id']}"):
            closed = Closed()
            subscription = client.new_subscription(channel, events=closed)
            await subscription.subscribe()
            async with asyncio.timeout(15):
                await closed.over.wait()
            assert subscription.state is SubscriptionState.UNSUBSCRIBED


async def test_other_peoples_recordings_are_not_there(
    anna: Visitor, bert: Visitor, band: tuple[Path, dict[str, Any]]
) -> None:
    audio = await upload(bert, band[0])

    for path in (f"/v1/audio/{audio['id']}", f"/v1/audio/{audio['id']}/analysis"):
        answer = await anna.api.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("application/problem+json")
