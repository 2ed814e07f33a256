"""Nothing lost, nothing doubled: real broker, real database, everything killed with -9.

Run by `make chaos`; too long for `make test`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tonearm_local import testing
from tonearm_local.testing import Stack

from .actors import CONSUMER_POINTS, POINTS, RELAY_POINTS
from .world import Verdict, World

EVENTS = 1_000
RANDOM_KILLS = {"relay": 4, "consumer": 4, "postgres": 3, "kafka": 3}
VICTIMS = tuple(RANDOM_KILLS)
SESSION_S = 6.0
STALL_S_MAX = 40.0
"""Session, idle transaction (5 s) and the lock's time limit (5 s), with room for a busy machine."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # Durable, unlike the stack of other tests: a database that forgets what it committed
    # cannot keep anybody's promise.
    durable = {"POSTGRES_FSYNC": "true"}
    with testing.temporary("--infra-only", "--without", "zipkin", env=durable) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


def say(title: str, verdict: Verdict, took_s: float) -> None:
    kills = ", ".join(f"{name} {count}" for name, count in sorted(verdict.kills.items()))
    print(
        f"\n{title}: {verdict.events} events, {sum(verdict.kills.values())} kills ({kills or '-'})"
        f" in {took_s:.0f} s: doubled {verdict.doubled}, lost {verdict.lost}, phantoms"
        f" {verdict.phantoms}, keys out of order {verdict.disordered_keys}, stuck partitions"
        f" {verdict.stuck_partitions}, dead letters {verdict.dead_letters}, retried"
        f" {verdict.retried}"
    )


def shot(pid_file: Path) -> bool:
    """Kill the process; False when it is just being started again."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


async def kill(world: World, victim: str, point: str | None) -> None:
    """Kill `victim` when an actor passes `point`, or at a random moment, while events flow."""
    by_role = {actor.role: actor for actor in world.actors}
    restarts, pid_file = 0, world.folder / f"{victim}.pid"
    if victim in by_role:
        pid_file = by_role[victim].pid_file
    else:
        row = (await asyncio.to_thread(world.stack.status))["components"][victim]
        restarts = row["restarts"]
        pid_file.write_text(str(row["pid"]))
    if point is None:
        await world.write(world.chance.randrange(2, 12))
        await asyncio.sleep(world.chance.random() * 0.3)
        while not shot(pid_file):
            await asyncio.sleep(0.05)
    else:
        is_self = point.startswith(victim)
        fuse = world.light(point, "self" if is_self else str(pid_file))
        async with asyncio.timeout(240):
            for round_number in range(10_000):
                if not fuse.exists():
                    break
                await world.write(3 if round_number < 5 else 1)
                await asyncio.sleep(0.1 if round_number < 5 else 1.0)
    world.kills[victim] += 1
    if victim not in by_role:
        await ready_again(world, victim, restarts)


async def ready_again(world: World, victim: str, restarts: int) -> None:
    """Wait until the supervisor has brought it back; asks seldom, each question is a process."""
    async with asyncio.timeout(300):
        while True:
            row = (await asyncio.to_thread(world.stack.status))["components"][victim]
            if row["phase"] == "ready" and row["restarts"] > restarts:
                return
            await asyncio.sleep(1.0)


@pytest.mark.timeout(3600)
async def test_everything_killed_everywhere(stack: Stack, folder: Path) -> None:
    plan: list[tuple[str, str | None]] = [(who, where) for who in VICTIMS for where in POINTS]
    plan += [(who, None) for who, count in RANDOM_KILLS.items() for _ in range(count)]
    random.Random(7).shuffle(plan)  # noqa: S311 - a fixed order, no secret
    started = time.monotonic()
    async with World.make(stack, folder, seed=7) as world:
        world.actor("relay")
        world.actor("consumer")
        for number, (victim, point) in enumerate(plan, start=1):
            await kill(world, victim, point)
            print(f"{number}/{len(plan)}: {victim} at {point or 'random'}", flush=True)
        await world.settle(EVENTS, timeout_s=240)
        verdict = await world.verdict()
    say("everything killed everywhere", verdict, time.monotonic() - started)
    assert sum(verdict.kills.values()) >= 40
    assert verdict.events >= EVENTS
    assert verdict.is_clean


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("batch", [False, True], ids=["message", "batch"])
async def test_members_join_leave_and_freeze(stack: Stack, folder: Path, batch: bool) -> None:
    started = time.monotonic()
    async with World.make(stack, folder, batch=batch, seed=8) as world:
        world.actor("relay")
        first = world.actor("consumer")
        await world.write(100)
        second = world.actor("consumer")
        for _ in range(10):
            await world.write(15)
            await asyncio.sleep(0.3)
        await first.leave()
        await world.write(100)
        first = world.actor("consumer")
        for _ in range(10):
            await world.write(15)
            await asyncio.sleep(0.3)
        second.signal(signal.SIGSTOP)
        frozen = time.monotonic()
        while time.monotonic() - frozen < 2 * SESSION_S:
            await world.write(10)
            await asyncio.sleep(0.5)
        second.signal(signal.SIGCONT)
        await world.settle(EVENTS, timeout_s=180)
        verdict = await world.verdict()
    say(
        f"join, leave, freeze ({'batch' if batch else 'message'})",
        verdict,
        time.monotonic() - started,
    )
    assert verdict.is_clean


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("role", "point"), [("consumer", "consumer.effect"), ("relay", "relay.claimed")]
)
async def test_who_freezes_in_a_transaction_holds_nobody_up_for_long(
    stack: Stack, folder: Path, role: str, point: str
) -> None:
    """Its locks go when Postgres ends the silent transaction, not when it thaws or is found."""
    async with World.make(stack, folder, seed=10) as world:
        for each in ("relay", "relay", "consumer", "consumer"):
            world.actor(each)
        await world.settle(100, timeout_s=120)
        fuse = world.light(point, "freeze")
        async with asyncio.timeout(60):
            while fuse.exists():
                await world.write(1)
                await asyncio.sleep(0.05)
        started, written = time.monotonic(), await world.count("sent")
        while await world.count("effects") < written and time.monotonic() - started < STALL_S_MAX:
            await asyncio.sleep(0.2)
        stalled_s = time.monotonic() - started
        for actor in world.actors:
            actor.signal(signal.SIGCONT)
        await world.settle(200, timeout_s=120)
        verdict = await world.verdict()
    say(f"a {role} frozen in a transaction, all effects there after {stalled_s:.1f} s", verdict, 0)
    assert stalled_s < STALL_S_MAX
    assert verdict.is_clean


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("mutation", "points", "symptom"),
    [
        ("no-inbox", ("relay.sent", "consumer.committed"), "doubled"),
        ("commit-before-effect", ("consumer.effect",), "lost"),
    ],
)
async def test_the_suite_can_fail(
    stack: Stack, folder: Path, mutation: str, points: tuple[str, ...], symptom: str
) -> None:
    started = time.monotonic()
    async with World.make(stack, folder, mutation=mutation, seed=9) as world:
        world.actor("relay")
        world.actor("consumer")
        for point in points * (6 // len(points)):
            await kill(world, "relay" if point in RELAY_POINTS else "consumer", point)
        await world.settle(150, timeout_s=60)
        verdict = await world.verdict()
    say(f"mutation {mutation}", verdict, time.monotonic() - started)
    assert set(points) <= {*RELAY_POINTS, *CONSUMER_POINTS}
    assert getattr(verdict, symptom) > 0
    assert not verdict.is_clean
