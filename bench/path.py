"""What the path adds to the engine: from the accepted upload to the push, minus engine time."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
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
    """Send `uploads` recordings one after the other through the gateway, and as many past it."""
    report = Report("Path overhead: accepted upload to push, minus engine time")
    report.circumstances = machine() | {"uploads": uploads, "audio_s": 5, "one at a time": True}
    with tempfile.TemporaryDirectory() as folder:
        through = await _run(stack, Path(folder), count=uploads, is_direct=False, seed=0)
        past = await _run(stack, Path(folder), count=uploads, is_direct=True, seed=100_000)
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


async def _run(
    stack: Stack, folder: Path, *, count: int, is_direct: bool, seed: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {
        name: [] for name in ("overhead_ms", "total_ms", "engine_ms", "upload_ms")
    }
    done = 0
    while done < count + _WARM_UP:
        async with AsyncExitStack() as opened:
            address = f"198.19.{int(is_direct)}.{done % 250 + 1}"
            visitor = await opened.enter_async_context(
                Visitor.register(stack.gateway_url, address=address)
            )
            url = _socket_url(stack.service_url("notify")) if is_direct else None
            heard = await opened.enter_async_context(visitor.listening(url=url))
            if is_direct:
                visitor.api.base_url = httpx.URL(stack.service_url("ingest"))
            for _ in range(min(_PER_ACCOUNT, count + _WARM_UP - done)):
                path = sounds.tone(folder / f"{seed + done}.wav", seed=seed + done)
                one = await _one(visitor, heard, path)
                path.unlink()
                done += 1
                if done > _WARM_UP:
                    for name, value in one.items():
                        found[name].append(value)
    return found


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


def _socket_url(url: str) -> str:
    return url.replace("http", "ws", 1) + "/connection/websocket"
