"""Sending: idempotent, acknowledged by all in-sync replicas, in order per partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from tonearm_kit.kafka.ports import BrokerError, OutRecord
from tonearm_kit.logs import get_logger

BATCH_BYTES_MAX = 512 * 1024
REQUEST_BYTES_MAX = 1024 * 1024
SEND_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 10.0

log = get_logger(__name__)


@lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that every Kafka client chooses for `key`."""
    return _hash(key) % partitions


class KafkaProducer:
    """A sender that replaces its client after a failure.

    An idempotent client that gave up on a batch has a hole in its sequence numbers and would
    be refused from then on; a new one starts clean. What was cut off may have arrived, so a
    caller that sends again causes duplicates, which consumers drop by event id.
    """

    def __init__(
        self, bootstrap_servers: str, *, client_id: str, send_timeout_s: float = SEND_TIMEOUT_S
    ) -> None:
        self._servers = bootstrap_servers
        self._client_id = client_id
        self._send_timeout_s = send_timeout_s
        self._client: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._partitions: dict[str, int] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, bootstrap_servers: str, *, client_id: str, send_timeout_s: float = SEND_TIMEOUT_S
    ) -> AsyncIterator[KafkaProducer]:
        """Open a producer; the first `send` connects, so a broker that is away is no error yet."""
        producer = cls(bootstrap_servers, client_id=client_id, send_timeout_s=send_timeout_s)
        try:
            yield producer
        finally:
            await producer._discard()

    async def send(self, records: Sequence[OutRecord]) -> None:
        """Return when all are acknowledged. Raises `BrokerError` (see `Sender.send`)."""
        if not records:
            return
        client: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._send_timeout_s):
                client = await self._connected()
                await self._send_all(client, records)
        except (KafkaError, TimeoutError, OSError) as error:
            await self._discard(client)
            raise BrokerError(f"send failed: {type(error).__name__}: {error}") from error
        except asyncio.CancelledError:
            await self._discard(client)
            raise

    async def _connected(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._client is None:
                client = AIOKafkaProducer(
                    bootstrap_servers=self._servers,
                    client_id=self._client_id,
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=REQUEST_BYTES_MAX,
                    request_timeout_ms=10_000,
                )
                try:
                    await client.start()
                except BaseException:
                    await client.stop()
                    raise
                self._client = client
            return self._client

    async def _send_all(self, client: AIOKafkaProducer, records: Sequence[OutRecord]) -> None:
        if len(records) == 1:
            record = records[0]
            await client.send_and_wait(
                record.topic,
                value=_value(record),
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            return
        by_partition: dict[TopicPartition, list[OutRecord]] = {}
        for record in records:
            where = await self._where(client, record)
            by_partition.setdefault(where, []).append(record)
        pending: list[asyncio.Future[Any]] = []
        for where, group in by_partition.items():
            pending += await _send_batches(client, where, group)
        await asyncio.gather(*pending)

    async def _where(self, client: AIOKafkaProducer, record: OutRecord) -> TopicPartition:
        if record.partition is not None:
            return TopicPartition(record.topic, record.partition)
        count = self._partitions.get(record.topic)
        if count is None:
            count = len(await client.partitions_for(record.topic))
            self._partitions[record.topic] = count
        return TopicPartition(record.topic, partition_of(record.key or b"", count))

    async def _discard(self, client: AIOKafkaProducer | None = None) -> None:
        """Close the client (only if it still is `client`, when given) without waiting for it."""
        if self._client is None or (client is not None and client is not self._client):
            return
        doomed, self._client = self._client, None
        self._partitions.clear()
        # stop() would first wait for batches that nobody waits for any more.
        doomed._message_accumulator.fail_all(KafkaError("the producer was replaced"))
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await doomed.stop()
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("a producer did not close cleanly", reason=type(error).__name__)


def _value(record: OutRecord) -> bytes | None:
    # A record with neither key nor value is legal in Kafka but refused by the client.
    return b"" if record.key is None and record.value is None else record.value


async def _send_batches(
    client: AIOKafkaProducer, where: TopicPartition, records: Sequence[OutRecord]
) -> list[asyncio.Future[Any]]:
    """Queue records of one partition in order, in as few batches as fit; return their futures."""
    pending = []
    batch = client.create_batch()
    for record in records:
        fields = {"key": record.key, "value": _value(record), "headers": list(record.headers)}
        if batch.append(timestamp=None, **fields) is None:
            pending.append(await client.send_batch(batch, where.topic, partition=where.partition))
            batch = client.create_batch()
            batch.append(timestamp=None, **fields)
    batch.close()
    pending.append(await client.send_batch(batch, where.topic, partition=where.partition))
    return pending
