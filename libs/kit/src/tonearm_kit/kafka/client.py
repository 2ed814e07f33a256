"""The broker port on real Kafka, by aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from tonearm_contracts.topics import Topic
from tonearm_kit.kafka import admin
from tonearm_kit.kafka.options import RunnerSettings
from tonearm_kit.kafka.ports import (
    BrokerError,
    Lost,
    OnPartitions,
    Partition,
    Receiver,
    Record,
    Sender,
)
from tonearm_kit.kafka.producer import KafkaProducer
from tonearm_kit.logs import get_logger

COMMIT_TIMEOUT_S = 10.0
FETCH_WAIT_MAX_MS = 200
"""The broker answers an empty fetch after this; a resumed partition waits at most this long."""

log = get_logger(__name__)


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (CommitFailedError, IllegalStateError) as error:
        raise Lost(str(error)) from error
    except (KafkaError, TimeoutError, OSError) as error:
        raise BrokerError(f"{type(error).__name__}: {error}") from error


class KafkaBroker:
    """`tonearm_kit.kafka.ports.Broker` on a Kafka cluster."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        client_id: str = "tonearm",
        settings: RunnerSettings | None = None,
    ) -> None:
        self._servers = bootstrap_servers
        self._client_id = client_id
        self._settings = settings or RunnerSettings()

    async def ensure_topics(self, topics: Sequence[Topic]) -> list[str]:
        """See `Broker`."""
        with _broker_errors():
            return (await admin.ensure_topics(self._servers, topics)).created

    async def missing_topics(self, names: Sequence[str]) -> list[str]:
        """See `Broker`."""
        with _broker_errors():
            return await admin.missing_topics(self._servers, names)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        """See `Broker`."""
        async with KafkaProducer.open(self._servers, client_id=self._client_id) as producer:
            yield producer

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
        options = self._settings
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            group_id=group,
            client_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MAX_MS,
            session_timeout_ms=int(options.session_timeout_s * 1000),
            heartbeat_interval_ms=int(options.heartbeat_interval_s * 1000),
            rebalance_timeout_ms=int(options.rebalance_timeout_s * 1000),
            # Polling never stops while the process lives, so this only has to be finite.
            max_poll_interval_ms=300_000,
            partition_assignment_strategy=(_own_assignor(),),
        )
        consumer.subscribe(list(topics), listener=_Listener(on_revoked, on_assigned))
        try:
            with _broker_errors():
                await consumer.start()
            yield KafkaReceiver(consumer)
        finally:
            await _stop(consumer)


def _own_assignor() -> type[StickyPartitionAssignor]:
    """Return an assignor that keeps what a member has: a long job survives most rebalances.

    A class of its own per consumer, because aiokafka's keeps its memory in class attributes
    and would mix up the consumers of one process.
    """
    return type("OwnStickyAssignor", (StickyPartitionAssignor,), {"member_assignment": None})


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            await consumer.stop()
    except (KafkaError, TimeoutError, OSError) as error:
        log.warning("the consumer did not leave its group cleanly", reason=type(error).__name__)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, on_revoked: OnPartitions, on_assigned: OnPartitions) -> None:
        self._on_revoked, self._on_assigned = on_revoked, on_assigned

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._on_revoked(frozenset(Partition(*each) for each in revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._on_assigned(frozenset(Partition(*each) for each in assigned))


class KafkaReceiver:
    """`tonearm_kit.kafka.ports.Receiver` on one aiokafka consumer."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def poll(
        self, *, timeout_s: float, records_max: int
    ) -> Mapping[Partition, Sequence[Record]]:
        """See `Receiver`."""
        with _broker_errors():
            found = await self._consumer.getmany(
                timeout_ms=int(timeout_s * 1000), max_records=records_max
            )
        return {Partition(*where): records for where, records in found.items()}

    def pause(self, partitions: Sequence[Partition]) -> None:
        """See `Receiver`."""
        for partition in partitions:
            try:
                self._consumer.pause(TopicPartition(*partition))
            except IllegalStateError:
                log.debug("paused a partition that has just left", partition=partition)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """See `Receiver`."""
        for partition in partitions:
            try:
                self._consumer.resume(TopicPartition(*partition))
            except IllegalStateError:
                log.debug("resumed a partition that has just left", partition=partition)

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """See `Receiver`."""
        offsets = {TopicPartition(*where): position for where, position in positions.items()}
        with _broker_errors():
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await self._consumer.commit(offsets)

    async def committed(self, partition: Partition) -> int | None:
        """See `Receiver`."""
        with _broker_errors():
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                found = await self._consumer.committed(TopicPartition(*partition))
        return None if found is None else int(found)
