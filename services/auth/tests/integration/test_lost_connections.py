"""Postgres cuts every connection: limits and notifications come back by themselves."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from services.auth.tests.conformance import RateStatesConformance, account, session
from tonearm_auth.bootstrap import Parts
from tonearm_auth.bootstrap.parts import make_listener
from tonearm_auth.domain.ratelimit import RateVerdict
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.sessions import log_out
from tonearm_kit.errors import Unavailable
from tonearm_kit.lifecycle import keep_running

pytestmark = pytest.mark.integration


async def cut_everybody(parts: Parts) -> None:
    conn = await asyncpg.connect(parts.settings.database_url.get_secret_value())
    try:
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await conn.close()


async def take(parts: Parts, *, n_tries: int) -> RateVerdict:
    charge = RateStatesConformance.charge("x", quota=3)
    for _ in range(n_tries - 1):
        try:
            return await parts.rates.take([charge], hits=1)
        except Unavailable:
            continue
    return await parts.rates.take([charge], hits=1)


async def test_limits_come_back_and_remember(parts: Parts) -> None:
    for _ in range(3):
        assert (await take(parts, n_tries=1)).is_allowed
    await cut_everybody(parts)
    verdict = await take(parts, n_tries=20)
    assert not verdict.is_allowed


async def test_sessions_that_end_while_nobody_hears_are_known_afterwards(parts: Parts) -> None:
    async with parts.begin() as tx:
        await tx.accounts.add(account())
        await tx.sessions.add(session("s", at=parts.clock.now()), token_hash=b"1" * 32)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            keep_running("listener", make_listener(parts).run, stop, backoff_first_s=0.05)
        )
        with parts.watcher.subscribe() as changes:
            await changes.get()
            await cut_everybody(parts)
            await log_out_when_possible(parts)
            async with asyncio.timeout(20):
                while "s" not in parts.ended_sessions:
                    await asyncio.sleep(0.05)
        stop.set()


async def log_out_when_possible(parts: Parts) -> None:
    caller = Caller(account_id="id-anna", session_id="s")
    for _ in range(20):
        try:
            return await log_out(caller, begin=parts.begin, clock=parts.clock)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            continue
    raise AssertionError("Postgres stayed away")
