"""Auth on a database of its own: the real stores, the real doors, a clock that is set by hand."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
import httpx
import pytest

from tonearm_auth import bootstrap
from tonearm_auth.bootstrap import COMPONENTS, Parts, open_parts
from tonearm_auth.bootstrap.parts import make_listener
from tonearm_auth.settings import Settings
from tonearm_kit import grpc as kit_grpc
from tonearm_kit.clock import SystemClock
from tonearm_kit.testing.clock import FixedClock
from tonearm_kit.testing.plugin import MakeDatabase
from tonearm_kit.testing.postgres import SCHEMA

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
async def settings(make_database: MakeDatabase) -> AsyncIterator[Settings]:
    """Settings that name a fresh database."""
    async with make_database(COMPONENTS) as url:
        yield Settings(
            database_url=url,
            database_schema=SCHEMA,
            database_pool_size_max=8,
            key_encryption_key=KEY,
            argon2_memory_kib=8192,
            argon2_passes=1,
            trusted_hops=1,
            refresh_grace_s=10,
            flag_keep_alive_s=0.2,
        )


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    """Everything but the doors, on the real time."""
    async with open_parts(settings, clock=SystemClock()) as opened:
        yield opened


@pytest.fixture
async def timed(settings: Settings, fixed_clock: FixedClock) -> AsyncIterator[Parts]:
    """Everything but the doors, on a time that is set by hand."""
    async with open_parts(settings, clock=fixed_clock) as opened:
        yield opened


@asynccontextmanager
async def client_of(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """Talk HTTP to the app without a socket."""
    transport = httpx.ASGITransport(bootstrap.make_app(parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://auth") as client:
        yield client


@pytest.fixture
async def http(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app on the real time."""
    async with client_of(parts) as client:
        yield client


@dataclass(frozen=True)
class Served:
    """The gRPC door on a port of its own."""

    port: int
    channel: grpc.aio.Channel


@pytest.fixture
async def served(parts: Parts) -> AsyncIterator[Served]:
    """The gRPC door and the flag watcher, running."""
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bootstrap.serve_grpc(parts, stop, port=0, on_started=bound.set_result))
        tasks.create_task(make_listener(parts).run(stop))
        try:
            port = await bound
            async with kit_grpc.channel(f"127.0.0.1:{port}", timeout_s=5.0) as channel:
                yield Served(port, channel)
        finally:
            stop.set()
