"""`python -m bench.limits`: request limit checks, and log-ins, of one auth process.

Needs a Postgres as the tests do. The gRPC client runs in a process of its own; its baseline is a
health check, which costs what a call costs before anything is done in it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.report import Report, Row, write
from tonearm_auth.bootstrap import COMPONENTS, Parts, open_parts, serve_grpc
from tonearm_auth.settings import Settings
from tonearm_auth.usecases.check_rate import check_rate
from tonearm_contracts.rpc.envoy.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from tonearm_kit.testing.postgres import SCHEMA, temporary_database

_CHECKS = 6000
_ADDRESSES = 1500
_HASHES = 40
Call = Callable[[int], Awaitable[object]]


async def _spend(n: int, *, concurrency: int, call: Call) -> dict[str, float]:
    """Make `n` calls; return calls per second, p50 and p99 in ms, own CPU time per call in us."""
    took_s: list[float] = []
    numbers = iter(range(n))

    async def worker() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            took_s.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(worker())
    spent_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    took_s.sort()
    return {
        "rate": n / spent_s,
        "p50": took_s[n // 2] * 1e3,
        "p99": took_s[n * 99 // 100] * 1e3,
        "cpu": cpu_s / n * 1e6,
    }


def _rows(name: str, seen: dict[str, float], *, base: dict[str, float] | None = None) -> list[Row]:
    of, names = base or {}, "health check" if base else ""
    return [
        Row(f"{name}: checks", "1/s", seen["rate"], of.get("rate"), names),
        Row(f"{name}: p50", "ms", seen["p50"], of.get("p50"), names),
        Row(f"{name}: p99", "ms", seen["p99"], of.get("p99"), names),
    ]


async def _measure_store(parts: Parts, report: Report) -> None:
    check = partial(check_rate, policies=parts.policies, states=parts.rates)

    async def call(number: int) -> None:
        address = f"2001:db8::{number % _ADDRESSES:x}"
        await check([{"remote_address": address, "anonymous": "true"}], hits=1)

    for concurrency in (1, 64):
        seen = await _spend(
            _CHECKS // (6 if concurrency == 1 else 1), concurrency=concurrency, call=call
        )
        report.rows += _rows(f"store, {concurrency} at a time", seen)
        report.rows.append(Row(f"store, {concurrency} at a time: CPU", "us", seen["cpu"]))


async def _measure_grpc(parts: Parts, report: Report) -> None:
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_grpc(parts, stop, port=0, on_started=bound.set_result))
        port = await bound
        cpu = time.process_time()
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.limits", str(port), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await client.communicate()
        cpu_s = time.process_time() - cpu
        stop.set()
    seen: dict[str, dict[str, float]] = json.loads(told)
    report.rows += _rows("gRPC, 32 at a time", seen["check"], base=seen["health"])
    report.rows.append(
        Row("gRPC: CPU of the server, both kinds of call", "us", cpu_s / (2 * _CHECKS) * 1e6)
    )


async def _measure_hashes(parts: Parts, report: Report) -> None:
    hashed = await parts.passwords.hash("correct horse battery")

    async def call(_number: int) -> None:
        await parts.passwords.verify("wrong horse battery", hashed=hashed)

    seen = await _spend(_HASHES, concurrency=4, call=call)
    report.rows.append(Row("password checks", "1/s", seen["rate"]))
    report.rows.append(Row("password checks: CPU", "ms", seen["cpu"] / 1e3))


async def _ask(port: int) -> dict[str, Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        limits = rls_pb2_grpc.RateLimitServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)

        async def check(number: int) -> None:
            request = rls_pb2.RateLimitRequest(domain="tonearm")
            entries = request.descriptors.add().entries
            entries.add(key="remote_address", value=f"2001:db8:1::{number % _ADDRESSES:x}")
            entries.add(key="anonymous", value="true")
            entries.add(key="route", value="audio")
            await limits.ShouldRateLimit(request)

        async def ping(_number: int) -> None:
            await health.Check(health_pb2.HealthCheckRequest())

        return {
            name: await _spend(_CHECKS, concurrency=32, call=call)
            for name, call in (("check", check), ("health", ping))
        }


async def measure() -> Report:
    """Measure one auth process on a database of its own."""
    report = Report(
        "Request limits", circumstances={"load": os.getloadavg()[0], "cpus": os.cpu_count()}
    )
    async with temporary_database(COMPONENTS) as url:
        settings = Settings(
            database_url=url,
            database_schema=SCHEMA,
            key_encryption_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        )
        async with open_parts(settings) as parts:
            await _measure_store(parts, report)
            await _measure_grpc(parts, report)
            await _measure_hashes(parts, report)
    return report


def main() -> None:
    """Run the benchmark, or be its client when a port is given."""
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(uvloop.run(_ask(int(sys.argv[1])))))
        return
    report = uvloop.run(measure())
    print(report.table())
    write([report], Path(".local/bench/limits.json"))


if __name__ == "__main__":
    main()
