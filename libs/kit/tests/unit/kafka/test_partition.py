from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tonearm_kit.kafka.partition import Hand, PartitionWorker
from tonearm_kit.kafka.ports import Partition, Record
from tonearm_kit.testing.broker import FakeRecord

WHERE = Partition("t", 0)


def records(*offsets: int) -> list[FakeRecord]:
    return [FakeRecord("t", 0, offset, offset * 10, b"k", b"{}", ()) for offset in offsets]


class Gate:
    """Work that waits to be let through, one unit at a time."""

    def __init__(self) -> None:
        self.units: list[list[int]] = []
        self.open = asyncio.Semaphore(0)

    async def __call__(self, unit: Sequence[Record], hand: Hand) -> None:
        self.units.append([record.offset for record in unit])
        with hand.working():
            await self.open.acquire()
        hand.done(unit[-1].offset + 1)


async def spin() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_position_never_passes_what_is_not_settled() -> None:
    gate = Gate()
    worker = PartitionWorker(WHERE, work=gate, unit_max=1)
    async with asyncio.TaskGroup() as tasks:
        worker.task = tasks.create_task(worker.run())
        worker.offer(records(5, 6, 7))
        await spin()
        assert worker.position is None
        assert (worker.waiting, worker.oldest_ms) == (3, 50)
        gate.open.release()
        await spin()
        assert worker.position == 6
        assert gate.units == [[5], [6]]
        await worker.cancel()
    assert worker.position == 6


async def test_units_hold_no_more_than_they_may() -> None:
    gate = Gate()
    worker = PartitionWorker(WHERE, work=gate, unit_max=2)
    worker.offer(records(1, 2, 3))
    async with asyncio.TaskGroup() as tasks:
        worker.task = tasks.create_task(worker.run())
        for _ in range(2):
            await spin()
            gate.open.release()
        await spin()
        await worker.cancel()
    assert gate.units == [[1, 2], [3]]
    assert worker.position == 4


async def test_work_in_hand_is_not_taken_twice_after_a_rebalance() -> None:
    gate = Gate()
    worker = PartitionWorker(WHERE, work=gate, unit_max=1)
    async with asyncio.TaskGroup() as tasks:
        worker.task = tasks.create_task(worker.run())
        worker.offer(records(1, 2, 3))
        await spin()
        worker.drop_queue()
        worker.rebase(1)
        worker.offer(records(1, 2, 3))
        for _ in range(3):
            gate.open.release()
        await spin()
        await worker.cancel()
    assert gate.units == [[1], [2], [3]]


async def test_a_position_that_another_member_moved_on_is_never_taken_back() -> None:
    gate = Gate()
    worker = PartitionWorker(WHERE, work=gate, unit_max=1)
    async with asyncio.TaskGroup() as tasks:
        worker.task = tasks.create_task(worker.run())
        worker.offer(records(1))
        await spin()
        worker.drop_queue()
        worker.rebase(100)
        gate.open.release()
        await spin()
        await worker.cancel()
    assert worker.position == 100
    assert worker.to_commit is None


async def test_settling_waits_for_the_unit_in_hand_and_only_so_long() -> None:
    gate = Gate()
    worker = PartitionWorker(WHERE, work=gate, unit_max=1)
    assert await worker.settle(timeout_s=0.01)
    async with asyncio.TaskGroup() as tasks:
        worker.task = tasks.create_task(worker.run())
        worker.offer(records(1))
        await spin()
        assert not await worker.settle(timeout_s=0.01)
        gate.open.release()
        assert await worker.settle(timeout_s=1.0)
        await worker.cancel()
