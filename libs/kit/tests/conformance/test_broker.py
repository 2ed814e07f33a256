"""What a broker promises, asked of the one in memory and of Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tonearm_contracts.topics import Topic
from tonearm_kit.ids import new_id
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.log import KafkaLog, Log
from tonearm_kit.kafka.options import RunnerSettings
from tonearm_kit.kafka.ports import Broker, Lost, OutRecord, Partition, Receiver, Record
from tonearm_kit.kafka.topics import KafkaSettings
from tonearm_kit.testing.broker import FakeBroker

QUICK = RunnerSettings(session_timeout_s=6.0, heartbeat_interval_s=0.2)
PARTITIONS = 3


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return FakeBroker()
    return KafkaBroker(kafka_servers(), settings=QUICK)


def kafka_servers() -> str:
    return KafkaSettings().kafka_bootstrap_servers


def log_of(broker: Broker) -> Log:
    """Return the view of tools on the same topics."""
    return broker if isinstance(broker, FakeBroker) else KafkaLog(kafka_servers())


class Member:
    """One member of a group that keeps polling, as the runner does."""

    def __init__(self, receiver: Receiver, assigned: set[Partition]) -> None:
        self.receiver, self.assigned = receiver, assigned
        self.records: list[Record] = []

    async def poll_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                found = await self.receiver.poll(timeout_s=0.05, records_max=100)
                for records in found.values():
                    self.records.extend(records)

    async def read(self, count: int) -> list[bytes | None]:
        await self.poll_until(lambda: len(self.records) >= count)
        return [record.value for record in self.records]


class TestBroker:
    """Every test makes a topic and a group of its own."""

    @pytest.fixture
    async def topic(self, broker: Broker) -> str:
        name = f"test.{new_id()}"
        declared = Topic(name=name, partitions=PARTITIONS, retention_s=3600)
        assert await broker.missing_topics([name]) == [name]
        assert await broker.ensure_topics([declared]) == [name]
        assert await broker.ensure_topics([declared]) == []
        assert await broker.missing_topics([name]) == []
        return name

    @asynccontextmanager
    async def member(self, broker: Broker, topic: str) -> AsyncIterator[Member]:
        assigned: set[Partition] = set()

        async def on_revoked(partitions: frozenset[Partition]) -> None:
            assigned.difference_update(partitions)

        async def on_assigned(partitions: frozenset[Partition]) -> None:
            assigned.clear()
            assigned.update(partitions)

        async with broker.receiver(
            group=f"group.{topic}", topics=[topic], on_revoked=on_revoked, on_assigned=on_assigned
        ) as receiver:
            yield Member(receiver, assigned)

    async def test_records_come_as_they_were_sent_in_order_of_their_key(
        self, broker: Broker, topic: str
    ) -> None:
        sent = [
            OutRecord(
                topic=topic,
                key=f"k{number % 5}".encode(),
                value=str(number).encode(),
                headers=[("a", b"1"), ("b", b"\xff\x00")],
            )
            for number in range(50)
        ]
        async with broker.sender() as sender, self.member(broker, topic) as member:
            await sender.send(sent[:1])
            await sender.send(sent[1:])
            await member.read(50)
        assert all(
            list(each.headers) == [("a", b"1"), ("b", b"\xff\x00")] for each in member.records
        )
        for key in {each.key for each in member.records}:
            mine = [each for each in member.records if each.key == key]
            assert len({each.partition for each in mine}) == 1
            assert [each.offset for each in mine] == sorted(each.offset for each in mine)
            assert [int(each.value or b"") for each in mine] == sorted(
                int(each.value or b"") for each in mine
            )

    async def test_a_tombstone_is_a_record_without_value(self, broker: Broker, topic: str) -> None:
        async with broker.sender() as sender, self.member(broker, topic) as member:
            await sender.send([OutRecord(topic=topic, key=b"k", value=None)])
            assert await member.read(1) == [None]

    async def test_the_next_member_goes_on_where_the_last_one_committed(
        self, broker: Broker, topic: str
    ) -> None:
        records = [
            OutRecord(topic=topic, key=b"k", value=str(number).encode(), partition=1)
            for number in range(10)
        ]
        where = Partition(topic, 1)
        async with broker.sender() as sender:
            await sender.send(records)
        async with self.member(broker, topic) as member:
            await member.read(10)
            assert await member.receiver.committed(where) is None
            await member.receiver.commit({where: 4})
            assert await member.receiver.committed(where) == 4
        async with self.member(broker, topic) as member:
            assert await member.read(6) == [str(number).encode() for number in range(4, 10)]

    async def test_tools_read_all_that_is_stored_without_joining_a_group(
        self, broker: Broker, topic: str
    ) -> None:
        log = log_of(broker)
        assert topic in await log.topics()
        assert await log.read([topic]) == []
        async with broker.sender() as sender:
            await sender.send(
                [
                    OutRecord(topic=topic, key=b"k", value=str(number).encode(), partition=number)
                    for number in range(PARTITIONS)
                ]
            )
        for _ in range(2):
            found = await log.read([topic])
            assert sorted(record.value or b"" for record in found) == [b"0", b"1", b"2"]
        assert await log.read([]) == []

    async def test_a_paused_partition_is_silent_until_resumed(
        self, broker: Broker, topic: str
    ) -> None:
        async with broker.sender() as sender, self.member(broker, topic) as member:
            await member.poll_until(lambda: len(member.assigned) == PARTITIONS)
            member.receiver.pause([Partition(topic, 0)])
            await sender.send(
                [
                    OutRecord(topic=topic, key=b"k", value=str(number).encode(), partition=number)
                    for number in range(2)
                ]
            )
            assert await member.read(1) == [b"1"]
            member.receiver.resume([Partition(topic, 0)])
            assert await member.read(2) == [b"1", b"0"]

    async def test_a_second_member_takes_a_share_and_the_first_cannot_commit_it(
        self, broker: Broker, topic: str
    ) -> None:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(self.member(broker, topic))
            await first.poll_until(lambda: len(first.assigned) == PARTITIONS)
            second = await stack.enter_async_context(self.member(broker, topic))

            def shared() -> bool:
                return bool(second.assigned) and len(first.assigned | second.assigned) == PARTITIONS

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(first.poll_until(shared))
                tasks.create_task(second.poll_until(shared))
            assert not first.assigned & second.assigned
            with pytest.raises(Lost):
                await first.receiver.commit(dict.fromkeys(second.assigned, 1))
