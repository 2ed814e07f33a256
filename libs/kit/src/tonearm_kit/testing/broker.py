"""A broker in memory, with topics, groups, rebalances and commits as Kafka has them.

It keeps the promises of `tonearm_kit.kafka.ports.Broker`; one test class runs on it and on
Kafka, so that what is tested here is true there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tonearm_contracts.topics import Topic
from tonearm_kit.db import Connection, Database
from tonearm_kit.kafka.ports import (
    BrokerError,
    Header,
    Lost,
    OnPartitions,
    OutRecord,
    Partition,
    Receiver,
    Record,
    Sender,
)
from tonearm_kit.kafka.producer import partition_of


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """One stored record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


@dataclass(slots=True)
class _Group:
    members: list[FakeReceiver] = field(default_factory=list)
    committed: dict[Partition, int] = field(default_factory=dict)
    polls: int = 0
    joining: asyncio.Lock = field(default_factory=asyncio.Lock)


class FakeBroker:
    """`Broker` by shape. `is_down` makes every call fail until it is False again."""

    def __init__(self, *topics: Topic) -> None:
        self._logs: dict[str, list[list[FakeRecord]]] = {}
        self._groups: dict[str, _Group] = {}
        self._arrived = asyncio.Event()
        self.is_down = False
        for topic in topics:
            self._logs[topic.name] = [[] for _ in range(topic.partitions)]

    def log(self, topic: str) -> list[FakeRecord]:
        """Return every record of a topic, partition after partition."""
        return [record for partition in self._logs.get(topic, []) for record in partition]

    def polls(self, group: str) -> int:
        """Return how often the members of a group asked for records."""
        return self._groups[group].polls if group in self._groups else 0

    def committed(self, group: str) -> dict[Partition, int]:
        """Return the stored positions of a group."""
        return dict(self._groups[group].committed) if group in self._groups else {}

    def append(self, record: OutRecord, *, timestamp_ms: int | None = None) -> FakeRecord:
        """Store a record as if a producer had sent it."""
        partitions = self._logs.get(record.topic)
        if partitions is None:
            raise BrokerError(f"no topic {record.topic}")
        chosen = record.partition
        if chosen is None:
            chosen = partition_of(record.key or b"", len(partitions))
        log = partitions[chosen]
        stored = FakeRecord(
            topic=record.topic,
            partition=chosen,
            offset=len(log),
            timestamp=timestamp_ms if timestamp_ms is not None else int(time.time() * 1000),
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
        )
        log.append(stored)
        self._arrived.set()
        return stored

    def check(self) -> None:
        """Raise `BrokerError` while the broker is down."""
        if self.is_down:
            raise BrokerError("the broker is down")

    async def ensure_topics(self, topics: Sequence[Topic]) -> list[str]:
        """See `Broker`."""
        self.check()
        created = [topic for topic in topics if topic.name not in self._logs]
        for topic in created:
            self._logs[topic.name] = [[] for _ in range(topic.partitions)]
        return [topic.name for topic in created]

    async def missing_topics(self, names: Sequence[str]) -> list[str]:
        """See `Broker`."""
        self.check()
        return [name for name in names if name not in self._logs]

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """See `Broker`."""
        yield FakeSender(self)

    @asynccontextmanager
    async def receiver(
        self,
        *,
        group: str,
        topics: Sequence[str],
        on_revoked: OnPartitions,
        on_assigned: OnPartitions,
    ) -> AsyncIterator[Receiver]:
        """See `Broker`."""
        self.check()
        joined = self._groups.setdefault(group, _Group())
        member = FakeReceiver(self, joined, topics, on_revoked, on_assigned)
        members = joined.members
        async with joined.joining:
            members.append(member)
            await self._rebalance(joined)
        try:
            yield member
        finally:
            async with joined.joining:
                members.remove(member)
                await self._rebalance(joined)

    async def _rebalance(self, group: _Group) -> None:
        for member in group.members:
            await member.on_revoked(frozenset(member.assigned))
        shares: list[set[Partition]] = [set() for _ in group.members]
        partitions = sorted({each for member in group.members for each in self._wanted(member)})
        for index, partition in enumerate(partitions):
            shares[index % len(shares)].add(partition)
        for member, share in zip(group.members, shares, strict=True):
            member.take(share)
            await member.on_assigned(frozenset(share))

    def _wanted(self, member: FakeReceiver) -> list[Partition]:
        return [
            Partition(topic, number)
            for topic in member.topics
            for number in range(len(self._logs[topic]))
        ]

    async def topics(self) -> list[str]:
        """See `tonearm_kit.kafka.log.Log`."""
        self.check()
        return sorted(self._logs)

    async def read(self, topics: Sequence[str]) -> list[Record]:
        """See `tonearm_kit.kafka.log.Log`."""
        self.check()
        return [record for topic in topics for record in self.log(topic)]

    def stored(self, partition: Partition, position: int) -> list[FakeRecord]:
        """Return what is stored from `position` on."""
        return self._logs[partition.topic][partition.partition][position:]

    async def wait_for_more(self, timeout_s: float) -> None:
        """Return when something is stored, at latest after `timeout_s`."""
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return


class FakeSender:
    """`Sender` by shape."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker

    async def send(self, records: Sequence[OutRecord]) -> None:
        """See `Sender`."""
        self._broker.check()
        for record in records:
            self._broker.append(record)


class FakeReceiver:
    """`Receiver` by shape."""

    def __init__(
        self,
        broker: FakeBroker,
        group: _Group,
        topics: Sequence[str],
        on_revoked: OnPartitions,
        on_assigned: OnPartitions,
    ) -> None:
        self.topics = list(topics)
        self.on_revoked, self.on_assigned = on_revoked, on_assigned
        self.assigned: set[Partition] = set()
        self._broker, self._group = broker, group
        self._paused: set[Partition] = set()
        self._positions: dict[Partition, int] = {}

    def take(self, partitions: set[Partition]) -> None:
        """Start over with these partitions, at the group's stored positions."""
        self.assigned = partitions
        self._paused = set()
        self._positions = {each: self._group.committed.get(each, 0) for each in partitions}

    async def poll(
        self, *, timeout_s: float, records_max: int
    ) -> Mapping[Partition, Sequence[Record]]:
        """See `Receiver`."""
        self._broker.check()
        self._group.polls += 1
        found = self._read(records_max)
        if not found:
            await self._broker.wait_for_more(timeout_s)
            found = self._read(records_max)
        else:
            await asyncio.sleep(0)
        return found

    def _read(self, records_max: int) -> dict[Partition, Sequence[Record]]:
        found: dict[Partition, Sequence[Record]] = {}
        left = records_max
        for partition in sorted(self.assigned - self._paused):
            records = self._broker.stored(partition, self._positions[partition])[:left]
            if records:
                found[partition] = records
                self._positions[partition] += len(records)
                left -= len(records)
        return found

    def pause(self, partitions: Sequence[Partition]) -> None:
        """See `Receiver`."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """See `Receiver`."""
        self._paused.difference_update(partitions)

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """See `Receiver`."""
        self._broker.check()
        if self not in self._group.members or not self.assigned.issuperset(positions):
            raise Lost("the partitions belong to another member")
        self._group.committed.update(positions)

    async def committed(self, partition: Partition) -> int | None:
        """See `Receiver`."""
        self._broker.check()
        return self._group.committed.get(partition)


class FakeInbox:
    """`Inbox` by shape. Give it to `FakeDb.remember`, so that a rollback takes marks back."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, str]] = set()

    @asynccontextmanager
    async def begin(
        self, db: Database, *, group: str, event_id: str, source: str
    ) -> AsyncIterator[tuple[Connection, bool]]:
        """See `Inbox`."""
        async with db.begin() as conn:
            fresh = await self.first_times(conn, group=group, events=[(source, event_id)])
            yield conn, bool(fresh)

    async def first_times(
        self, conn: Connection, *, group: str, events: Sequence[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """See `Inbox`."""
        fresh = {each for each in events if (group, *each) not in self.seen}
        self.seen.update((group, *each) for each in fresh)
        return fresh
