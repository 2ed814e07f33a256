from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.topics import Topic
from tonearm_kit.db import Connection, Database
from tonearm_kit.kafka import (
    BrakeSettings,
    ConsumerRunner,
    Poison,
    Retry,
    RetryPolicy,
    RunnerSettings,
    StartTimeout,
    retries,
)
from tonearm_kit.kafka.headers import encode
from tonearm_kit.kafka.ports import OutRecord, Partition
from tonearm_kit.testing.broker import FakeBroker, FakeInbox
from tonearm_kit.testing.fakes import FakeDb

FAST = RunnerSettings(
    concurrency=1,
    poll_timeout_s=0.005,
    commit_interval_s=0.005,
    outage_first_s=0.001,
    outage_max_s=0.002,
    revoke_grace_s=1.0,
    stop_grace_s=1.0,
    start_timeout_s=0.05,
    retries=RetryPolicy(delays_s=(0.001, 0.002), partitions=1),
)


class World:
    """A broker, a database and an inbox in memory, and what handlers did to them."""

    def __init__(self, *, partitions: int = 2) -> None:
        self.broker = FakeBroker(
            Topic(name="t", partitions=partitions, retention_s=1),
            Topic(name="urgent", partitions=1, retention_s=1),
        )
        self.inbox = FakeInbox()
        self.effects = Effects()
        self.db = FakeDb(self.inbox, self.effects)

    def put(
        self,
        event_id: str,
        *,
        key: str = "k",
        kind: str = "x",
        topic: str = "t",
        traceparent: str | None = None,
    ) -> None:
        event = CloudEvent(
            id=event_id,
            source="/s",
            type=kind,
            subject=key,
            time=datetime.now(UTC),
            traceparent=traceparent,
            data={},
        )
        self.broker.append(encode(event, topic=topic))

    def runner(self, *, settings: RunnerSettings = FAST, **options: Any) -> ConsumerRunner:
        return ConsumerRunner(
            bootstrap_servers="",
            group="g",
            topics=options.pop("topics", ["t"]),
            db=cast("Database", self.db),
            broker=self.broker,
            inbox=self.inbox,
            settings=settings,
            **options,
        )


class Effects:
    """The handlers' table: ids in the order of their effects; a rollback takes them back."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def add(self, conn: Connection, event: CloudEvent) -> None:
        self.ids.append(event.id)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*runners: ConsumerRunner) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for runner in runners:
            tasks.create_task(runner.run(stop))
        try:
            yield stop
        finally:
            stop.set()


async def test_every_event_has_its_effect_in_order_of_its_key() -> None:
    world = World()
    for number in range(50):
        world.put(f"a{number:02}", key="a")
        world.put(f"b{number:02}", key="b")
    async with running(world.runner(handlers={"x": world.effects.add})):
        await until(lambda: len(world.effects.ids) == 100)
    for key in "ab":
        mine = [each for each in world.effects.ids if each[0] == key]
        assert mine == sorted(mine)
    assert sum(world.broker.committed("g").values()) == 100


async def test_an_event_delivered_twice_has_one_effect() -> None:
    world = World()
    for event_id in ("1", "2", "1", "1", "3"):
        world.put(event_id)
    async with running(world.runner(handlers={"x": world.effects.add})):
        await until(lambda: sum(world.broker.committed("g").values()) == 5)
    assert world.effects.ids == ["1", "2", "3"]


async def test_types_without_a_handler_are_skipped_and_committed() -> None:
    world = World()
    world.put("1", kind="other")
    world.put("2")
    async with running(world.runner(handlers={"x": world.effects.add})):
        await until(lambda: sum(world.broker.committed("g").values()) == 2)
    assert world.effects.ids == ["2"]


async def test_a_batch_is_one_transaction() -> None:
    world = World(partitions=1)
    for number in range(40):
        world.put(str(number))
    async with running(world.runner(handlers={"x": world.effects.add}, batch=True)):
        await until(lambda: sum(world.broker.committed("g").values()) == 40)
    assert world.effects.ids == [str(number) for number in range(40)]
    assert world.db.commits == 1


async def test_a_batch_handler_gets_runs_of_its_type_in_order() -> None:
    world, seen = World(partitions=1), list[list[str]]()

    async def many(conn: Connection, events: Sequence[CloudEvent]) -> None:
        seen.append([event.id for event in events])

    for event_id, kind in (("1", "x"), ("2", "x"), ("2", "x"), ("3", "y"), ("4", "x")):
        world.put(event_id, kind=kind)
    runner = world.runner(batch_handlers={"x": many}, handlers={"y": world.effects.add})
    async with running(runner):
        await until(lambda: sum(world.broker.committed("g").values()) == 5)
    assert seen == [["1", "2"], ["4"]]
    assert world.effects.ids == ["3"]


async def test_types_that_share_a_batch_handler_share_its_batches() -> None:
    world, seen = World(partitions=1), list[list[str]]()

    async def many(conn: Connection, events: Sequence[CloudEvent]) -> None:
        seen.append([event.id for event in events])

    for event_id, kind in (("1", "x"), ("2", "y"), ("3", "x"), ("4", "z"), ("5", "y")):
        world.put(event_id, kind=kind)
    runner = world.runner(batch_handlers={"x": many, "y": many}, handlers={"z": world.effects.add})
    async with running(runner):
        await until(lambda: sum(world.broker.committed("g").values()) == 5)
    assert seen == [["1", "2", "3"], ["5"]]


async def test_one_bad_message_of_a_batch_takes_the_dead_letter_way_alone() -> None:
    world = World(partitions=1)

    async def handle(conn: Connection, event: CloudEvent) -> None:
        if event.id == "7":
            raise Poison("seven")
        await world.effects.add(conn, event)

    for number in range(20):
        world.put(str(number))
    async with running(world.runner(handlers={"x": handle}, batch=True)):
        await until(lambda: sum(world.broker.committed("g").values()) == 20)
    assert world.effects.ids == [str(number) for number in range(20) if number != 7]
    (dead,) = world.broker.log("g.dlq")
    assert dict(dead.headers)[retries.REASON] == b"seven"
    assert retries.Origin.of(dead).offset == 7


async def test_a_transient_failure_comes_back_and_blocks_nobody() -> None:
    world, tries = World(partitions=1), Counter[str]()

    async def handle(conn: Connection, event: CloudEvent) -> None:
        tries[event.id] += 1
        if event.id == "1" and tries["1"] < 3:
            raise Retry("not yet")
        await world.effects.add(conn, event)

    world.put("1")
    world.put("2")
    async with running(world.runner(handlers={"x": handle})):
        await until(lambda: len(world.effects.ids) == 2)
    assert world.effects.ids == ["2", "1"]
    assert [retries.attempt_of(each) for each in world.broker.log("g.retry.1")] == [1]
    assert [retries.attempt_of(each) for each in world.broker.log("g.retry.2")] == [2]
    assert not world.broker.log("g.dlq")


async def test_who_fails_for_ever_is_dead_after_the_last_attempt() -> None:
    world, tries = World(), Counter[str]()

    async def handle(conn: Connection, event: CloudEvent) -> None:
        tries[event.id] += 1
        raise KeyError("bug")

    world.put("1")
    async with running(world.runner(handlers={"x": handle})):
        await until(lambda: bool(world.broker.log("g.dlq")))
    (dead,) = world.broker.log("g.dlq")
    assert tries["1"] == 3
    assert dict(dead.headers)[retries.ATTEMPT] == b"3"
    assert dict(dead.headers)[retries.ORIGIN_TOPIC] == b"t"


async def test_what_is_no_event_goes_to_the_dead_letters_as_it_was() -> None:
    world = World(partitions=1)
    world.broker.append(OutRecord(topic="t", key=b"\xff", value=b"\x00nonsense", headers=[]))
    world.put("2")
    async with running(world.runner(handlers={"x": world.effects.add})):
        await until(lambda: world.effects.ids == ["2"])
    (dead,) = world.broker.log("g.dlq")
    assert (dead.key, dead.value) == (b"\xff", b"\x00nonsense")


async def test_while_the_database_is_away_events_wait_in_place() -> None:
    world, failures = World(partitions=1), [ConnectionRefusedError()] * 3
    begin = world.db.begin

    @asynccontextmanager
    async def flaky() -> AsyncIterator[Connection]:
        if failures:
            raise failures.pop()
        async with begin() as conn:
            yield conn

    world.db.begin = flaky  # type: ignore[method-assign]
    world.put("1")
    world.put("2")
    async with running(world.runner(handlers={"x": world.effects.add})):
        await until(lambda: len(world.effects.ids) == 2)
    assert world.effects.ids == ["1", "2"]
    assert not world.broker.log("g.retry.1")


async def test_a_dead_letter_that_cannot_be_sent_keeps_the_offset() -> None:
    world = World(partitions=1)

    async def handle(conn: Connection, event: CloudEvent) -> None:
        world.broker.is_down = True
        raise Poison("x")

    world.put("1")
    async with running(world.runner(handlers={"x": handle})):
        await until(lambda: world.broker.is_down)
        assert world.broker.committed("g") == {}
        world.broker.is_down = False
        await until(lambda: len(world.broker.log("g.dlq")) == 1)
        await until(lambda: world.broker.committed("g") == {Partition("t", 0): 1})


async def test_sixty_percent_poison_trips_the_brake_and_nothing_is_lost() -> None:
    world = World(partitions=1)
    settings = RunnerSettings(
        **{
            **{name: getattr(FAST, name) for name in ("concurrency", "poll_timeout_s", "retries")},
            "brake": BrakeSettings(window_messages=50, poison_count_min=10, hold_s=60.0),
        }
    )

    async def handle(conn: Connection, event: CloudEvent) -> None:
        if int(event.id) % 5 < 3:
            raise Poison("sixty percent")
        await world.effects.add(conn, event)

    for number in range(200):
        world.put(str(number))
    runner = world.runner(handlers={"x": handle}, settings=settings)
    async with running(runner):
        await until(lambda: runner.braked)
        dead, position = len(world.broker.log("g.dlq")), len(world.effects.ids)
        assert dead < 20
        await asyncio.sleep(0.05)
        assert (len(world.broker.log("g.dlq")), len(world.effects.ids)) == (dead, position)
    settled = sum(world.broker.committed("g").values())
    assert settled == dead + position


async def test_a_long_job_is_not_begun_twice_by_a_rebalance() -> None:
    world, begun = World(partitions=1), Counter[str]()
    release = asyncio.Event()

    async def job(event: CloudEvent) -> None:
        begun[event.id] += 1
        await release.wait()
        world.effects.ids.append(event.id)

    world.put("1")
    world.put("2")
    first, second = (world.runner(job_handlers={"x": job}) for _ in range(2))
    stop_second = asyncio.Event()
    async with running(first), asyncio.TaskGroup() as tasks:
        await until(lambda: begun["1"] == 1)
        joining = tasks.create_task(second.run(stop_second))
        await asyncio.sleep(0.02)
        stop_second.set()
        await joining
        release.set()
        await until(lambda: world.broker.committed("g") == {Partition("t", 0): 2})
    assert begun == {"1": 1, "2": 1}
    assert world.effects.ids == ["1", "2"]


async def test_polling_goes_on_while_a_job_runs() -> None:
    world, begun, release = World(partitions=1), asyncio.Event(), asyncio.Event()

    async def job(event: CloudEvent) -> None:
        begun.set()
        await release.wait()

    world.put("1")
    settings = RunnerSettings(concurrency=1, poll_timeout_s=0.002, retries=FAST.retries)
    async with running(world.runner(job_handlers={"x": job}, settings=settings)):
        await begun.wait()
        polled = world.broker.polls("g")
        await until(lambda: world.broker.polls("g") > polled + 2)
        assert not world.broker.committed("g")
        release.set()
        await until(lambda: world.broker.committed("g") == {Partition("t", 0): 1})


async def test_stopping_finishes_what_is_in_hand_and_gives_back_the_rest() -> None:
    world, begun, release = World(partitions=1), asyncio.Event(), asyncio.Event()

    async def handle(conn: Connection, event: CloudEvent) -> None:
        begun.set()
        await release.wait()
        await world.effects.add(conn, event)

    for number in range(5):
        world.put(str(number))
    async with running(world.runner(handlers={"x": handle})) as stop:
        await begun.wait()
        stop.set()
        await asyncio.sleep(0.01)
        release.set()
    assert world.effects.ids == ["0"]
    assert world.broker.committed("g") == {Partition("t", 0): 1}


async def test_urgent_topics_go_first_but_not_alone() -> None:
    world = World(partitions=1)

    async def handle(conn: Connection, event: CloudEvent) -> None:
        await asyncio.sleep(0)
        await world.effects.add(conn, event)

    for number in range(60):
        world.put(f"t{number}")
        world.put(f"u{number}", topic="urgent")
    settings = RunnerSettings(
        concurrency=1, poll_timeout_s=0.005, priority_topics=("urgent",), fair_share=0.1,
        retries=FAST.retries,
    )  # fmt: skip
    runner = world.runner(handlers={"x": handle}, topics=["t", "urgent"], settings=settings)
    async with running(runner):
        await until(lambda: len(world.effects.ids) == 120)
    head = world.effects.ids[:55]
    assert 3 <= sum(1 for each in head if each[0] == "t") <= 10


async def test_a_topic_that_never_comes_is_named() -> None:
    world = World()
    with pytest.raises(StartTimeout, match="nowhere"):
        await world.runner(handlers={"x": world.effects.add}, topics=["nowhere"]).run(
            asyncio.Event()
        )
