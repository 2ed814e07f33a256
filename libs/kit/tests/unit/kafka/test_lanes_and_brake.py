from __future__ import annotations

import asyncio

import pytest

from tonearm_kit.kafka.brake import Brake
from tonearm_kit.kafka.lanes import Turnstile, lane_of
from tonearm_kit.kafka.options import BrakeSettings
from tonearm_kit.testing.clock import FixedClock


async def served(turnstile: Turnstile, arrivals: list[int]) -> list[int]:
    """Let everybody queue up behind one holder, then note in which order lanes are served."""
    order: list[int] = []

    async def one(lane: int) -> None:
        async with turnstile.turn(lane):
            order.append(lane)

    async with asyncio.TaskGroup() as tasks, turnstile.turn():
        for lane in arrivals:
            tasks.create_task(one(lane))
        await asyncio.sleep(0)
    return order


async def test_the_urgent_lane_goes_first() -> None:
    order = await served(Turnstile(1, lanes=2, fair_share=0.0), [1] * 5 + [0] * 5)
    assert order == [0] * 5 + [1] * 5


async def test_the_other_lane_gets_its_share_and_no_more() -> None:
    order = await served(Turnstile(1, lanes=2, fair_share=0.1), [0] * 100 + [1] * 100)
    assert order[:100].count(1) == 9
    assert order[10] == 1


async def test_three_busy_lanes_all_move() -> None:
    order = await served(Turnstile(1, lanes=3, fair_share=0.2), [0] * 60 + [1] * 60 + [2] * 60)
    first = order[:60]
    assert first.count(0) > first.count(1) >= first.count(2) >= 5


async def test_no_more_than_the_capacity_are_inside() -> None:
    turnstile, inside, most = Turnstile(3), 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with turnstile.turn():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(one())
    assert most == 3


async def test_whoever_is_cancelled_while_waiting_leaves_no_hole() -> None:
    turnstile = Turnstile(1)
    async with asyncio.TaskGroup() as tasks, turnstile.turn():
        waiting = tasks.create_task(served(turnstile, []))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(1), turnstile.turn():
        pass


def test_topics_without_a_rank_share_the_last_lane() -> None:
    assert [lane_of(topic, ("a", "b")) for topic in ("a", "b", "c", "d")] == [0, 1, 2, 2]


def brake(clock: FixedClock) -> Brake:
    settings = BrakeSettings(
        poison_share_max=0.5, window_messages=20, poison_count_min=5, hold_s=30
    )
    return Brake(settings, group="g", clock=clock)


def test_a_few_poisoned_messages_pass(fixed_clock: FixedClock) -> None:
    watched = brake(fixed_clock)
    assert [watched.poison() for _ in range(4)] == [False] * 4
    assert not watched.tripped


def test_more_poison_than_allowed_trips_it(fixed_clock: FixedClock) -> None:
    watched = brake(fixed_clock)
    for _ in range(4):
        watched.good()
    assert [watched.poison() for _ in range(5)] == [False, False, False, False, True]
    assert watched.tripped


def test_at_the_limit_it_holds_still(fixed_clock: FixedClock) -> None:
    watched = brake(fixed_clock)
    for _ in range(50):
        watched.good()
        assert not watched.poison()


@pytest.mark.parametrize("good", [True, False])
async def test_after_the_hold_one_message_decides(fixed_clock: FixedClock, good: bool) -> None:
    watched = brake(fixed_clock)
    while not watched.poison():
        continue
    fixed_clock.advance(31)
    await watched.hold()
    if good:
        watched.good()
    else:
        assert watched.poison()
    assert watched.tripped is not good


async def test_what_was_under_way_when_the_brake_came_on_does_not_release_it(
    fixed_clock: FixedClock,
) -> None:
    watched = brake(fixed_clock)
    while not watched.poison():
        continue
    watched.good()
    assert watched.tripped
    fixed_clock.advance(31)
    await watched.hold()
    assert watched.poison()  # the probe
    watched.good()
    assert watched.tripped
