"""Creating and looking up topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from tonearm_contracts.topics import Topic

_ALREADY_EXISTS = 36


@dataclass(frozen=True, slots=True)
class Ensured:
    """What `ensure_topics` did and saw."""

    created: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    """Topics whose partition count is not the declared one: changing it would break the order
    of keys, so a person has to decide."""


@asynccontextmanager
async def open_admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client. Raises aiokafka's errors when no broker answers."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def missing_topics(bootstrap_servers: str, names: Sequence[str]) -> list[str]:
    """Return those of `names` that do not exist, in their order."""
    async with open_admin(bootstrap_servers) as client:
        known = set(await client.list_topics())
    return [name for name in names if name not in known]


def config_of(topic: Topic, *, segment_ms: int = 24 * 3600 * 1000) -> dict[str, str]:
    """Return the broker configuration that a declaration stands for."""
    return {
        "retention.ms": str(topic.retention_s * 1000),
        "cleanup.policy": "compact,delete" if topic.compacted else "delete",
        "segment.ms": str(segment_ms),
    }


async def ensure_topics(
    bootstrap_servers: str, topics: Sequence[Topic], *, replication_factor: int | None = None
) -> Ensured:
    """Create the topics that are missing and bring the settings of the others up to date.

    replication_factor: None takes three, or the number of brokers if there are fewer. Safe to run at the same time elsewhere.
    """
    async with open_admin(bootstrap_servers) as client:
        known = set(await client.list_topics())
        missing = [topic for topic in topics if topic.name not in known]
        present = [topic for topic in topics if topic.name in known]
        result = Ensured()
        if missing:
            copies = replication_factor or await _replication_factor(client)
            await _create(client, missing, copies, result)
        if present:
            await _align(client, present, result)
    return result


async def _replication_factor(client: AIOKafkaAdminClient) -> int:
    cluster = await client.describe_cluster()
    return max(1, min(3, len(cluster["brokers"])))


async def _create(
    client: AIOKafkaAdminClient, topics: Sequence[Topic], replication_factor: int, result: Ensured
) -> None:
    response = await client.create_topics(
        [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=replication_factor,
                topic_configs=config_of(topic),
            )
            for topic in topics
        ]
    )
    for name, code, *_ in response.topic_errors:
        if code == _ALREADY_EXISTS:
            result.unchanged.append(name)
        elif code:
            error: type[KafkaError] = for_code(code)
            raise error(f"creating {name}")
        else:
            result.created.append(name)


async def _align(client: AIOKafkaAdminClient, topics: Sequence[Topic], result: Ensured) -> None:
    described = {
        found["topic"]: len(found["partitions"])
        for found in await client.describe_topics([topic.name for topic in topics])
    }
    await client.alter_configs(
        [
            ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=config_of(topic))
            for topic in topics
        ]
    )
    for topic in topics:
        same = described.get(topic.name) == topic.partitions
        (result.unchanged if same else result.different).append(topic.name)
