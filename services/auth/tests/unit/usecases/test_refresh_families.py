"""Refresh families under any sequence of honest clients, lost answers and thieves."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.tests.unit.world import TERMS, World
from tonearm_auth.domain.errors import RefreshRejected
from tonearm_contracts.events import SessionRevoked

steps = st.lists(
    st.tuples(
        st.sampled_from(["newest", "lost answer", "old"]),
        st.floats(0.0, 2.5 * TERMS.grace_s),
        st.integers(0, 30),
    ),
    max_size=25,
)


@given(steps)
@settings(max_examples=150, deadline=None)
def test_a_family_lives_until_an_old_token_comes_back_and_then_is_dead(
    script: list[tuple[str, float, int]],
) -> None:
    asyncio.run(_play(script))


async def _play(script: list[tuple[str, float, int]]) -> None:
    world = World()
    await world.register()
    tokens = [(await world.log_in()).refresh_token]
    rotated_at = [world.now]
    is_dead = False
    for action, pause_s, choice in script:
        world.clock.advance(pause_s)
        index = len(tokens) - 1
        if action == "lost answer":
            index -= 1
        elif action == "old":
            index = choice % len(tokens)
        index = max(index, 0)
        is_newest = index == len(tokens) - 1
        since_s = (world.now - rotated_at[-1]).total_seconds()
        is_repeat = index == len(tokens) - 2 and since_s <= TERMS.grace_s
        try:
            pair = await world.refresh(tokens[index])
        except RefreshRejected:
            assert is_dead or not (is_newest or is_repeat)
            is_dead = True
            continue
        assert not is_dead
        assert is_newest or is_repeat
        if is_newest:
            tokens.append(pair.refresh_token)
            rotated_at.append(world.now)
        else:
            assert pair.refresh_token == tokens[-1]
    told = [event for event in world.store.events if isinstance(event, SessionRevoked)]
    assert len(told) == int(is_dead)
    assert len(set(tokens)) == len(tokens)
