"""The stores in Postgres keep the promises of the ports, also when many come at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.auth.tests.conformance import (
    RateStatesConformance,
    StoreConformance,
    account,
)
from tonearm_auth.adapters.postgres_rates import PostgresRateStates
from tonearm_auth.bootstrap import Parts, open_parts
from tonearm_auth.domain.errors import QuotaExceeded
from tonearm_auth.domain.quota import Amounts
from tonearm_auth.settings import Settings
from tonearm_auth.usecases.ports import Begin, RateStates
from tonearm_auth.usecases.reserve_quota import Reserve, quote, reserve
from tonearm_kit.clock import SystemClock
from tonearm_kit.errors import Unavailable
from tonearm_kit.testing.clock import FixedClock

pytestmark = pytest.mark.integration


class TestPostgresStore(StoreConformance):
    @pytest.fixture
    def begin(self, timed: Parts) -> Begin:
        return timed.begin

    async def test_keys_round_trip_by_time(self, begin: Begin) -> None:
        async with begin() as tx:
            await tx.keys.delete([key.times.kid for key in await tx.keys.all()])
        await super().test_keys_round_trip_by_time(begin)


class TestPostgresRateStates(RateStatesConformance):
    @pytest.fixture
    async def states(self, timed: Parts, fixed_clock: FixedClock) -> AsyncIterator[RateStates]:
        async with PostgresRateStates.open(timed.db, clock=fixed_clock, batch_max=16) as opened:
            yield opened


async def test_a_caller_that_gives_up_takes_nobody_along(timed: Parts) -> None:
    charge = RateStatesConformance.charge("x", quota=50)
    async with asyncio.TaskGroup() as tasks:
        asks = [tasks.create_task(timed.rates.take([charge], hits=1)) for _ in range(20)]
        await asyncio.sleep(0)
        for ask in asks[::2]:
            ask.cancel()
    answered = [ask.result() for ask in asks[1::2]]
    assert all(verdict.is_allowed for verdict in answered)


async def test_over_the_bound_the_rest_is_turned_away(timed: Parts) -> None:
    charge = RateStatesConformance.charge("x", quota=50)
    async with PostgresRateStates.open(timed.db, clock=timed.clock, waiting_max=5) as few:
        outcomes = await asyncio.gather(
            *(few.take([charge], hits=1) for _ in range(9)), return_exceptions=True
        )
    assert sum(isinstance(each, Unavailable) for each in outcomes) == 4


async def test_replicas_share_one_pace(settings: Settings) -> None:
    async with (
        open_parts(settings, clock=FixedClock()) as one,
        open_parts(settings, clock=FixedClock()) as two,
    ):
        charges = [
            RateStatesConformance.charge(subject, quota=40) for subject in ("x", "y", "z", "w")
        ]
        orders = [charges, charges[::-1], charges[2:] + charges[:2]]
        verdicts = await asyncio.gather(
            *(
                each.rates.take(orders[number % 3], hits=1)
                for number in range(100)
                for each in (one, two)
            )
        )
    assert sum(verdict.is_allowed for verdict in verdicts) == 40


async def test_a_restart_forgets_nothing(settings: Settings) -> None:
    clock = FixedClock()
    charge = RateStatesConformance.charge("x", quota=3)
    async with open_parts(settings, clock=clock) as before:
        for _ in range(3):
            assert (await before.rates.take([charge], hits=1)).is_allowed
    async with open_parts(settings, clock=clock) as after:
        assert not (await after.rates.take([charge], hits=1)).is_allowed


async def test_parallel_reservations_of_two_replicas_stay_within_the_plan(
    settings: Settings,
) -> None:
    clock = SystemClock()
    async with open_parts(settings) as one, open_parts(settings) as two:
        async with one.begin() as tx:
            await tx.accounts.add(account())

        async def take(parts: Parts, key: str) -> object:
            return await reserve(
                Reserve(
                    account_id="id-anna",
                    idempotency_key=key,
                    amounts=Amounts(uploads=1, stored_bytes=50 * 1024**2),
                    ttl_s=100,
                ),
                begin=parts.begin,
                clock=clock,
                new_id=parts.new_id,
            )

        outcomes = await asyncio.gather(
            *(take(parts, f"k{number}") for number in range(45) for parts in (one, two)),
            return_exceptions=True,
        )
        used = (await quote("id-anna", begin=one.begin, clock=clock)).used
    taken = {outcome.id for outcome in outcomes if hasattr(outcome, "id")}
    # Each key is asked for twice; 2 GiB hold forty files of 50 MiB, whatever the order.
    assert len(taken) == 40
    assert (used.uploads, used.stored_bytes) == (40, 40 * 50 * 1024**2)
    assert all(isinstance(each, QuotaExceeded) for each in outcomes if not hasattr(each, "id"))


async def test_replicas_that_start_together_agree_on_one_key(settings: Settings) -> None:
    async with open_parts(settings) as one, open_parts(settings) as two:
        kids = [[key["kid"] for key in parts.ring.published()] for parts in (one, two)]
    assert len(kids[0]) == 1
    assert kids[0] == kids[1]
