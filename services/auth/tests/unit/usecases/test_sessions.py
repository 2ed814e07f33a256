"""Refreshing, logging out, seeing and ending sessions."""

from __future__ import annotations

import asyncio

import pytest

from services.auth.tests.unit.world import World
from tonearm_auth.domain.errors import RefreshRejected, SessionEnded, SessionNotFound
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.sessions import (
    end_all_sessions,
    end_session,
    get_me,
    list_sessions,
    log_out,
)
from tonearm_contracts.events import SessionRevoked


@pytest.fixture
async def world() -> World:
    made = World()
    await made.register()
    return made


def revoked(world: World) -> list[tuple[str, str]]:
    return [
        (event.session_id, event.reason)
        for event in world.store.events
        if isinstance(event, SessionRevoked)
    ]


async def test_refreshing_rotates_within_the_same_session(world: World) -> None:
    first = await world.log_in()
    second = await world.refresh(first.refresh_token)
    third = await world.refresh(second.refresh_token)
    assert first.session_id == second.session_id == third.session_id
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert revoked(world) == []


async def test_the_parent_within_the_grace_gets_the_same_child(world: World) -> None:
    first = await world.log_in()
    second = await world.refresh(first.refresh_token)
    world.clock.advance(10)
    again = await world.refresh(first.refresh_token)
    assert again.refresh_token == second.refresh_token
    await world.refresh(second.refresh_token)
    assert revoked(world) == []


async def test_two_tabs_at_once_stay_logged_in(world: World) -> None:
    first = await world.log_in()
    pairs = await asyncio.gather(*(world.refresh(first.refresh_token) for _ in range(5)))
    assert len({each.refresh_token for each in pairs}) == 1
    assert revoked(world) == []


async def test_the_parent_after_the_grace_ends_the_family(world: World) -> None:
    first = await world.log_in()
    second = await world.refresh(first.refresh_token)
    world.clock.advance(10.001)
    with pytest.raises(RefreshRejected):
        await world.refresh(first.refresh_token)
    assert revoked(world) == [(first.session_id, "refresh_reuse")]
    with pytest.raises(RefreshRejected):
        await world.refresh(second.refresh_token)


async def test_a_grandparent_ends_the_family_even_within_the_grace(world: World) -> None:
    first = await world.log_in()
    second = await world.refresh(first.refresh_token)
    await world.refresh(second.refresh_token)
    with pytest.raises(RefreshRejected):
        await world.refresh(first.refresh_token)
    assert revoked(world) == [(first.session_id, "refresh_reuse")]


async def test_a_theft_ends_one_family_and_announces_it_once(world: World) -> None:
    other = await world.log_in()
    first = await world.log_in()
    await world.refresh(first.refresh_token)
    world.clock.advance(11)
    for _ in range(3):
        with pytest.raises(RefreshRejected):
            await world.refresh(first.refresh_token)
    assert revoked(world) == [(first.session_id, "refresh_reuse")]
    await world.refresh(other.refresh_token)


async def test_an_unknown_token_harms_nobody(world: World) -> None:
    first = await world.log_in()
    with pytest.raises(RefreshRejected):
        await world.refresh("no such token")
    await world.refresh(first.refresh_token)


async def test_idle_and_absolute_ends_hold(world: World) -> None:
    idle = await world.log_in()
    world.clock.advance(1000)
    with pytest.raises(RefreshRejected):
        await world.refresh(idle.refresh_token)
    busy = await world.log_in()
    for _ in range(5):
        world.clock.advance(990)
        busy = await world.refresh(busy.refresh_token)
    assert busy.refresh_expires_in_s == 50
    world.clock.advance(50)
    with pytest.raises(RefreshRejected):
        await world.refresh(busy.refresh_token)
    assert revoked(world) == []


async def test_logging_out_really_ends_it(world: World) -> None:
    tokens = await world.log_in()
    session = world.store.tx.sessions.rows[tokens.session_id]
    caller = Caller(account_id=session.account_id, session_id=session.id)
    await log_out(caller, begin=world.store.begin, clock=world.clock)
    with pytest.raises(SessionEnded):
        await get_me(caller, begin=world.store.begin, clock=world.clock)
    with pytest.raises(RefreshRejected):
        await world.refresh(tokens.refresh_token)
    assert revoked(world) == [(tokens.session_id, "logout")]
    with pytest.raises(SessionEnded):
        await log_out(caller, begin=world.store.begin, clock=world.clock)
    assert len(revoked(world)) == 1


async def test_sessions_are_listed_and_ended_one_by_one(world: World) -> None:
    one = await world.caller()
    world.clock.advance(1)
    two = await world.caller()
    listed = await list_sessions(two, begin=world.store.begin, clock=world.clock)
    assert [each.id for each in listed] == [two.session_id, one.session_id]
    await end_session(two, session_id=one.session_id, begin=world.store.begin, clock=world.clock)
    listed = await list_sessions(two, begin=world.store.begin, clock=world.clock)
    assert [each.id for each in listed] == [two.session_id]
    assert revoked(world) == [(one.session_id, "by_user")]


async def test_nobody_ends_the_session_of_another(world: World) -> None:
    mine = await world.caller()
    await world.register("bert@example.org")
    theirs = await world.caller("bert@example.org")
    with pytest.raises(SessionNotFound):
        await end_session(
            mine, session_id=theirs.session_id, begin=world.store.begin, clock=world.clock
        )
    assert revoked(world) == []


async def test_ending_all_can_keep_this_one(world: World) -> None:
    mine = await world.caller()
    others = [await world.caller() for _ in range(3)]
    n_ended = await end_all_sessions(
        mine, keep_current=True, begin=world.store.begin, clock=world.clock
    )
    assert n_ended == 3
    assert {session for session, _ in revoked(world)} == {each.session_id for each in others}
    await get_me(mine, begin=world.store.begin, clock=world.clock)
