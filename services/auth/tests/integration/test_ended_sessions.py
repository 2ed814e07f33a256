"""A replica that starts, or lost its connection, learns which sessions ended meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from services.auth.tests.conformance import account, session
from tonearm_auth.bootstrap import Parts
from tonearm_auth.bootstrap.parts import make_listener
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.sessions import log_out
from tonearm_kit.testing.clock import FixedClock

pytestmark = pytest.mark.integration


async def test_what_ended_while_nobody_listened_is_read_anew(
    timed: Parts, fixed_clock: FixedClock
) -> None:
    async with timed.begin() as tx:
        await tx.accounts.add(account())
        for key in ("long ago", "lately", "alive"):
            await tx.sessions.add(
                session(key, at=fixed_clock.now()), token_hash=key.ljust(32).encode()
            )
    callers = {key: Caller(account_id="id-anna", session_id=key) for key in ("long ago", "lately")}
    await log_out(callers["long ago"], begin=timed.begin, clock=fixed_clock)
    # Longer than any token of that session lives; the sessions here idle out after 100 s.
    async with timed.begin() as tx:
        ended = await tx.sessions.find("long ago")
        assert ended is not None
    fixed_clock.advance(50)
    await log_out(callers["lately"], begin=timed.begin, clock=fixed_clock)
    fixed_clock.advance(timed.settings.access_token_lifetime_s + timed.settings.token_leeway_s - 40)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(make_listener(timed).run(stop))
        async with asyncio.timeout(10):
            while "lately" not in timed.ended_sessions:
                await asyncio.sleep(0.02)
        stop.set()
    assert "long ago" not in timed.ended_sessions
    assert "alive" not in timed.ended_sessions
