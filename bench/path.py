"""What the path adds to the engine: from the accepted upload to the push, minus engine time."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.report import Report, Row, Unmeasurable, machine, percentile
from tests import sounds
from tests.visitor import COMPLETED, Heard, Visitor
from tonearm_local.testing import Stack

_WARM_UP = 3
_PER_ACCOUNT = 18
"""The gateway grants an account 20 uploads a minute."""


async def measure(stack: Stack, *, uploads: int) -> Report:
    """Send `uploads` recordings through the gateway and as many past it, one after the other."""
    report = Report("Path overhead: accepted upload to push, minus engine time")
    report.circumstances = machine() | {"uploads": uploads, "audio_s": 5, "one at a time": True}
    through, past = await _both_roads(stack, uploads=uploads)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        report.rows.append(
            Row(
                f"accepted to push minus engine, {name}",
                "ms",
                percentile(through["overhead_ms"], share),
                percentile(past["overhead_ms"], share),
                "straight to ingest and notify, no gateway",
            )
        )
        report.rows.append(
            Row(
                f"accepted to push, {name}",
                "ms",
                percentile(through["total_ms"], share),
                percentile(through["engine_ms"], share),
                "the engine alone",
            )
        )
        report.rows.append(
            Row(
                f"POST /v1/audio, {name}",
                "ms",
                percentile(through["upload_ms"], share),
                percentile(past["upload_ms"], share),
                "straight to ingest, no gateway",
            )
        )
    return report


Found = dict[str, list[float]]


async def _both_roads(stack: Stack, *, uploads: int) -> tuple[Found, Found]:
    """Alternate between the roads, so that a busy moment of the machine meets both."""
    through, past = _nothing(), _nothing()
    seed = secrets.randbits(32)  # results are kept by content: the bytes must be new
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < uploads + _WARM_UP:
            async with AsyncExitStack() as opened:
                roads = [
                    (found, *await opened.enter_async_context(_road(stack, done, is_direct=direct)))
                    for found, direct in ((through, False), (past, True))
                ]
                for _ in range(min(_PER_ACCOUNT, uploads + _WARM_UP - done)):
                    for found, visitor, heard in roads:
                        seed += 1
                        path = sounds.tone(Path(folder) / f"{seed}.wav", seed=seed)
                        one = await _one(visitor, heard, path)
                        path.unlink()
                        if done >= _WARM_UP:
                            for name, value in one.items():
                                found[name].append(value)
                    done += 1
    return through, past


def _nothing() -> Found:
    return {name: [] for name in ("overhead_ms", "total_ms", "engine_ms", "upload_ms")}


@asynccontextmanager
async def _road(
    stack: Stack, number: int, *, is_direct: bool
) -> AsyncIterator[tuple[Visitor, Heard]]:
    address = f"198.19.{int(is_direct)}.{number % 250 + 1}"
    async with Visitor.register(stack.gateway_url, address=address) as visitor:
        url = _socket_url(stack) if is_direct else None
        async with visitor.listening(url=url) as heard:
            if is_direct:
                visitor.api.base_url = httpx.URL(stack.service_url("ingest"))
            yield visitor, heard


async def _one(visitor: Visitor, heard: Heard, path: Path) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = await visitor.upload(path)
    accepted = loop.time()
    if answer.status_code != 202:
        raise Unmeasurable(f"{answer.status_code}: {answer.text}")
    pushed, event = await heard.wait_for(answer.json()["id"], COMPLETED)
    payload: dict[str, Any] = event["data"]
    if payload["cached"]:
        raise Unmeasurable("the result was there before: nothing was analysed")
    total_s, engine_s = pushed - accepted, payload["engine_duration_s"]
    return {
        "upload_ms": (accepted - started) * 1000,
        "total_ms": total_s * 1000,
        "engine_ms": engine_s * 1000,
        "overhead_ms": (total_s - engine_s) * 1000,
    }


def _socket_url(stack: Stack) -> str:
    told = stack.service_env("notify")
    return f"ws://127.0.0.1:{told['NOTIFY_WS_PORT']}/connection/websocket"
