"""Reading topics from outside of any group: for tools, not for services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from tonearm_kit.kafka import admin
from tonearm_kit.kafka.ports import BrokerError, Partition, Record

_POLL_MS = 1_000


class Log(Protocol):
    """Topics as stored records."""

    async def topics(self) -> list[str]:
        """Return the names of all topics. Raises `BrokerError`."""
        ...

    async def read(self, topics: Sequence[str]) -> list[Record]:
        """Return every record that is stored now; those of a partition are in order."""
        ...


class KafkaLog:
    """`Log` on a Kafka cluster."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers

    async def topics(self) -> list[str]:
        """See `Log`."""
        try:
            async with admin.open_admin(self._servers) as client:
                return sorted(await client.list_topics())
        except (KafkaError, OSError) as error:
            raise told(error, self._servers) from error

    async def read(self, topics: Sequence[str]) -> list[Record]:
        """See `Log`."""
        return [record async for record in self.read_range(topics, {})]

    async def read_range(
        self, topics: Sequence[str], start: Mapping[Partition, int]
    ) -> AsyncIterator[Record]:
        """Yield the stored records from `start` on (default: the first) to today's end."""
        if not topics:
            return
        async with open_reader(self._servers) as consumer:
            partitions = [each for name in topics for each in await partitions_of(consumer, name)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            left = {}
            for each in partitions:
                first = max(begins[each], start.get(Partition(*each), begins[each]))
                consumer.seek(each, first)
                if first < ends[each]:
                    left[each] = ends[each]
            while left:
                found = await consumer.getmany(*left, timeout_ms=_POLL_MS)
                for where, records in found.items():
                    for record in records:
                        if record.offset < ends[where]:
                            yield record
                for where in list(left):
                    if await consumer.position(where) >= left[where]:
                        del left[where]


@asynccontextmanager
async def open_reader(bootstrap_servers: str, **options: object) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer that commits nothing by itself. Raises `BrokerError`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **options,
    )
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise told(error, bootstrap_servers) from error
    finally:
        await consumer.stop()


def told(error: Exception, bootstrap_servers: str) -> BrokerError:
    """Return what a person who runs a tool is told of a client's error."""
    if isinstance(error, (KafkaConnectionError, OSError)):
        return BrokerError(
            f"Kafka does not answer at {bootstrap_servers}. Is it running? "
            "--bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS names another."
        )
    return BrokerError(str(error))  # aiokafka's errors begin with their name


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> Sequence[TopicPartition]:
    """Return the partitions of a topic. Raises `BrokerError` when there is no such topic."""
    await consumer._client.add_topic(topic)
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise BrokerError(f"no topic {topic}")
    return [TopicPartition(topic, number) for number in sorted(numbers)]
