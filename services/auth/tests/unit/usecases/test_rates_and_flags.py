"""Throttled log-ins, and flags by the plan that an account has now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.auth.tests.fakes import FakeRateStates, FixedPolicies
from services.auth.tests.unit.world import World
from tonearm_auth.domain.errors import FlagNotFound, TooManyLogins
from tonearm_auth.domain.flag import Flag
from tonearm_auth.domain.gcra import Pace
from tonearm_auth.domain.ratelimit import RatePolicy
from tonearm_auth.usecases.check_rate import LOGIN_SUBJECT, check_rate, throttle_login
from tonearm_auth.usecases.evaluate_flags import Context, evaluate_flag, evaluate_flags
from tonearm_kit.testing.clock import FixedClock

ATTEMPTS = FixedPolicies(
    RatePolicy(
        name="login-attempts",
        subject=LOGIN_SUBJECT,
        route=None,
        bearer=None,
        pace=Pace(quota=3, window_s=60, burst=3),
        is_shadow=False,
        is_advertised=False,
    )
)


async def test_guessing_one_account_is_slowed_wherever_it_comes_from() -> None:
    clock = FixedClock()
    states = FakeRateStates(clock)
    for spelling in ("anna@example.org", "ANNA@example.org", "anna@example.org"):
        await throttle_login(spelling, policies=ATTEMPTS, states=states)
    with pytest.raises(TooManyLogins) as refused:
        await throttle_login("anna@example.org", policies=ATTEMPTS, states=states)
    assert refused.value.members["retry_after_s"] == 20
    await throttle_login("bert@example.org", policies=ATTEMPTS, states=states)
    clock.advance(20)
    await throttle_login("anna@example.org", policies=ATTEMPTS, states=states)


async def test_recovered_keys_are_swept() -> None:
    clock = FixedClock()
    states = FakeRateStates(clock)
    await throttle_login("anna@example.org", policies=ATTEMPTS, states=states)
    assert await states.sweep(limit=10) == 0
    clock.advance(21)
    assert await states.sweep(limit=10) == 1


async def test_a_request_without_a_policy_passes_unasked() -> None:
    states = FakeRateStates(FixedClock())
    verdict = await check_rate([{"x": "y"}], hits=1, policies=ATTEMPTS, states=states)
    assert verdict.is_allowed
    assert states.tats_us == {}


async def world_with_flag(**rules: object) -> World:
    world = World()
    blank: dict[str, object] = {
        "key": "premium-export",
        "description": "",
        "is_enabled": True,
        "audience": "premium",
        "percentage": 100,
        "has_overrides": False,
    }
    flag = Flag(**(blank | rules))  # type: ignore[arg-type]
    world.store.tx.flags.rows[flag.key] = flag
    return world


async def test_the_row_decides_and_not_what_the_asker_claims() -> None:
    world = await world_with_flag()
    account = await world.register()
    claimed = Context(targeting_key=account.id, is_premium=True, is_beta=True)
    begin = world.store.begin
    assert (await evaluate_flag("premium-export", context=claimed, begin=begin)).value is False
    await world.store.tx.accounts.save(replace(account, plan="premium"))
    plain = Context(targeting_key=account.id)
    assert (await evaluate_flag("premium-export", context=plain, begin=begin)).value is True


async def test_an_asker_without_an_account_is_taken_at_its_word() -> None:
    world = await world_with_flag()
    context = Context(targeting_key="build-42", is_premium=True)
    [found] = await evaluate_flags(context=context, begin=world.store.begin)
    assert found.value is True


async def test_an_override_counts_for_its_account_only() -> None:
    world = await world_with_flag()
    anna, bert = await world.register(), await world.register("bert@example.org")
    await world.store.tx.flags.override(
        "premium-export", account_id=anna.id, value=True, at=world.now
    )
    begin = world.store.begin
    values = [
        (
            await evaluate_flag("premium-export", context=Context(targeting_key=key), begin=begin)
        ).value
        for key in (anna.id, bert.id, None)
    ]
    assert values == [True, False, False]


async def test_an_unknown_flag_is_an_error() -> None:
    world = await world_with_flag()
    with pytest.raises(FlagNotFound):
        await evaluate_flag("no", context=Context(targeting_key=None), begin=world.store.begin)
