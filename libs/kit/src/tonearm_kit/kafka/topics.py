"""`python -m tonearm_kit.kafka.topics create`: bring the declared topics into being."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from aiokafka.errors import KafkaError
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tonearm_contracts import topics
from tonearm_kit.backoff import Backoff
from tonearm_kit.kafka import admin


class KafkaSettings(BaseSettings):
    """Where Kafka is, for the tools that need nothing else."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Kafka brokers, host:port separated by commas."
    )


async def _create(servers: str, *, replication_factor: int | None, wait_s: float) -> int:
    backoff, give_up_s = Backoff(first_s=0.2, max_s=2.0), time.monotonic() + wait_s
    while True:
        try:
            result = await admin.ensure_topics(
                servers, topics.ALL, replication_factor=replication_factor
            )
            break
        except (KafkaError, OSError) as error:
            if time.monotonic() >= give_up_s:
                sys.stderr.write(f"topics: {type(error).__name__}: {error}\n")
                return 1
        await asyncio.sleep(backoff.next_s())
    for names, word in ((result.created, "created"), (result.unchanged, "up to date")):
        for name in names:
            sys.stdout.write(f"{name}: {word}\n")
    for name in result.different:
        sys.stderr.write(f"{name}: has another number of partitions than declared\n")
    return 1 if result.different else 0


def _list() -> int:
    for topic in topics.ALL:
        days = topic.retention_s / topics.DAY_S
        kind = ", compacted" if topic.compacted else ""
        sys.stdout.write(f"{topic.name}: {topic.partitions} partitions, {days:g} days{kind}\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tonearm_kit.kafka.topics")
    parser.add_argument("command", choices=["create", "list"])
    parser.add_argument("--bootstrap-servers", default=None, help="default: the setting")
    parser.add_argument(
        "--replication-factor", type=int, default=None, help="default: 3, or all brokers if fewer"
    )
    parser.add_argument("--wait-s", type=float, default=60.0, help="longest wait for a broker")
    options = parser.parse_args(arguments)
    if options.command == "list":
        return _list()
    servers = options.bootstrap_servers or KafkaSettings().kafka_bootstrap_servers
    return asyncio.run(
        _create(servers, replication_factor=options.replication_factor, wait_s=options.wait_s)
    )


if __name__ == "__main__":
    raise SystemExit(main())
