"""Requests per second through the gateway, beside the same requests straight to the service."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx

from bench.report import Report, Row, Unmeasurable, machine, percentile
from tests.visitor import Visitor
from tonearm_local.testing import Stack

_TURNS = 6
"""The two roads take turns, so that a busy moment of the machine meets both."""

_PER_ACCOUNT = 55
"""An account may send 60 requests a minute; every one of these is meant to be served."""


async def measure(stack: Stack, *, requests: int, concurrency: int) -> Report:
    """Send `requests` reads (`GET /v1/audio`) by `concurrency` at a time, on both roads.

    The gateway checks the token, asks the rate limiter twice and writes an access log line.
    """
    report = Report("Requests per second: GET /v1/audio, token checked, limits asked")
    report.circumstances = machine() | {"requests": requests, "concurrency": concurrency}
    accounts = -(-requests // _PER_ACCOUNT)
    async with AsyncExitStack() as opened:
        visitors = [
            await opened.enter_async_context(
                Visitor.register(
                    stack.gateway_url, address=f"198.19.{100 + n // 250}.{n % 250 + 1}"
                )
            )
            for n in range(accounts)
        ]
        headers = [
            {"Authorization": f"Bearer {visitor.token}", "X-Forwarded-For": f"198.19.200.{n + 1}"}
            for n, visitor in enumerate(visitors)
        ]
        plan = [headers[n % accounts] for n in range(requests)]
        direct, gateway = _Load(), _Load()
        size = -(-requests // _TURNS)
        for start in range(0, requests, size):
            part = plan[start : start + size]
            await _send(stack.service_url("ingest"), part, concurrency=concurrency, load=direct)
            await _send(stack.gateway_url, part, concurrency=concurrency, load=gateway)
    straight = "straight to ingest, no gateway"
    report.rows = [
        Row("requests per second", "1/s", gateway.per_s, direct.per_s, straight),
        *(
            Row(
                f"latency {name}",
                "ms",
                percentile(gateway.latencies_ms, share),
                percentile(direct.latencies_ms, share),
                straight,
            )
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ),
    ]
    return report


@dataclass
class _Load:
    """What was measured on one road."""

    took_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.took_s


async def _send(url: str, plan: list[dict[str, str]], *, concurrency: int, load: _Load) -> None:
    """Send the requests and add to `load`; every answer must be 200."""
    waiting = iter(plan)
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30, trust_env=False) as api:

        async def send() -> None:
            for headers in waiting:
                started = time.perf_counter()
                answer = await api.get("/v1/audio", headers=headers)
                load.latencies_ms.append((time.perf_counter() - started) * 1000)
                if answer.status_code != 200:
                    raise Unmeasurable(f"{answer.status_code}: {answer.text}")

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(send())
        load.took_s += time.perf_counter() - started
